"""Text from a model, token by token: greedy or drawn, whole batches at once, as a stream or all together.

`steps` is the stream of tokens, and `generate` collects it. What is chosen stands in `sampling`, how the text is read
in `reader`, what the model does once beforehand in `prepare`, and text instead of tokens in `write`.

Shapes: B rows, T tokens of the prompt, S tokens of the source.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Required, TypedDict, Unpack, overload

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.model.prepare import Prepared, prepare
from paribus.model.prompts import Batch, batch_of
from paribus.model.reader import Reader
from paribus.model.sampling import Draws, Sampling, row_seed
from paribus.model.transformer import Transformer

#: From how many tokens on copies of the weights cost less than they save (measured: 10 to 14 on a CPU).
_WORTH_COPIES = 16


class Settings(TypedDict, total=False):
    """What generating may be told, for `steps`, `generate` and `write` alike.

    max_new_tokens      at most so many tokens are made; the only one that must be given
    temperature, top_k, top_p, min_p, repetition_penalty
                        how a token is chosen, in which order: `Sampling`; greedy unless told otherwise
    seed                of all draws, or one for each row. Row r of one seed draws as `row_seed(seed, r)` alone does
    stop                a token, or several, after which a row ends
    ends                asked (row, token) for each new token of a row that goes on; true ends the row
    window, sinks       how a text longer than the model can read goes on: `Reader`
    source_BS, source_valid_BS
                        what an encoder-decoder reads, false where it is padding
    dtype               in which the model computes
    copies              whether linear layers get copies of their weights: `prepare`, which decides unless told. Not
                        for a `Prepared` model, which has its dtype and copies
    """

    max_new_tokens: Required[int]
    temperature: float
    top_k: int | None
    top_p: float
    min_p: float
    repetition_penalty: float
    seed: int | Sequence[int]
    stop: int | Collection[int] | None
    ends: Callable[[int, int], bool] | None
    window: int | None
    sinks: int
    source_BS: Tensor | None
    source_valid_BS: Tensor | None
    dtype: torch.dtype
    copies: bool | None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One new token a row, [B]. Only those of `live_B` are text: the others' rows have ended and repeat their last.

    `ended_B` is true for rows that end with this token or ended before.
    """

    token_B: Tensor
    live_B: Tensor
    ended_B: Tensor


def steps(
    model: Transformer | Prepared,
    prompts: Tensor | Sequence[Tensor] | Sequence[Sequence[int]],
    **settings: Unpack[Settings],
) -> Iterator[Step]:
    """The tokens that the model goes on with, step by step, until all rows have ended or `max_new_tokens` are made.

    `prompts` are ids [B, T], or rows of any lengths; each row goes on as it would alone, unless
    positions go by the length of the text (`rope_dynamic`, `rope_longrope`): that is the longest row's. Settings are
    `Settings`.
    The model is not touched: whether it trains, and whether the caller records gradients, stays as it is between
    steps. Raises `RequestError` for impossible settings, at once.
    """
    chosen = dict(settings)
    sampling = Sampling(
        **{name: chosen.pop(name) for name in Sampling.__dataclass_fields__ if name in chosen}  # type: ignore[arg-type]
    )
    return _checked(model, prompts, sampling, **chosen)  # type: ignore[arg-type]


def _checked(
    model: Transformer | Prepared,
    prompts: Tensor | Sequence[Tensor] | Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    max_new_tokens: int,
    seed: int | Sequence[int] = 0,
    stop: int | Collection[int] | None = None,
    ends: Callable[[int, int], bool] | None = None,
    dtype: torch.dtype | None = None,
    copies: bool | None = None,
    window: int | None = None,
    sinks: int = 0,
    source_BS: Tensor | None = None,
    source_valid_BS: Tensor | None = None,
) -> Iterator[Step]:
    """The stream, once it is known that it can be made."""
    for name, number in (("max_new_tokens", max_new_tokens), ("window", window or 0), ("sinks", sinks)):
        if not isinstance(number, int) or number < 0:
            raise RequestError(f"{name} is a whole number of at least 0; it is {number!r}")
    if isinstance(model, Prepared):
        if copies is not None or (dtype is not None and dtype != model.dtype):
            raise RequestError(f"the model was prepared to compute in {model.dtype}, with the copies it has")
        prepared = model
    else:
        if copies is None and max_new_tokens < _WORTH_COPIES:
            copies = False
        prepared = prepare(model, dtype=dtype or torch.float32, copies=copies)
    config = prepared.model.config
    if max_new_tokens and config.architecture == "encoder":
        raise RequestError("an encoder sees later tokens too, so it cannot go on from a text")
    batch = batch_of(prompts, vocab_size=config.vocab_size, device=prepared.model.embedding.weight.device)
    rows = len(batch.pad_B)
    if source_BS is not None and len(source_BS) != rows:
        raise RequestError(f"there is one source a row; there are {len(source_BS)} for {rows} rows")
    seeds = [row_seed(seed, row) for row in range(rows)] if isinstance(seed, int) else list(seed)
    if len(seeds) != rows:
        raise RequestError(f"there is one seed, or one for each row; there are {len(seeds)} for {rows} rows")
    reader = Reader(
        prepared, batch, window=window, sinks=sinks, source_BS=source_BS, source_valid_BS=source_valid_BS
    )
    stops = [stop] if isinstance(stop, int) else sorted(stop or ())
    draws = None if sampling.greedy else Draws(seeds)
    return _stepped(
        reader,
        sampling,
        draws,
        _seen(batch, config.vocab_size) if sampling.penalises else None,
        torch.tensor(stops, dtype=torch.long, device=batch.ids_BT.device),
        ends,
        rows=rows,
        max_new_tokens=max_new_tokens,
    )


