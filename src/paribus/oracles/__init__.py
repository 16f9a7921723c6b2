"""The papers' formulas in numpy float64, written without sight of the package's code.

A part is compared with these and never with itself: by the tests, and by `paribus verify` on the user's own
machine. Nothing here imports torch or anything else of paribus, and nothing here is fast.

Letters: B batch, H heads, T queries, S keys, K head dimension, D d_model, F d_ff.
"""

from paribus.oracles.arrays import Array, Function, Weights, affine, round_once_slack, under
from paribus.oracles.attention import attention, mha
from paribus.oracles.ffn import FFN, ffn, ffn_gradients
from paribus.oracles.norm import NORM, layernorm, rmsnorm
from paribus.oracles.pointwise import POINTWISE, Pointwise
from paribus.oracles.position import half_split_order, rope, rope_interleaved, sinusoidal_table
from paribus.oracles.residual import FINAL_NORM, RESIDUAL
from paribus.oracles.transformer import transformer

__all__ = [
    "FFN",
    "FINAL_NORM",
    "NORM",
    "POINTWISE",
    "RESIDUAL",
    "Array",
    "Function",
    "Pointwise",
    "Weights",
    "affine",
    "attention",
    "ffn",
    "ffn_gradients",
    "half_split_order",
    "layernorm",
    "mha",
    "rmsnorm",
    "rope",
    "rope_interleaved",
    "round_once_slack",
    "sinusoidal_table",
    "transformer",
    "under",
]
