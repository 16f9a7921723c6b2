"""T5 and Flan-T5 (arXiv:1910.10683): an encoder and a decoder with biases by bucket of distance, unscaled logits.

The first T5 scales what its head reads by d_model^-1/2 and has one matrix for embedding and head; 1.1 does neither.
"""

from paribus.errors import RequestError, shown
from paribus.families.family import Family, Tensors
from paribus.families.keys import Keys
from paribus.families.meaning import ResolvedPart
from paribus.families.rules import ACTIVATIONS, Always, Key, Part, Worked, Written
from paribus.model.config import ModelConfig, PartSpec

_SUBLAYERS = {"attention": "SelfAttention", "cross_attention": "EncDecAttention"}
_GATED = "gated-"


def _ffn(keys: Keys) -> PartSpec:
    """The key is an activation, with `gated-` before it for a gated layer; gated-gelu means the tanh form."""
    given = keys.get("feed_forward_proj", "relu", str)
    name = "gelu_new" if given == "gated-gelu" else given.removeprefix(_GATED)
    if name not in ACTIVATIONS:
        raise RequestError(
            f"config.json: feed_forward_proj is {shown(given, at_most=60)!r}, and no such activation is known here"
        )
    ours = ACTIVATIONS[name]
    return {"name": "gated", "gate": ours} if given.startswith(_GATED) else ours


def _written_ffn(value: tuple[ResolvedPart, ...], config: ModelConfig) -> Written:
    options = value[0].options
    if options.get("gate") == "gelu_tanh":
        return {"feed_forward_proj": "gated-gelu"}
    ours = options.get("gate", options.get("activation"))
    theirs = next((name for name, each in ACTIVATIONS.items() if each == ours), "relu")
    return {"feed_forward_proj": (_GATED if "gate" in options else "") + theirs}


def _scaled(keys: Keys) -> bool:
    """Whether what the head reads is scaled; that stands and falls with one matrix for embedding and head.

    Newer versions of transformers write that the matrices are tied in any case, and the scaling beside it.
    """
    keys.known("dense_act_fn", "is_gated_act")
    tied = keys.get("tie_word_embeddings", True, bool)
    return keys.get("scale_decoder_outputs", tied, bool)


def _scale(keys: Keys) -> float:
    return keys.count("d_model") ** -0.5 if _scaled(keys) else 1.0


def _written_tie(tied: bool, config: ModelConfig) -> Written:
    return {"tie_word_embeddings": tied, "scale_decoder_outputs": tied}


def _tensors(config: ModelConfig) -> Tensors:
    rows = {"shared": "embedding", "lm_head": "head"}
    for stack, sublayers in (
        ("encoder", ("attention", "ffn")),
        ("decoder", ("attention", "cross_attention", "ffn")),
    ):
        block, ours = f"{stack}.block.{{layer}}.layer", f"{stack}.blocks.{{layer}}"
        rows[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias"] = f"{stack}.position"
        rows[f"{stack}.final_layer_norm"] = f"{stack}.final_norm"
        for number, sublayer in enumerate(sublayers):
            rows[f"{block}.{number}.layer_norm"] = f"{ours}.residual.norms.{sublayer}"
            if sublayer == "ffn":
                names = {"wi": "up", "wi_0": "gate", "wi_1": "value", "wo": "down"}
                theirs = f"{block}.{number}.DenseReluDense"
            else:
                names = {each: each for each in "qkvo"}
                theirs = f"{block}.{number}.{_SUBLAYERS[sublayer]}"
            rows |= {f"{theirs}.{their}": f"{ours}.{sublayer}.{our}" for their, our in names.items()}
    return rows


FAMILY = Family(
    model_type="t5",
    transformers_class="T5ForConditionalGeneration",
    config={
        "architecture": Always("encoder_decoder"),
        "vocab_size": Key("vocab_size"),
        "d_model": Key("d_model"),
        "d_ff": Key("d_ff"),
        "num_layers": Key("num_decoder_layers", lambda keys: keys.get("num_layers", kind=int)),
        "encoder_layers": Key("num_layers"),
        "num_heads": Key("num_heads"),
        "head_dim": Key("d_kv"),
        "max_seq_len": Key("n_positions", 512),
        "ffn": Worked(_ffn, _written_ffn),
        "norm": Part("rmsnorm", {"eps": Key("layer_norm_epsilon", 1e-6, float)}),
        "residual": Always("pre"),
        "position": Part(
            "t5",
            {
                "num_buckets": Key("relative_attention_num_buckets", 32),
                "max_distance": Key("relative_attention_max_distance", 128),
            },
        ),
        "attention": Part("mha", {"scale": Always(1.0)}),
        "tie_embeddings": Worked(_scaled, _written_tie),
        "logit_scale": Worked(_scale),
    },
    tensors=_tensors,
    copies={
        "lm_head.weight": "shared.weight",
        "encoder.embed_tokens.weight": "shared.weight",
        "decoder.embed_tokens.weight": "shared.weight",
    },
    repeats={"lm_head.weight": "shared.weight"},
    only={"is_decoder": False, "add_cross_attention": False},
    unused=("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",),
)