def _stepped(
    reader: Reader,
    sampling: Sampling,
    draws: Draws | None,
    seen_BV: Tensor | None,
    stop_N: Tensor,
    ends: Callable[[int, int], bool] | None,
    *,
    rows: int,
    max_new_tokens: int,
) -> Iterator[Step]:
    ended_B = torch.zeros(rows, dtype=torch.bool, device=stop_N.device)
    token_B: Tensor | None = None
    may_end = len(stop_N) > 0 or ends is not None
    for _ in range(max_new_tokens):
        # Never around a yield: the mode would be the caller's too.
        with torch.inference_mode():
            if token_B is not None:
                reader.add(token_B)
            next_B = sampling.choose(reader.logits(), draws, seen_BV)
            if may_end and token_B is not None:
                next_B = torch.where(ended_B, token_B, next_B)
            if seen_BV is not None:
                seen_BV.scatter_(1, next_B[:, None], True)
        token_B = next_B.clone()  # what is made in inference mode cannot be trained on
        live_B = ~ended_B
        if may_end:
            ended_B = ended_B | torch.isin(token_B, stop_N)
            if ends is not None:
                asked = zip(token_B.tolist(), live_B.tolist(), strict=True)
                told = [live and ends(row, token) for row, (token, live) in enumerate(asked)]
                ended_B = ended_B | torch.tensor(told, device=ended_B.device)
        yield Step(token_B=token_B, live_B=live_B, ended_B=ended_B)
        if may_end and ended_B.all():
            return


def _seen(batch: Batch, vocab_size: int) -> Tensor:
    """True for the tokens of each row's prompt, [B, V]."""
    seen_BV = torch.zeros(len(batch.pad_B), vocab_size, dtype=torch.bool, device=batch.ids_BT.device)
    for row, pad in enumerate(batch.pad_B.tolist()):
        seen_BV[row, batch.ids_BT[row, pad:]] = True
    return seen_BV


@overload
def generate(model: Transformer | Prepared, prompts: Tensor, **settings: Unpack[Settings]) -> Tensor: ...


@overload
def generate(
    model: Transformer | Prepared,
    prompts: Sequence[Tensor] | Sequence[Sequence[int]],
    **settings: Unpack[Settings],
) -> list[Tensor]: ...


def generate(
    model: Transformer | Prepared,
    prompts: Tensor | Sequence[Tensor] | Sequence[Sequence[int]],
    **settings: Unpack[Settings],
) -> Tensor | list[Tensor]:
    """The prompts and what the model goes on with; `steps` says how.

    For ids [B, T] it is a tensor [B, T + at most max_new_tokens], in which a row that ended early repeats its last
    token. For rows of any lengths it is a list of rows, each with its own prompt up to its own end.
    """
    made = list(steps(model, prompts, **settings))
    if isinstance(prompts, Tensor):
        return torch.cat((prompts, *(step.token_B[:, None].to(prompts.device) for step in made)), dim=1)
    rows = [torch.as_tensor(row, dtype=torch.long) for row in prompts]
    if not made:
        return rows
    token_BN = torch.stack([step.token_B for step in made], dim=1)
    length_B = torch.stack([step.live_B for step in made], dim=1).sum(1).tolist()
    return [
        torch.cat((row, new[:length].to(row.device)))
        for row, new, length in zip(rows, token_BN, length_B, strict=True)
    ]
