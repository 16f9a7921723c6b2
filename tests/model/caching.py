"""A text handed to a model in pieces, with a cache between them, and the same at once."""

from typing import Any

import torch
from torch import Tensor

from paribus import registry
from paribus.model.cache import Cache
from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer

from ..parts.comparison import draw

V, T = 13, 9
#: How a text of nine tokens may be handed over.
PIECES = {
    "one at a time": [1] * 9,
    "the prompt first": [5, 1, 1, 1, 1],
    "chunks": [2, 4, 1, 2],
    "all at once": [9],
}
POSITIONS = tuple(registry.catalog()["position"])
ATTENTION: dict[str, dict[str, Any]] = {
    "a window": {"name": "mha", "window": 3},
    "grouped heads": {"name": "gqa"},
    "one key head": {"name": "mqa"},
    "sinks": {"name": "mha", "sinks": True},
    "a cap": {"name": "mha", "softcap": 0.8},
    "normed heads": {"name": "mha", "qk_norm": "rmsnorm"},
    "normed width": {"name": "mha", "qk_norm": "layernorm", "qk_norm_over": "width"},
    "everything": {
        "name": "gqa",
        "window": 3,
        "sinks": True,
        "softcap": 0.8,
        "qk_norm": "rmsnorm",
        "bias": True,
    },
    "biases of three, a clip": {"name": "gqa", "bias": "qkv", "clip": 0.8},
    "gains of each head": {"name": "gqa", "qk_norm": "rmsnorm", "qk_norm_over": "heads"},
}


def ids(length: int = T, *, seed: int = 5) -> Tensor:
    return torch.randint(V, (2, length), generator=torch.Generator().manual_seed(seed))


def model_of(config: ModelConfig) -> Transformer:
    model = Transformer(config).double().eval()
    draw(model)
    return model


def in_pieces(model: Transformer, tokens: Tensor, sizes: list[int], **given: Any) -> Tensor:
    """Logits of all tokens; what is given of each token is cut up as the tokens are."""
    cache, start, logits = Cache(), 0, []
    for size in sizes:
        piece = {
            key: value[..., start : start + size] if key.endswith("T") else value
            for key, value in given.items()
        }
        with torch.inference_mode():
            logits.append(model(tokens[:, start : start + size], dtype=torch.float64, cache=cache, **piece))
        start += size
    assert cache.length == start == tokens.shape[1]
    return torch.cat(logits, dim=1)


def assert_same(model: Transformer, sizes: list[int], *, length: int = T, **given: Any) -> None:
    tokens = ids(length)
    with torch.inference_mode():
        whole = model(tokens, dtype=torch.float64, **given)
    torch.testing.assert_close(in_pieces(model, tokens, sizes, **given), whole, rtol=1e-6, atol=1e-6)
