"""Tiny checkpoints as `transformers` writes them, one for each family that is known and for some that are not."""

import json
from pathlib import Path
from typing import Any

from tests.families.files.checkpoints import file_of

_SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 16,
}
_GROUPED = {**_SIZES, "num_key_value_heads": 2}
_HEADS = {**_GROUPED, "head_dim": 8}
_GPT = {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16}
_FALCON = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}

#: Classes of transformers with the arguments of their configs.
KNOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertForMaskedLM", _SIZES),
    "bloom": ("BloomForCausalLM", {"vocab_size": 40, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "cohere": ("CohereForCausalLM", {**_GROUPED, "use_qk_norm": True}),
    "falcon": (
        "FalconForCausalLM",
        {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "gemma": ("GemmaForCausalLM", _HEADS),
    "gemma2": ("Gemma2ForCausalLM", {**_HEADS, "sliding_window": 5, "query_pre_attn_scalar": 24}),
    "gpt2": ("GPT2LMHeadModel", _GPT),
    "gpt_neox": ("GPTNeoXForCausalLM", _SIZES),
    "gptj": ("GPTJForCausalLM", {**_GPT, "rotary_dim": 4}),
    "llama": ("LlamaForCausalLM", _GROUPED),
    "mistral": ("MistralForCausalLM", {**_HEADS, "sliding_window": 5}),
    "mpt": ("MptForCausalLM", {"vocab_size": 40, "d_model": 32, "n_layers": 2, "n_heads": 4}),
    "nemotron": ("NemotronForCausalLM", _HEADS),
    "olmo2": ("Olmo2ForCausalLM", _GROUPED),
    "opt": (
        "OPTForCausalLM",
        {**_FALCON, "ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 16},
    ),
    "phi": ("PhiForCausalLM", {**_GROUPED, "qk_layernorm": True}),
    "phi3": ("Phi3ForCausalLM", {**_GROUPED, "pad_token_id": 0}),
    "qwen2": (
        "Qwen2ForCausalLM",
        {**_GROUPED, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2},
    ),
    "qwen3": ("Qwen3ForCausalLM", _HEADS),
    "roberta": ("RobertaForMaskedLM", {**_SIZES, "max_position_embeddings": 18}),
    "smollm3": ("SmolLM3ForCausalLM", {**_GROUPED, "pad_token_id": 0}),
    "stablelm": ("StableLmForCausalLM", {**_GROUPED, "use_qkv_bias": True}),
    "t5": (
        "T5ForConditionalGeneration",
        {"vocab_size": 40, "d_model": 32, "d_ff": 48, "d_kv": 8, "num_layers": 2, "num_heads": 4},
    ),
}
UNKNOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "mixtral": ("MixtralForCausalLM", {**_GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2_moe": (
        "Qwen2MoeForCausalLM",
        {
            **_GROUPED,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 24,
        },
    ),
    "gpt_oss": ("GptOssForCausalLM", {**_HEADS, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "deepseek_v3": (
        "DeepseekV3ForCausalLM",
        {
            **_SIZES,
            "num_hidden_layers": 3,
            "first_k_dense_replace": 1,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 2,
            "topk_group": 1,
            "moe_intermediate_size": 16,
            "kv_lora_rank": 8,
            "q_lora_rank": 12,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
        },
    ),
    "gemma3": (
        "Gemma3ForConditionalGeneration",
        {
            "text_config": {**_HEADS, "num_hidden_layers": 6, "sliding_window": 8},
            "vision_config": {
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "image_size": 28,
                "patch_size": 14,
            },
        },
    ),
}


def write(name: str, folder: Path) -> tuple[Path, int]:
    """The checkpoint of a family in a new folder of its own, and its number of parameters by transformers."""
    import transformers

    class_name, arguments = {**KNOWN, **UNKNOWN}[name]
    kind = getattr(transformers, class_name)
    model = kind(kind.config_class(**arguments))
    model.save_pretrained(folder / name)
    return folder / name, sum(parameter.numel() for parameter in model.parameters())


def config_of(**keys: Any) -> dict[str, Any]:
    """A small LLaMA's config with some keys changed; those that are None are left out."""
    config = {**_GROUPED, "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-6, **keys}
    return {key: value for key, value in config.items() if value is not None}


def write_config(folder: Path, config: dict[str, Any]) -> Path:
    """A bare config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "config.json"


def change_config(folder: Path, **keys: Any) -> None:
    """Other values for keys of a checkpoint's config."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **keys}))


def write_headers(folder: Path, config: dict[str, Any], shapes: dict[str, list[int]], *, shards: int) -> Path:
    """A checkpoint in bfloat16 whose shards have headers, and holes on the disk in the place of weights."""
    write_config(folder, config)
    names, weight_map = list(shapes), {}
    for shard in range(shards):
        file = f"model-{shard:05d}.safetensors"
        header, end = {}, 0
        for name in names[shard::shards]:
            begin, end = end, end + 2 * _product(shapes[name])
            header[name] = {"dtype": "BF16", "shape": shapes[name], "data_offsets": [begin, end]}
            weight_map[name] = file
        raw = file_of(header)
        (folder / file).write_bytes(raw)
        with (folder / file).open("r+b") as stream:
            stream.truncate(len(raw) + end)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def _product(shape: list[int]) -> int:
    rows, *columns = shape
    return rows * (columns[0] if columns else 1)
