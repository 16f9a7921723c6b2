"""Every option of every part, one after the other: what a family might say it can express."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch

from paribus import registry
from paribus.errors import RequestError
from paribus.families.meaning import differing
from paribus.model.config import ModelConfig
from paribus.model.initialise import build
from paribus.model.transformer import Transformer

ROPE_OPTIONS: list[dict[str, Any]] = [
    {"base": 77.0},
    {"fraction": 0.5},
    {"layout": "interleaved"},
    {"factor": 3.0},
    {"factor": 3.0, "original_length": 6},
    {"factor": 3.0, "original_length": 6, "fraction": 0.5},
    {"attention_factor": 1.7},
    {"fast": 8.0, "slow": 2.0, "original_length": 6},
    {"truncate": False, "original_length": 6},
    {"low": 2.0, "high": 8.0, "original_length": 6},
]
POSITION_OPTIONS: list[dict[str, Any]] = [
    {},
    {"offset": 1},
    {"offset": 2},
    {"scale": 0.5},
    {"num_buckets": 8},
    {"max_distance": 20},
]
NORM_OPTIONS: list[dict[str, Any]] = [
    {},
    {"eps": 3e-2},
    {"bias": False},
    {"bias": False, "eps": 3e-2},
    {"groups": 2},
    {"fraction": 0.5},
    {"gain": False},
    {"offset": True},
]
ATTENTION_OPTIONS: list[dict[str, Any]] = [
    *({"bias": bias} for bias in (True, False, "qkv", "o")),
    {"clip": 0.5},
    *({"window": window} for window in (3, None)),
    *({"softcap": cap} for cap in (1.5, None)),
    {"sinks": True},
    *({"scale": scale} for scale in (0.3, 1.0, 24**-0.5)),
    *(
        {"qk_norm": norm, "qk_norm_over": over}
        for norm in (
            None,
            "rmsnorm",
            "layernorm",
            {"name": "layernorm", "bias": False},
            {"name": "layernorm", "eps": 3e-2},
            {"name": "rmsnorm", "eps": 3e-2},
            "rmsnorm_offset",
        )
        for over in ("head", "heads", "width")
    ),
]
OTHER: list[tuple[str, Any]] = [
    ("ffn", {"name": "gated", "gate": "relu2"}),
    ("ffn", {"name": "gated", "gate": "silu", "value": "tanh"}),
    ("ffn", {"name": "leaky_relu", "constants": [0.3]}),
    ("ffn", ["swiglu", "geglu"]),
    ("position", ["rope", "none"]),
    ("position", ["none", "none", "none", "rope"]),
    ("position", ["rope", {"name": "rope", "base": 77.0}]),
    ("position", ["rope_linear", "none"]),
    ("attention", "mha"),
    ("attention", "mqa"),
    *(("num_kv_heads", heads) for heads in (1, 2, 4)),
    *(("head_dim", width) for width in (6, 8, 10)),
    *(
        (switch, on)
        for switch in ("tie_embeddings", "embedding_norm", "final_norm", "head_bias")
        for on in (True, False)
    ),
    *((scale, 3.0) for scale in ("embedding_scale", "logit_scale")),
    ("embedding_scale", 32**0.5),
    ("logit_scale", 32**-0.5),
    *(("logit_softcap", cap) for cap in (None, 2.5)),
    *(("segments", kinds) for kinds in (0, 1, 3)),
    *(("head_transform", transform) for transform in (None, "gelu", "relu", {"name": "gelu", "bias": False})),
    *(("architecture", name) for name in ("encoder", "decoder", "encoder_decoder")),
    ("encoder_layers", 1),
    ("d_ff", 30),
    ("d_ff", 128),
    ("max_seq_len", 13),
    ("vocab_size", 50),
    ("num_layers", 2),
]


def variations(config: ModelConfig, *, every: int) -> Iterator[tuple[str, Any, ModelConfig]]:
    """Models that differ from this one in one field, with that field; of the changes each n-th is tried."""
    for name, value in itertools.islice(_changes(config), None, None, every):
        try:
            varied = ModelConfig(**{**config.to_dict(), name: value})
        except RequestError:
            continue
        if differing(config, varied):
            yield name, value, varied


def _changes(config: ModelConfig) -> Iterator[tuple[str, Any]]:
    catalog = registry.catalog()
    for name in catalog["ffn"]:
        yield "ffn", name
        yield "ffn", {"name": name, "bias": True}
    for name in catalog["norm"]:
        yield from (("norm", {"name": name, **options}) for options in NORM_OPTIONS)
    yield from (("residual", name) for name in catalog["residual"])
    assert config.head_dim is not None
    pairs = config.head_dim // 2
    divisors = {"short_factor": [1.5] * pairs, "long_factor": [3.0] * pairs, "original_length": 6}
    for name in catalog["position"]:
        for options in [*POSITION_OPTIONS, *ROPE_OPTIONS, divisors]:
            yield "position", {"name": name, **options}
    usual = list(config.specs("attention"))
    for options in ATTENTION_OPTIONS:
        changed = [{**({"name": spec} if isinstance(spec, str) else spec), **options} for spec in usual]
        yield "attention", changed
        if len(usual) == 1:
            yield "attention", [*usual, *changed]
            yield "attention", [*changed, *usual]
    yield from OTHER


def with_weights(config: ModelConfig) -> Transformer:
    """A model whose weights are so large that every option moves its logits."""
    model = build(config, seed=3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
            else:
                std = 2 / parameter.shape[-1] ** 0.5 if parameter.ndim == 2 else 0.3
                parameter.normal_(std=std, generator=generator)
    return model.eval()
