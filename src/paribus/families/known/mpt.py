"""MPT (MosaicML 2023): ALiBi, no biases anywhere, not even in the norms."""

from paribus.families.family import Family, Laid
from paribus.families.layouts import Rows
from paribus.families.rules import Always, Key, Part, Worked

_BLOCK = "transformer.blocks.{layer}"
_OURS = "decoder.blocks.{layer}"


FAMILY = Family(
    model_type="mpt",
    transformers_class="MptForCausalLM",
    config={
        "vocab_size": Key("vocab_size"),
        "d_model": Key("d_model"),
        "d_ff": Worked(lambda keys: 4 * keys.get("d_model", kind=int)),
        "num_layers": Key("n_layers"),
        "num_heads": Key("n_heads"),
        "max_seq_len": Key("max_seq_len", 2048),
        "ffn": Always("gelu"),
        "norm": Part("layernorm", {"eps": Key("layer_norm_epsilon", 1e-5, float), "bias": Always(False)}),
        "residual": Always("pre"),
        "position": Always("alibi"),
        "attention": Part(
            "mha",
            {
                "clip": Key("attn_config.clip_qkv", None, float),
                "scale": Key("attn_config.softmax_scale", None, float),
            },
        ),
        "tie_embeddings": Key("tie_word_embeddings", True, bool),
    },
    tensors={
        "transformer.wte": "embedding",
        f"{_BLOCK}.attn.Wqkv": Laid(Rows(), tuple(f"{_OURS}.attention.{each}" for each in "qkv")),
        f"{_BLOCK}.attn.out_proj": f"{_OURS}.attention.o",
        f"{_BLOCK}.ffn.up_proj": f"{_OURS}.ffn.up",
        f"{_BLOCK}.ffn.down_proj": f"{_OURS}.ffn.down",
        f"{_BLOCK}.norm_1": f"{_OURS}.residual.norms.attention",
        f"{_BLOCK}.norm_2": f"{_OURS}.residual.norms.ffn",
        "transformer.norm_f": "decoder.final_norm",
        "lm_head": "head",
    },
    only={
        "expansion_ratio": 4,
        "no_bias": True,
        "logit_scale": None,
        "embedding_fraction": 1.0,
        "attn_config.alibi": True,
        "attn_config.alibi_bias_max": 8,
        "attn_config.attn_type": "multihead_attention",
        "attn_config.prefix_lm": False,
        "attn_config.qk_ln": False,
    },
    prefix="transformer.",
    copies={"lm_head.weight": "transformer.wte.weight"},
)
