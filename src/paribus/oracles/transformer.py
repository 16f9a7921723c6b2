"""Whole models from their state dicts."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paribus.oracles.activation import ACTIVATION
from paribus.oracles.arrays import Array, Function, Weights, affine, under
from paribus.oracles.attention import Mask, mha
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
    options: Mapping[str, Mapping[str, Any]] | None = None,
    num_kv_heads: int | None = None,
    max_seq_len: int = 1024,
    architecture: str = "decoder",
    source_ids: Ids | None = None,
    source: Ids | None = None,
    encoder_layers: int | None = None,
    embedding_norm: bool | None = None,
    final_norm: bool | None = None,
    valid: Mask | None = None,
    source_valid: Mask | None = None,
    document: NDArray[Any] | None = None,
    segment: Ids | None = None,
    head_transform: str | None = None,
) -> Array:
    """Logits [B, T, V] of the whole model from its state dict; `parts` names the part of each slot, `options` theirs.

    `architecture`: decoder (causal), encoder (every token sees every other) or encoder_decoder, whose decoder reads
    the encoding of `source_ids` (or `source`, the same) between self-attention and feed-forward layer. Weights are
    below `encoder.` and `decoder.`; the stacks share `embedding.weight`, which is the head too if there is none.
    `valid` [B, T] and `source_valid` [B, S] are false where padding is: nobody reads that. `document` [B, T] numbers
    the documents packed into a row of `ids`, none of which reads another. `segment` [B, T] numbers the rows of
    `segment_embedding.weight`, where there is one (unless given, all are the first). `head_transform` is the activation
    between the matrix and the norm that stand before the head. A bias of the head the weights show.
    """
    given = options or {}
    source_ids = source if source_ids is None else source_ids
    layers = {"encoder": 0, "decoder": 0}
    if architecture == "encoder_decoder":
        layers = {"encoder": encoder_layers or num_layers, "decoder": num_layers}
    else:
        layers[architecture] = num_layers
    norm = partial(NORM[parts["norm"]], **given.get("norm", {}))
    feed_forward = partial(FFN_LAYER[parts["ffn"]], **given.get("ffn", {}))
    attend = partial(
        mha,
        num_heads=num_heads,
        num_kv_heads=1 if parts.get("attention") == "mqa" else num_kv_heads,
        **given.get("attention", {}),
    )
    position, position_options = POSITION[parts["position"]], given.get("position", {})
    has_embedding_norm = EMBEDDING_NORM[parts["residual"]] if embedding_norm is None else embedding_norm
    segments = w.get("segment_embedding.weight")
    has_final_norm = FINAL_NORM[parts["residual"]] if final_norm is None else final_norm

    def block(
        stack: str, weights: Weights, of_position: Weights, x: Array, memory: Array | None, seen: Mask | None
    ) -> Array:
        self_attend = partial(
            attend,
            under(weights, "attention."),
            position=position,
            position_weights=of_position,
            position_options=position_options,
            max_seq_len=max_seq_len,
            causal=stack == "decoder",
            key_valid=seen,
            document=document if stack == architecture or stack == "decoder" else None,
        )
        sublayers: dict[str, Function] = {"attention": self_attend}
        if memory is not None:
            sublayers["cross_attention"] = partial(
                attend, under(weights, "cross_attention."), memory=memory, key_valid=source_valid
            )
        sublayers["ffn"] = partial(feed_forward, under(weights, "ffn."))
        return placement(
            parts["residual"],
            under(weights, "residual."),
            x,
            sublayers,
            norm,
            stack=stack,
            encoder_layers=layers["encoder"],
            decoder_layers=layers["decoder"],
        )

    def run(stack: str, ids: Ids, seen: Mask | None, memory: Array | None = None) -> Array:
        weights = under(w, f"{stack}.")
        of_position = under(weights, "position.")
        x = w["embedding.weight"][ids]
        if segments is not None:
            x = x + segments[np.zeros_like(ids) if segment is None else segment]
        if position.embed is not None:
            x = position.embed(of_position, x, np.arange(ids.shape[-1]), **position_options)
        if has_embedding_norm:
            x = norm(under(weights, "embedding_norm."), x)
        for layer in range(layers[stack]):
            x = block(stack, under(weights, f"blocks.{layer}."), of_position, x, memory, seen)
        return norm(under(weights, "final_norm."), x) if has_final_norm else x

    if architecture == "encoder":
        x = run("encoder", ids, valid)
    elif architecture == "decoder":
        x = run("decoder", ids, valid)
    else:
        if source_ids is None:
            raise ValueError("an encoder_decoder reads source_ids")
        x = run("decoder", ids, valid, run("encoder", source_ids, source_valid))
    if head_transform is not None:
        of_head = under(w, "head.transform.")
        activation = partial(ACTIVATION[head_transform], under(of_head, "activation."))
        x = norm(under(of_head, "norm."), activation(affine(of_head, "dense", x)))
    return x @ w.get("head.weight", w["embedding.weight"]).T + w.get("head.bias", 0.0)
