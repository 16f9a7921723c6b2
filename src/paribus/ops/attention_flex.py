"""Attention by `flex_attention`: bias and soft-cap go into the kernel, so no number for each pair is ever held.

Who may see whom becomes a mask of blocks, of which those that are wholly hidden are skipped. On a GPU torch compiles
it to one kernel forward and one backward; on a CPU it runs as a reference, forward only. Shapes as in `ops.attention`.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from paribus.ops.attention import BiasAt, Mask


def flex(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    *,
    mask: Mask,
    scale: float,
    bias: Tensor | BiasAt | None,
    softcap: float | None,
) -> Tensor:
    """What `attend` computes, [B, H, T, K]; gradients reach q, k, v and the tensors that a bias is made of.

    A query that may see no key gives zeros.
    """

    def score(logit: Tensor, row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        if softcap is not None:
            logit = softcap * torch.tanh(logit / softcap)
        if bias is None:
            return logit
        if not isinstance(bias, Tensor):
            return logit + bias(row, head, query, key)
        return logit + (bias[head, query, key] if bias.ndim == 3 else bias[row, head, query, key])

    run = flex_attention if torch.compiler.is_compiling() or q_BHTK.device.type == "cpu" else _compiled()
    return run(
        q_BHTK,
        k_BGSK,
        v_BGSK,
        score_mod=None if softcap is None and bias is None else score,
        block_mask=_visible(
            mask, batch=len(q_BHTK), queries=q_BHTK.shape[2], keys=k_BGSK.shape[2], like=q_BHTK
        ),
        scale=scale,
        enable_gqa=q_BHTK.shape[1] != k_BGSK.shape[1],
    )


@functools.cache
def _compiled() -> Any:
    """In eager code on a GPU the kernel is compiled by itself: else every pair's logit would be held."""
    return torch.compile(flex_attention)


def _visible(mask: Mask, *, batch: int, queries: int, keys: int, like: Tensor) -> BlockMask | None:
    """The blocks in which some query may see some key; None if every query sees every key."""
    valid, document, window, offset = mask.key_valid_BS, mask.document_BS, mask.window, keys - queries
    if not mask.causal and window is None and valid is None and document is None:
        return None

    def sees(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        place = query + offset
        seen = key <= place if mask.causal else key >= 0
        if window is not None:
            seen = seen & (place - key < window) & (key - place < window)
        if valid is not None:
            seen = seen & valid[row, key]
        if document is not None:
            # A query before all keys is of no document; the clamp keeps its index in bounds.
            seen = seen & (place >= 0) & (document[row, place.clamp(min=0)] == document[row, key])
        return seen

    rows = None if valid is None and document is None else batch
    return create_block_mask(sees, rows, None, queries, keys, device=like.device)
