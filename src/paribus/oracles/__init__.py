"""The papers' formulas in numpy float64, written without sight of the package's code.

A part is compared with these and never with itself: by the tests, and by `paribus verify` on the user's own
machine. Nothing here imports torch or anything else of paribus, and nothing here is fast.

Letters: B batch, H heads, G key heads, T queries, S keys, K head dimension, D d_model, F d_ff.
"""

from paribus.oracles.activation import ACTIVATION
from paribus.oracles.arrays import Array, Function, Weights, affine, round_once_slack, under
from paribus.oracles.attention import attention, mha, visible_mask
from paribus.oracles.ffn import FFN, FFN_LAYER, ffn, ffn_gradients
from paribus.oracles.frequency import frequencies
from paribus.oracles.gradient import gradient
from paribus.oracles.norm import NORM, batchnorm_running, layernorm, rmsnorm
from paribus.oracles.pointwise import POINTWISE, Pointwise
from paribus.oracles.position import (
    POSITION,
    PositionOracle,
    alibi_slopes,
    half_split_order,
    rope,
    rope_interleaved,
    shaw,
    shaw_scores,
    shaw_values,
    sinusoidal_table,
    t5_bucket,
    xpos,
)
from paribus.oracles.residual import (
    EMBEDDING_NORM,
    FINAL_NORM,
    GAIN,
    RESIDUAL,
    deepnorm_constants,
    placement,
)
from paribus.oracles.transformer import transformer

__all__ = [
    "ACTIVATION",
    "EMBEDDING_NORM",
    "FFN",
    "FFN_LAYER",
    "FINAL_NORM",
    "GAIN",
    "NORM",
    "POINTWISE",
    "POSITION",
    "RESIDUAL",
    "Array",
    "Function",
    "Pointwise",
    "PositionOracle",
    "Weights",
    "affine",
    "alibi_slopes",
    "attention",
    "batchnorm_running",
    "deepnorm_constants",
    "ffn",
    "ffn_gradients",
    "frequencies",
    "gradient",
    "half_split_order",
    "layernorm",
    "mha",
    "placement",
    "rmsnorm",
    "rope",
    "rope_interleaved",
    "round_once_slack",
    "shaw",
    "shaw_scores",
    "shaw_values",
    "sinusoidal_table",
    "t5_bucket",
    "transformer",
    "under",
    "visible_mask",
    "xpos",
]
