"""Tiny models of transformers with drawn weights: a row for every family and every variant that its config can say.

Their weights are so large that leaving out any of them, or any option, moves the logits.
"""

import functools
import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from torch import Tensor

from paribus.model.transformer import Transformer

V, D, F, L, H, G, T = 40, 32, 48, 4, 4, 2, 12
SIZES: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": D,
    "num_hidden_layers": L,
    "num_attention_heads": H,
    "intermediate_size": F,
    "max_position_embeddings": 2 * T,
}
GROUPED = {**SIZES, "num_key_value_heads": G}
WIDE = {**GROUPED, "head_dim": 12}
GPT = {"vocab_size": V, "n_embd": D, "n_layer": L, "n_head": H, "n_positions": 2 * T}
FALCON = {key: value for key, value in SIZES.items() if key != "intermediate_size"}
OPT = {**SIZES, "ffn_dim": F, "word_embed_proj_dim": D}
OPT.pop("intermediate_size")
BLOOM = {"vocab_size": V, "hidden_size": D, "n_layer": L, "n_head": H}
MPT = {"vocab_size": V, "d_model": D, "n_layers": L, "n_heads": H}
T5 = {"vocab_size": V, "d_model": D, "d_kv": 6, "d_ff": F, "num_layers": 3, "num_heads": H}
CAUSAL, MASKED = "ForCausalLM", "ForMaskedLM"
ALTERNATING = ["full_attention", "sliding_attention"] * 2


@dataclass(frozen=True)
class Peer:
    """A class of transformers, its start and its end, and the options of its config."""

    stem: str
    head: str
    options: dict[str, Any]


def _causal(stem: str, sizes: dict[str, Any], **options: Any) -> Peer:
    return Peer(stem, CAUSAL, {**sizes, **options})


