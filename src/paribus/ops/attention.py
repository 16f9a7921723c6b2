"""Scaled dot-product attention, by whichever backend is fastest for the shape.

Three exact forms of softmax(q kᵀ · scale + bias + mask) v: `plain` (two products and a softmax, which a compiler
fuses), `sdpa` (torch's fused kernels) and, where a GPU's measurements say so, `flex` (a generated kernel that makes
each number of a bias where it is used). On CPUs at short length the plain products win by up to four times, at long
length the fused kernel does; attention_table.json has what was measured, and `make attention-table` measures again.
What only the plain form can do (terms that depend on the query's content, soft-caps, sinks) makes it the choice.
The choice is made outside compiled code and is recorded.

Shapes: B batch, H query heads, G key and value heads (H is a multiple of G), T queries, S keys, K head
dimension. Query t stands at the place of key S - T + t: with a cache, the queries are the last of the keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from paribus.errors import RequestError
from paribus.ops.once import gradient_once
from paribus.ops.transformed import goes_backwards, in_forward_mode

Backend = Literal["plain", "sdpa", "flex"]

#: Whether a layer adds a bias, by device type and dtype, to what was fastest at measured lengths, in their order.
Table = Mapping[tuple[str, torch.dtype, bool], Sequence[tuple[int, Backend]]]
#: From how many queries on a causal product is split into so many blocks.
_CPU_BLOCKS = ((512, 4), (128, 2))


#: The bias of (row, head, query, key), from their indices.
BiasAt = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Which keys a query may see; a key must pass every condition.

    `causal`: not after the query. `window`: fewer than that many places away. `key_valid_BS`: true, as it is
    not for padding. `document_BS`: of the query's own document, told by any number.
    """

    causal: bool
    window: int | None = None
    key_valid_BS: Tensor | None = None
    document_BS: Tensor | None = None


def hidden_keys(mask: Mask, *, queries: int, keys: int, device: torch.device) -> Tensor | None:
    """True where a query may not see a key, [T, S] or [B, 1, T, S]; None if every query sees every key."""
    offset = keys - queries
    hidden: Tensor | None = None
    # One query at the end sees all that is before it, so generating makes no mask.
    last = mask.causal and queries == 1
    if mask.causal and not last:
        hidden = torch.ones(queries, keys, dtype=torch.bool, device=device).triu(1 + offset)
    if mask.window is not None and not (last and keys <= mask.window):
        everything = torch.ones(queries, keys, dtype=torch.bool, device=device)
        far = everything.tril(offset - mask.window)
        far = far if mask.causal else far | everything.triu(offset + mask.window)
        hidden = far if hidden is None else hidden | far
    if mask.key_valid_BS is not None:
        padding = ~mask.key_valid_BS[:, None, None, :]
        hidden = padding.expand(-1, -1, queries, -1) if hidden is None else hidden | padding
    if mask.document_BS is not None:
        documents = mask.document_BS
        foreign = documents[:, None, offset:, None] != documents[:, None, None, :]
        hidden = foreign if hidden is None else hidden | foreign
    return hidden


