"""Which sizes, factors and switches a model may have; what its parts allow is tried by building them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from paribus.errors import RequestError, nearest
from paribus.parts.ffn.replay import Memory

if TYPE_CHECKING:
    from paribus.model.config import ModelConfig

Architecture = Literal["decoder", "encoder", "encoder_decoder"]

#: No product of two sizes is then beyond what the bytes of a tensor can be counted with.
MOST = 10**9

_SIZES = ("vocab_size", "d_model", "d_ff", "num_layers", "num_heads", "max_seq_len")
_OPTIONAL_SIZES = ("head_dim", "num_kv_heads", "encoder_layers")
_FACTORS = ("embedding_scale", "logit_scale", "logit_softcap")
_SWITCHES = ("tie_embeddings", "head_bias", "embedding_norm", "final_norm")
_MAY_BE_NONE = (*_OPTIONAL_SIZES, "logit_softcap", "embedding_norm", "final_norm")


def check_sizes(config: ModelConfig) -> None:
    """Raise `RequestError` for a size, factor, switch or architecture that cannot be."""
    for name in (*_SIZES, *_OPTIONAL_SIZES, *_FACTORS, *_SWITCHES):
        given = getattr(config, name)
        if given is None and name in _MAY_BE_NONE:
            continue
        if name in _SWITCHES:
            if not isinstance(given, bool):
                raise RequestError(f"{name} is true or false; it is {given!r}")
        elif name in _FACTORS:
            if not isinstance(given, (int, float)) or isinstance(given, bool) or not 0 < given < math.inf:
                raise RequestError(f"{name} must be a number above zero; it is {given!r}")
        elif not _is_count(given, least=1):
            raise RequestError(f"{name} must be a whole number of at least 1; it is {given!r}")
        elif given > MOST:
            raise RequestError(f"{name} is at most {MOST:,}; it is {given}")
    if config.num_heads * (config.head_dim or 1) > MOST:
        raise RequestError(
            f"num_heads times head_dim is at most {MOST:,}; they are {config.num_heads} and {config.head_dim}"
        )
    if not _is_count(config.segments, least=0):
        raise RequestError(f"segments must be a whole number, 0 for none; it is {config.segments!r}")
    if config.segments > MOST:
        raise RequestError(f"segments is at most {MOST:,}; it is {config.segments}")
    if config.ffn_memory not in Memory.__args__:  # type: ignore[attr-defined]
        raise RequestError(f"ffn_memory is one of keep, half, none; it is {config.ffn_memory!r}")
    allowed = Architecture.__args__  # type: ignore[attr-defined]
    if config.architecture not in allowed:
        raise RequestError(
            f"there is no architecture {config.architecture!r}; {nearest(str(config.architecture), allowed)}"
        )
    if config.encoder_layers is not None and config.architecture != "encoder_decoder":
        raise RequestError(
            f"encoder_layers is for an encoder_decoder; the layers of this {config.architecture} are num_layers"
        )
    if config.segments and config.architecture == "encoder_decoder":
        raise RequestError(
            "segments are for a decoder or an encoder; an encoder_decoder tells its two texts apart by itself"
        )


def _is_count(given: object, *, least: int) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given >= least