PEERS: dict[str, Peer] = {
    "llama": _causal("Llama", GROUPED),
    "llama, no groups": _causal("Llama", SIZES, rms_norm_eps=1e-2),
    "llama, one head of keys": _causal("Llama", SIZES, num_key_value_heads=1),
    "llama, biases": _causal("Llama", GROUPED, attention_bias=True, mlp_bias=True),
    "llama, wide heads": _causal("Llama", WIDE),
    "llama, tied": _causal("Llama", GROUPED, tie_word_embeddings=True),
    "llama, gelu": _causal("Llama", GROUPED, hidden_act="gelu"),
    "mistral": _causal("Mistral", WIDE, sliding_window=5),
    "mistral, no window": _causal("Mistral", GROUPED, sliding_window=None),
    "qwen2": _causal("Qwen2", GROUPED),
    "qwen2, late windows": _causal(
        "Qwen2", GROUPED, use_sliding_window=True, sliding_window=4, max_window_layers=2
    ),
    "qwen2, windows by layer": _causal(
        "Qwen2", GROUPED, use_sliding_window=True, sliding_window=4, layer_types=ALTERNATING
    ),
    "qwen3": _causal("Qwen3", WIDE, attention_bias=True),
    "qwen3, tied": _causal("Qwen3", WIDE, tie_word_embeddings=True),
    "qwen3, windows": _causal("Qwen3", WIDE, use_sliding_window=True, sliding_window=4, max_window_layers=1),
    "gemma": _causal("Gemma", WIDE),
    "gemma, biases": _causal("Gemma", WIDE, attention_bias=True),
    "gemma2": _causal("Gemma2", WIDE, sliding_window=5, query_pre_attn_scalar=24),
    "gemma2, no caps": _causal(
        "Gemma2",
        WIDE,
        sliding_window=5,
        query_pre_attn_scalar=12,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
    ),
    "gemma2, small caps": _causal(
        "Gemma2",
        WIDE,
        layer_types=ALTERNATING,
        sliding_window=3,
        query_pre_attn_scalar=12,
        attn_logit_softcapping=1.5,
        final_logit_softcapping=2.5,
    ),
    "olmo2": _causal("Olmo2", GROUPED),
    "olmo2, biases": _causal("Olmo2", GROUPED, attention_bias=True, tie_word_embeddings=True),
    "smollm3": _causal("SmolLM3", GROUPED, pad_token_id=0),
    "smollm3, windows": _causal(
        "SmolLM3",
        GROUPED,
        pad_token_id=0,
        attention_bias=True,
        mlp_bias=True,
        no_rope_layers=[1, 0, 0, 1],
        use_sliding_window=True,
        sliding_window=4,
        layer_types=ALTERNATING,
    ),
    "phi3": _causal("Phi3", GROUPED, pad_token_id=0),
    "phi3, part of the channels": _causal(
        "Phi3",
        GROUPED,
        pad_token_id=0,
        partial_rotary_factor=0.75,
        sliding_window=4,
        tie_word_embeddings=True,
    ),
    "phi": _causal("Phi", GROUPED),
    "phi, normed": _causal("Phi", GROUPED, qk_layernorm=True, partial_rotary_factor=0.75),
    "stablelm": _causal("StableLm", GROUPED, use_qkv_bias=True),
    "stablelm, normed": _causal("StableLm", GROUPED, qk_layernorm=True, use_parallel_residual=True),
    "cohere": _causal("Cohere", GROUPED),
    "cohere, normed": _causal("Cohere", GROUPED, use_qk_norm=True, logit_scale=0.5, attention_bias=True),
    "nemotron": _causal("Nemotron", WIDE),
    "nemotron, biases": _causal("Nemotron", GROUPED, attention_bias=True, mlp_bias=True),
    "gpt_neox": _causal("GPTNeoX", SIZES),
    "gpt_neox, one after the other": _causal(
        "GPTNeoX", SIZES, use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True
    ),
    "gpt_neox, all channels": _causal(
        "GPTNeoX",
        SIZES,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 1.0},
    ),
    "gptj": _causal("GPTJ", GPT, rotary_dim=4),
    "gptj, tied": _causal("GPTJ", GPT, rotary_dim=8, n_inner=F, tie_word_embeddings=True),
    "gpt2": Peer("GPT2", "LMHeadModel", {**GPT, "n_inner": F}),
    "gpt2, apart": Peer(
        "GPT2", "LMHeadModel", {**GPT, "tie_word_embeddings": False, "activation_function": "relu"}
    ),
    "opt": _causal("OPT", OPT),
    "opt, norms after": _causal("OPT", OPT, do_layer_norm_before=False),
    "opt, no biases": _causal("OPT", OPT, enable_bias=False, tie_word_embeddings=False),
    "bloom": _causal("Bloom", BLOOM),
    "bloom, heads no power of two": _causal("Bloom", {**BLOOM, "hidden_size": 36, "n_head": 6}),
    "mpt": _causal("Mpt", MPT),
    "mpt, heads no power of two": _causal("Mpt", {**MPT, "d_model": 36, "n_heads": 6}),
    "mpt, clipped": _causal("Mpt", MPT, attn_config={"clip_qkv": 0.5, "softmax_scale": 0.2}),
    "falcon": _causal("Falcon", FALCON),
    "falcon, new": _causal("Falcon", FALCON, new_decoder_architecture=True, num_kv_heads=G),
    "falcon, new, one norm": _causal(
        "Falcon", FALCON, new_decoder_architecture=True, num_kv_heads=G, num_ln_in_parallel_attn=1
    ),
    "falcon, rw": _causal(
        "Falcon", FALCON, alibi=True, multi_query=False, parallel_attn=False, bias=True, ffn_hidden_size=F
    ),
    "falcon, own keys, in turn": _causal("Falcon", FALCON, multi_query=False, parallel_attn=False),
    "bert": Peer("Bert", MASKED, SIZES),
    "bert, pre-training": Peer("Bert", "ForPreTraining", {**SIZES, "hidden_act": "relu"}),
    "bert, bare": Peer("Bert", "Model", SIZES),
    "roberta": Peer("Roberta", MASKED, {**SIZES, "hidden_act": "gelu_new", "type_vocab_size": 1}),
    "t5": Peer("T5", "ForConditionalGeneration", T5),
    "t5, gated": Peer(
        "T5",
        "ForConditionalGeneration",
        {**T5, "feed_forward_proj": "gated-gelu", "num_decoder_layers": 2, "tie_word_embeddings": False},
    ),
    "t5, few buckets": Peer(
        "T5",
        "ForConditionalGeneration",
        {
            **T5,
            "feed_forward_proj": "gated-silu",
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 9,
        },
    ),
}
#: Those that have logits; a bare trunk has none.
SPEAKING = [name for name, peer in PEERS.items() if peer.head != "Model"]
#: One of each family.
FAMILIES = [name for name in PEERS if "," not in name]