def read_table(path: Path) -> Table:
    """The measured table that `make attention-table` writes; what is not as it should be is left out."""
    table: dict[tuple[str, torch.dtype, bool], list[tuple[int, Backend]]] = {}
    try:
        devices = json.loads(path.read_text(encoding="utf-8"))["devices"]
        rows = [(device, row) for device, measured in devices.items() for row in measured["rows"]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return table
    for device, row in rows:
        try:
            key = (device, _DTYPES[row["dtype"]], bool(row["bias"]))
            length, backend = int(row["seq_len"]), row["backend"]
        except (ValueError, LookupError, TypeError, OverflowError):
            continue
        if backend in get_args(Backend) and not (backend == "flex" and device == "cpu"):
            table.setdefault(key, []).append((length, backend))
    return {key: sorted(found) for key, found in table.items()}


_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
TABLE = Path(__file__).with_name("attention_table.json")
# Read with the module, so that code which is being compiled finds a constant.
_MEASURED = read_table(TABLE)


def choose_backend(
    *,
    seq_len: int,
    device_type: str,
    dtype: torch.dtype,
    biased: bool = False,
    queries: int | None = None,
    table: Table | None = None,
) -> Backend:
    """The exact backend that was fastest at the nearest measured length from `seq_len` up.

    For a layer that all of them can compute. `biased` says whether a bias is added to the logits; `table` is the
    package's unless given. A dtype that was not measured goes by float32. Where nothing was, above the longest
    length or on another device, it is sdpa, which holds no number for each pair of tokens. So it is for one
    of `queries` alone, where calls cost more than numbers: in bf16 on a CPU it takes a quarter to a half of the plain
    form's time up to some hundred keys, and the same beyond. In forward mode it is plain: torch's kernels have no
    forward derivatives.
    """
    if in_forward_mode():
        return "plain"
    # A length that `torch.export` leaves open has no nearest one.
    if queries == 1 or isinstance(seq_len, torch.SymInt):
        return "sdpa"
    table = _MEASURED if table is None else table
    measured = table.get((device_type, dtype, biased)) or table.get((device_type, torch.float32, biased), ())
    for length, backend in measured:
        if seq_len <= length:
            return backend
    return "sdpa"


def attend(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    *,
    mask: Mask,
    scale: float,
    backend: Backend,
    bias: Tensor | BiasAt | None = None,
    score: Callable[[Tensor], Tensor] | None = None,
    value: Callable[[Tensor], Tensor] | None = None,
    softcap: float | None = None,
    sinks_H: Tensor | None = None,
) -> Tensor:
    """softmax(cap(q kᵀ · scale) + bias + mask) v, [B, H, T, K] in the dtype of q.

    Head h reads key and value head h // (H / G). `bias` is [H, T, S] or [B, H, T, S], or for flex a function of
    the indices (row, head, query, key), of which no such tensor is made. `score` maps scaled
    queries to more logits [B, H, T, S], `value` maps probabilities to more output [B, H, T, K] (Shaw et al.
    2018). `softcap` c bounds logits by c · tanh(logit / c) (Gemma 2). `sinks_H` are logits that take part in
    the softmax and give nothing (gpt-oss). A query that may see no key gives zeros. The plain form takes the
    softmax in at least float32. Raises `RequestError` if another is asked for what only it can do, and
    `NotImplementedError` from torch if flex is asked for gradients on a CPU. On a CPU the gradients of sdpa cannot be
    differentiated; under `torch.nn.attention.sdpa_kernel(SDPBackend.MATH)` they can.
    Source: Vaswani et al. 2017 (arXiv:1706.03762), equation 1; Ainslie et al. 2023 (arXiv:2305.13245).
    """
    if backend != "plain" and not (score is None and value is None and sinks_H is None):
        raise RequestError("scores, values and sinks need the plain attention backend")
    if backend == "flex":
        # Imported here: it is slow, and loads triton where that is installed.
        from paribus.ops.attention_flex import flex

        return flex(q_BHTK, k_BGSK, v_BGSK, mask=mask, scale=scale, bias=bias, softcap=softcap)
    if not (bias is None or isinstance(bias, Tensor)):
        raise RequestError("a bias as a function of indices needs the flex attention backend")
    if backend == "sdpa":
        if softcap is not None:
            raise RequestError("soft-caps need the plain or the flex attention backend")
        return _fused(q_BHTK, k_BGSK, v_BGSK, mask=mask, scale=scale, bias=bias)

    queries, keys = q_BHTK.shape[2], k_BGSK.shape[2]
    q_BHTK = q_BHTK * scale
    hidden = hidden_keys(mask, queries=queries, keys=keys, device=q_BHTK.device)
    whole = score is not None or value is not None or q_BHTK.device.type != "cpu"
    blocks = _blocks(mask, queries=queries, keys=keys, whole=whole)
    biases = [bias if bias is None else bias[..., rows, columns] for rows, columns in blocks]
    if len(blocks) > 1:
        q_BHTK, k_BGSK, v_BGSK = (gradient_once(x) for x in (q_BHTK, k_BGSK, v_BGSK))
        biases = [part if part is None else gradient_once(part) for part in biases]
    out = [
        _plain(
            q_BHTK[:, :, rows],
            k_BGSK[:, :, columns],
            v_BGSK[:, :, columns],
            hidden=None if hidden is None else hidden[..., rows, columns],
            may_be_blind=_may_be_blind(mask, queries=queries, keys=keys),
            bias=part,
            score=score,
            value=value,
            softcap=softcap,
            sinks_H=sinks_H,
        )
        for (rows, columns), part in zip(blocks, biases, strict=True)
    ]
    # Put together as [B, T, H, K], which is how the output projection reads it.
    return out[0] if len(out) == 1 else torch.cat([x.transpose(1, 2) for x in out], dim=1).transpose(1, 2)


def _blocks(mask: Mask, *, queries: int, keys: int, whole: bool) -> list[tuple[slice, slice]]:
    """Queries in blocks, each with the keys that any of them may see: what is wholly hidden is not computed.

    One block of everything where nothing can be left out, or where `whole` asks for it.
    """
    whole = whole or isinstance(queries, torch.SymInt)  # a length that `torch.export` leaves open
    count = 1 if whole else next((blocks for least, blocks in _CPU_BLOCKS if queries >= least), 1)
    if not mask.causal or count == 1 or queries > keys:
        return [(slice(0, queries), slice(0, keys))]
    ends = [number * queries // count for number in range(count + 1)]
    offset = keys - queries
    seen_from = [0 if mask.window is None else max(0, offset + first - mask.window + 1) for first in ends]
    return [
        (slice(first, end), slice(seen, offset + end))
        for first, end, seen in zip(ends[:-1], ends[1:], seen_from[:-1], strict=True)
    ]


def _plain(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    *,
    hidden: Tensor | None,
    may_be_blind: bool,
    bias: Tensor | None,
    score: Callable[[Tensor], Tensor] | None,
    value: Callable[[Tensor], Tensor] | None,
    softcap: float | None,
    sinks_H: Tensor | None,
) -> Tensor:
    """Two products and a softmax, for scaled queries."""
    heads, queries = q_BHTK.shape[1:3]
    groups, keys = k_BGSK.shape[1:3]
    # The queries of all heads that share keys stand in one product, so keys are never copied.
    shared = (groups, heads // groups * queries)
    product = _Logits.apply if goes_backwards() else _Logits.forward  # `apply` alone costs as much
    logit_BHTS = product(q_BHTK.reshape(-1, *shared, q_BHTK.shape[-1]), k_BGSK)
    logit_BHTS = logit_BHTS.reshape(-1, heads, queries, keys)
    if score is not None:
        logit_BHTS = logit_BHTS + score(q_BHTK)
    if softcap is not None:
        logit_BHTS = softcap * torch.tanh(logit_BHTS / softcap)
    if bias is not None:
        logit_BHTS = logit_BHTS + bias
    if hidden is not None:
        # -inf everywhere would make a softmax nan. Added, not filled in: the gradient of what is hidden is zero
        # anyway, and compiled on a CPU filling costs half as much again as the whole of attention.
        wide = torch.promote_types(logit_BHTS.dtype, torch.float32)
        lowest = torch.finfo(torch.float32).min if may_be_blind else float("-inf")
        logit_BHTS = logit_BHTS + torch.where(hidden, lowest, 0.0).to(wide)
    probability_BHTS = _softmax(logit_BHTS, sinks_H)
    if may_be_blind and hidden is not None:
        probability_BHTS = probability_BHTS.masked_fill(hidden, 0.0)
    probability_BHTS = probability_BHTS.to(v_BGSK.dtype)
    out = (probability_BHTS.reshape(-1, *shared, keys) @ v_BGSK).reshape(-1, heads, queries, v_BGSK.shape[-1])
    return out if value is None else out + value(probability_BHTS)


class _Logits(torch.autograd.Function):
    """q kᵀ. Autograd's own gradient of k comes out transposed, and turning it costs more than making it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(q: Tensor, k: Tensor) -> Tensor:
        return q @ k.transpose(-1, -2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        q, k = ctx.saved_tensors
        wants_q, wants_k = ctx.needs_input_grad
        return gradient @ k if wants_q else None, gradient.transpose(-1, -2) @ q if wants_k else None


def _may_be_blind(mask: Mask, *, queries: int, keys: int) -> bool:
    """Whether a query may see no key: only padding hides its own, and only one before all keys has none."""
    return mask.key_valid_BS is not None or queries > keys


def _softmax(logit_BHTS: Tensor, sinks_H: Tensor | None) -> Tensor:
    wide = torch.promote_types(logit_BHTS.dtype, torch.float32)
    if sinks_H is None:
        return torch.softmax(logit_BHTS, dim=-1, dtype=wide)
    sink = sinks_H.to(wide)[:, None, None].expand(*logit_BHTS.shape[:-1], 1)
    return torch.softmax(torch.cat((logit_BHTS.to(wide), sink), dim=-1), dim=-1)[..., :-1]


def _fused(
    q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, *, mask: Mask, scale: float, bias: Tensor | None
) -> Tensor:
    grouped = q_BHTK.shape[1] != k_BGSK.shape[1]
    queries, keys = q_BHTK.shape[2], k_BGSK.shape[2]
    more = any(given is not None for given in (mask.window, mask.key_valid_BS, mask.document_BS, bias))
    only_causal = mask.causal and queries == keys and not more
    hidden = None
    if not only_causal:
        hidden = hidden_keys(mask, queries=queries, keys=keys, device=q_BHTK.device)
    added = bias if bias is None else bias.to(q_BHTK.dtype)
    if hidden is not None:
        base = torch.zeros((), dtype=q_BHTK.dtype, device=q_BHTK.device) if added is None else added
        added = torch.where(hidden, torch.finfo(q_BHTK.dtype).min, base)
    if added is not None and added.ndim == 3:
        added = added[None]
    out = F.scaled_dot_product_attention(
        q_BHTK, k_BGSK, v_BGSK, attn_mask=added, is_causal=only_causal, scale=scale, enable_gqa=grouped
    )
    if hidden is not None and _may_be_blind(mask, queries=queries, keys=keys):
        out = out.masked_fill(hidden.all(-1, keepdim=True), 0.0)
    return out
