"""Attention written once more, with mistakes: without one it passes the comparison, with any it fails.

So a case exists that tells each mistake, and a tolerance that lets none of them through.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from paribus.ops.attention import Mask

from .attention_cases import COMMON, PLAIN, assert_is_the_definition

#: Mistake -> the cases that must tell it.
MISTAKES = {
    "window off by one": "window",
    "window both ways off by one": "window both ways",
    "window one-sided in a bidirectional stack": "window both ways",
    "window counted from the first query": "window, cached",
    "mask without the cache's offset": "causal, cached",
    "documents without the cache's offset": "documents, cached",
    "documents told by the first row": "documents",
    "padding of queries, not of keys": "padding on the right",
    "conditions joined by or": "everything",
    "blind queries average": "padding on the left",
    "blind queries are nan": "padding on the left",
    "head h reads h mod G": "4 heads on 2",
    "groups reversed": "6 heads on 2",
    "scale forgotten": "open",
    "cap after the mask": "softcap",
    "cap without its factor": "softcap",
    "bias before the cap": "all at once",
    "bias transposed": "bias of 3 axes",
    "bias of the first row": "bias of 4 axes",
    "bias scaled": "bias of 3 axes",
    "sink gives value": "sinks",
    "sink capped": "all at once",
    "sink left out where nothing is seen": "sinks of blind queries",
    "key vectors unscaled": "vectors",
    "value vectors forgotten": "vectors",
    "value vectors of the key before": "vectors",
}


def hidden_by(mistake: str, mask: Mask, t: int, s: int) -> Tensor:
    offset = 0 if mistake == "mask without the cache's offset" else s - t
    query, key = torch.arange(t)[:, None] + offset, torch.arange(s)[None]
    hidden = [torch.zeros(1, t, s, dtype=torch.bool)]
    if mask.causal:
        hidden.append((key > query)[None])
    if mask.window is not None:
        one_sided = mask.causal or mistake == "window one-sided in a bidirectional stack"
        away = query - key if one_sided else (query - key).abs()
        if mistake == "window counted from the first query":
            away = away - (s - t)
        hidden.append((away > mask.window - ("off by one" not in mistake))[None])
    if mask.key_valid_BS is not None:
        if mistake == "padding of queries, not of keys":
            hidden.append(~mask.key_valid_BS[:, s - t :, None].expand(-1, -1, s))
        else:
            hidden.append(~mask.key_valid_BS[:, None, :].expand(-1, t, -1))
    if mask.document_BS is not None:
        start = 0 if mistake == "documents without the cache's offset" else s - t
        document = mask.document_BS
        if mistake == "documents told by the first row":
            document = document[:1].expand_as(document)
        hidden.append(document[:, start : start + t, None] != document[:, None, :])
    join = torch.logical_and if mistake == "conditions joined by or" else torch.logical_or
    found = hidden[0] if len(hidden) == 1 or join is torch.logical_or else hidden[1]
    for each in hidden[1:]:
        found = join(found, each)
    return found[:, None]


def attend_with(
    mistake: str,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Mask,
    scale: float,
    backend: str,
    bias: Tensor | None,
    softcap: float | None,
    sinks_H: Tensor | None,
    score: Callable[[Tensor], Tensor] | None = None,
    value: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    heads, t, s = q.shape[1], q.shape[2], k.shape[2]
    group = torch.arange(heads) // (heads // k.shape[1])
    if mistake == "head h reads h mod G":
        group = torch.arange(heads) % k.shape[1]
    if mistake == "groups reversed":
        group = group.flip(0)
    k, v = k[:, group], v[:, group]
    logits = q @ k.transpose(-1, -2) * (1.0 if mistake == "scale forgotten" else scale)
    if score is not None:
        logits = logits + score(q if mistake == "key vectors unscaled" else q * scale)
    hidden = hidden_by(mistake, mask, t, s)

    def cap(x: Tensor) -> Tensor:
        if softcap is None:
            return x
        return torch.tanh(x / softcap) * (1.0 if mistake == "cap without its factor" else softcap)

    added: Any = 0.0 if bias is None else bias
    if bias is not None:
        if mistake == "bias transposed" and t == s:
            added = bias.transpose(-1, -2)
        if mistake == "bias of the first row" and bias.ndim == 4:
            added = bias[:1]
        if mistake == "bias scaled":
            added = bias * scale
    if mistake == "cap after the mask":
        logits = cap(logits.masked_fill(hidden, float("-inf"))) + added
    elif mistake == "bias before the cap":
        logits = cap(logits + added).masked_fill(hidden, float("-inf"))
    else:
        logits = (cap(logits) + added).masked_fill(hidden, float("-inf"))
    if sinks_H is not None:
        sink = cap(sinks_H) if mistake == "sink capped" else sinks_H
        logits = torch.cat((logits, sink[:, None, None].expand(*logits.shape[:-1], 1)), dim=-1)
        if mistake == "sink left out where nothing is seen":
            alone = hidden.all(-1, keepdim=True) & (torch.arange(s + 1) == s)
            logits = logits.masked_fill(alone, float("-inf"))
    p = logits.softmax(-1)
    if mistake == "blind queries average":
        p = torch.where(p.isnan(), 1 / s, p)
    elif mistake not in ("blind queries are nan", "sink left out where nothing is seen"):
        p = p.nan_to_num(0.0)
    if mistake == "sink gives value":
        p = (
            torch.cat((p[..., : s - 1], p[..., s - 1 :].sum(-1, keepdim=True)), dim=-1)
            if sinks_H is not None
            else p
        )
    p = p[..., :s]
    out = p @ v
    if value is None or mistake == "value vectors forgotten":
        return out
    return out + value(p.roll(1, -1) if mistake == "value vectors of the key before" else p)


@pytest.mark.parametrize("name", [*COMMON, *PLAIN])
def test_without_a_mistake_it_is_the_definition(name: str) -> None:
    assert_is_the_definition(partial(attend_with, ""), {**COMMON, **PLAIN}[name])


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_told(mistake: str) -> None:
    case = {**COMMON, **PLAIN}[MISTAKES[mistake]]
    with pytest.raises(AssertionError):
        assert_is_the_definition(partial(attend_with, mistake), case)
    assert np.isfinite(case.expected()).all()
