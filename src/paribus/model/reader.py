"""Reads a growing text so that the logits of its next token are known, by one of three ways.

Whole: each token is read once, and everything before it is in the cache. Through a window: what has grown beyond it
is read again each time, from its last tokens. With attention sinks: the first and the last tokens stay in the cache.
Choosing a token is not done here.

Shapes: B rows, T tokens, V vocab_size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.model.cache import Cache
from paribus.model.prepare import Prepared
from paribus.model.prompts import Batch

_FEW = 16  # tokens of a step that reads weights more than it computes


class Reader:
    """The text of a batch of prompts, and the model that reads it.

    With `window` a text that has grown beyond so many tokens is read from its last `window` tokens at positions
    0, 1, ...; with `sinks` too, from the first `sinks` and the last `window - sinks` as the cache keeps them (see
    `Cache`). That is exact in the first layer only: what deeper layers keep was computed when other tokens, now gone,
    could be seen. Raises `RequestError` for a window below 1, sinks without a larger one, and sinks with padding.
    """

    def __init__(
        self,
        prepared: Prepared,
        prompts: Batch,
        *,
        window: int | None = None,
        sinks: int = 0,
        source_BS: Tensor | None = None,
        source_valid_BS: Tensor | None = None,
    ) -> None:
        if window is not None and window < 1:
            raise RequestError(f"window is a number of tokens, at least 1; it is {window}")
        if sinks and prompts.padded:
            raise RequestError("attention sinks are a row's first tokens, so prompts must have one length")
        self._model, self._dtype, self._one_thread = prepared.model, prepared.dtype, prepared.one_thread
        self._window, self._sinks = window, sinks
        self._source = {"source_BS": source_BS, "source_valid_BS": source_valid_BS}
        self._cache = Cache(window=window, sinks=sinks) if sinks else Cache()
        self._text = prompts
        self._unread = prompts
        limits = (each.holds_until for each in prepared.model.positions())
        self._hold_until = {limit for limit in limits if limit is not None}

    def logits(self) -> Tensor:
        """Logits of the next token, [B, V]; reads all that is not yet read."""
        if self._sinks:
            return self._through_sinks()
        if self._window is not None and self._text.ids_BT.shape[1] > self._window:
            # Every token has moved to another position, so nothing cached holds any more.
            self._cache = self._cache.emptied()
            self._text = self._unread = self._text.last(self._window)
        else:
            length = self._cache.length
            if any(length <= limit < length + self._unread.ids_BT.shape[1] for limit in self._hold_until):
                self._cache, self._unread = self._cache.emptied(), self._text
        return self._read_whole()

    def _read_whole(self) -> Tensor:
        length, longest = self._cache.length + self._unread.ids_BT.shape[1], self._model.config.max_seq_len
        try:
            return self._read(self._unread)
        except RequestError as error:
            if self._window is not None or length <= longest:
                raise
            raise RequestError(f"{error}; with a window of at most {longest} tokens it goes on") from None

    def _through_sinks(self) -> Tensor:
        # Once the window is full each token moves all others, so it cannot be read together with them.
        assert self._window is not None
        room = max(0, self._window - self._cache.length)
        unread_BT = self._unread.ids_BT
        for ids_BT in (unread_BT[:, :room], *unread_BT[:, room:].split(1, dim=1)):
            if ids_BT.shape[1]:
                logits_BV = self._read(Batch(ids_BT=ids_BT, pad_B=self._unread.pad_B, padded=False))
        return logits_BV

    def add(self, token_B: Tensor) -> None:
        """The next token of each row."""
        self._unread = Batch(ids_BT=token_B[:, None], pad_B=self._text.pad_B, padded=False)
        if (self._window is not None and not self._sinks) or self._hold_until:
            self._text = self._text.with_tokens(token_B)

    def _read(self, batch: Batch) -> Tensor:
        few = self._one_thread and batch.ids_BT.numel() <= _FEW
        with _threads(1) if few else nullcontext():
            x_BTD, _ = self._model.stream(
                batch.ids_BT,
                dtype=self._dtype,
                position_T=batch.position_BT,
                valid_BT=batch.valid_BT,
                cache=self._cache,
                **self._source,
            )
            return self._model.logits(x_BTD[:, -1:])[:, 0]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads for torch's operations, and as many as before at the end."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