@functools.cache
def peer(name: str) -> Any:
    """The model of a row. It is shared: do not change it."""
    return drawn(PEERS[name])


def drawn(row: Peer) -> Any:
    """A model of transformers in float32, its weights drawn by a fixed seed."""
    config = getattr(tf, f"{row.stem}Config")(**row.options)
    config._attn_implementation = attention_of(row.stem)
    torch.manual_seed(0)
    model = getattr(tf, f"{row.stem}{row.head}")(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
            else:
                parameter.normal_(std=2 / parameter.shape[-1] ** 0.5 if parameter.ndim == 2 else 0.3)
    return model.eval()


def attention_of(stem: str) -> str:
    """How transformers attends: the plain way, which alone knows caps; but there its Falcon adds ALiBi twice."""
    return "sdpa" if stem == "Falcon" else "eager"


def checkpoint(name: str, folder: Path) -> Path:
    """The folder of a row's model as transformers writes it."""
    peer(name).save_pretrained(folder)
    return folder


def edited(folder: Path, **changes: Any) -> Path:
    """The folder with other keys in its config; None takes a key away."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def reloaded(folder: Path, name: str, *, dtype: torch.dtype = torch.float32) -> Any:
    """What transformers makes of a folder, by the class of a row."""
    return reloaded_as(type(peer(name)), folder, dtype=dtype)


def reloaded_as(cls: Any, folder: Path, *, dtype: torch.dtype = torch.float32) -> Any:
    """What a class of transformers makes of a folder, in which it may miss nothing."""
    model, found = cls.from_pretrained(
        folder,
        attn_implementation=attention_of(cls.__name__.partition("For")[0]),
        dtype=dtype,
        output_loading_info=True,
    )
    wrong = {key: value for key, value in found.items() if value}
    assert not wrong, wrong
    return model.eval()


def tokens(length: int = T, *, rows: int = 2, seed: int = 1) -> Tensor:
    """Ids none of which is a special one."""
    return torch.randint(3, V, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def their_logits(model: Any, ids: Tensor, valid: Tensor | None = None) -> Tensor:
    """Logits of transformers; an encoder-decoder reads the ids as its source and answers with them backwards."""
    inputs: dict[str, Any] = {"input_ids": ids}
    if valid is not None:
        inputs["attention_mask"] = valid.long()
        if "position_ids" in inspect.signature(model.forward).parameters:
            inputs["position_ids"] = positions(valid) + (2 if model.config.model_type == "roberta" else 0)
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids.flip(1)
    given = model(**inputs)
    return given.prediction_logits if hasattr(given, "prediction_logits") else given.logits


@torch.no_grad()
def our_logits(
    model: Transformer, ids: Tensor, valid: Tensor | None = None, *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The same of ours."""
    if model.config.architecture == "encoder_decoder":
        return model(ids.flip(1), source_BS=ids, source_valid_BS=valid, dtype=dtype)
    if valid is None:
        return model(ids, dtype=dtype)
    return model(ids, valid_BT=valid, position_T=positions(valid), dtype=dtype)


def positions(valid: Tensor) -> Tensor:
    """Positions that count what is no padding."""
    return (valid.long().cumsum(-1) - 1).clamp(min=0)


def distance(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference as a part of the largest logit."""
    return ((ours.float() - theirs.float()).abs().max() / theirs.float().abs().max()).item()


def spread(ours: Tensor, theirs: Tensor) -> float:
    """The root of the mean squared difference."""
    return (ours.float() - theirs.float()).pow(2).mean().sqrt().item()
