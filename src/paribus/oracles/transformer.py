"""Whole models from their state dicts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paribus.oracles.arrays import Array, Weights, under
from paribus.oracles.attention import mha
from paribus.oracles.ffn import FFN_LAYER
from paribus.oracles.norm import NORM
from paribus.oracles.position import POSITION
from paribus.oracles.residual import EMBEDDING_NORM, FINAL_NORM, placement

Ids = NDArray[np.int64]


def transformer(
    w: Weights,
    ids: Ids,
    *,
    num_heads: int,
    num_layers: int,
    parts: Mapping[str, str],
    num_kv_heads: int | None = None,
    max_seq_len: int = 1024,
    architecture: str = "decoder",
    source: Ids | None = None,
    encoder_layers: int | None = None,
    embedding_norm: bool | None = None,
    final_norm: bool | None = None,
) -> Array:
    """Logits of the whole model from its state dict; `parts` names the part of each slot."""
    layers = {"decoder": 0, "encoder": 0, architecture: num_layers}
    if architecture == "encoder_decoder":
        layers = {"encoder": encoder_layers or num_layers, "decoder": num_layers}
    heads: dict[str, Any] = {
        "num_heads": num_heads,
        "num_kv_heads": 1 if parts["attention"] == "mqa" else num_kv_heads,
    }
    norm, position, residual = NORM[parts["norm"]], POSITION[parts["position"]], parts["residual"]

    def run(stack: str, ids: Ids, memory: Array | None) -> Array:
        of_stack = under(w, f"{stack}.")
        of_position = under(of_stack, "position.")
        x = w["embedding.weight"][ids]
        if position.embed is not None:
            x = position.embed(of_position, x, np.arange(ids.shape[-1], dtype=float))
        if EMBEDDING_NORM[residual] if embedding_norm is None else embedding_norm:
            x = norm(under(of_stack, "embedding_norm."), x)
        for layer in range(layers[stack]):
            block = under(of_stack, f"blocks.{layer}.")

            def attend(x: Array, block: Weights = block) -> Array:
                return mha(
                    under(block, "attention."),
                    x,
                    position=position,
                    position_weights=of_position,
                    max_seq_len=max_seq_len,
                    causal=stack == "decoder",
                    **heads,
                )

            def read(x: Array, block: Weights = block) -> Array:
                return mha(under(block, "cross_attention."), x, memory=memory, **heads)

            def feed_forward(x: Array, block: Weights = block) -> Array:
                return FFN_LAYER[parts["ffn"]](under(block, "ffn."), x)

            sublayers = {"attention": attend, "cross_attention": read, "ffn": feed_forward}
            if memory is None:
                del sublayers["cross_attention"]
            x = placement(
                residual,
                under(block, "residual."),
                x,
                sublayers,
                norm,
                stack=stack,
                encoder_layers=layers["encoder"],
                decoder_layers=layers["decoder"],
            )
        if FINAL_NORM[residual] if final_norm is None else final_norm:
            x = norm(under(of_stack, "final_norm."), x)
        return x

    memory = None
    if architecture == "encoder_decoder":
        assert source is not None
        memory = run("encoder", source, None)
    x = run("encoder" if architecture == "encoder" else "decoder", ids, memory)
    return x @ w.get("head.weight", w["embedding.weight"]).T
