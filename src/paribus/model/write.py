"""Text instead of tokens: what may be shown as tokens come, and stop strings, which may span tokens.

Tokens are not pieces of text: several make one character, and a stop string may begin in one and end in another. So
text is held back while it may still become part of either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Unpack

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.model.generate import Settings, steps
from paribus.model.prepare import Prepared
from paribus.model.transformer import Transformer

Decode = Callable[[list[int]], str]

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # what decoders give for the first bytes of a character
_LONGEST = 16  # tokens; a character has four bytes, so what is unfinished for so long is no text
_CONTEXT = 4  # tokens of the prompt that are decoded with what follows


class Text:
    """The text of one row, as far as it is settled.

    `add` takes a token and gives the text that may now be shown; `end` gives what was held back, once no token
    follows. `context` are the tokens before it: in many tokenizers they decide whether the text begins with a space.
    From a stop string on nothing is shown: `found` is then that string. Nothing is decoded twice but the
    last few tokens, so a long text costs no more a token than a short one.
    """

    def __init__(
        self, decode: Decode, stop_strings: Sequence[str] = (), *, context: Sequence[int] = ()
    ) -> None:
        if not all(stop_strings):
            raise RequestError("a stop string is at least one character long")
        self._decode, self._stop_strings = decode, tuple(stop_strings)
        self._context = list(context)
        self._new: list[int] = []
        self._held = ""
        self.found: str | None = None

    def add(self, token: int) -> str:
        """The text that may be shown after one more token."""
        if self.found is not None:
            return ""
        self._new.append(token)
        text = self._decoded()
        if text.endswith(_UNFINISHED) and len(self._new) < _LONGEST:
            return ""
        # A token without a text is no context: what follows it goes on from what stood before.
        self._context = self._new if text else [*self._context, *self._new][-_CONTEXT:]
        self._new = []
        self._held += text
        at, stop = min(
            ((self._held.find(stop), stop) for stop in self._stop_strings if stop in self._held),
            default=(-1, None),
        )
        if stop is not None:
            self.found, shown, self._held = stop, self._held[:at], ""
            return shown
        ready = len(self._held) - self._may_begin_a_stop()
        shown, self._held = self._held[:ready], self._held[ready:]
        return shown

    def end(self) -> str:
        """What was held back."""
        if self.found is not None:
            return ""
        shown, self._held = self._held + (self._decoded() if self._new else ""), ""
        self._new = []
        return shown

    def _decoded(self) -> str:
        before = self._decode(self._context) if self._context else ""
        return self._decode(self._context + self._new)[len(before) :]

    def _may_begin_a_stop(self) -> int:
        """How many characters at the end of what is held begin a stop string."""
        return max(
            (
                length
                for stop in self._stop_strings
                for length in range(1, min(len(stop), len(self._held) + 1))
                if self._held.endswith(stop[:length])
            ),
            default=0,
        )


def write(
    model: Transformer | Prepared,
    prompts: Tensor | Sequence[Tensor] | Sequence[Sequence[int]],
    *,
    decode: Decode,
    stop_strings: Sequence[str] = (),
    **settings: Unpack[Settings],
) -> Iterator[list[str]]:
    """The text that follows each prompt, a piece a row and step, "" where there is nothing new to show.

    `decode` turns token ids into text. A row ends before the first of `stop_strings`, before a token of `stop`, or
    where `ends` says so; joined, its pieces are its text. Settings as for `steps`.
    """
    stop = settings.get("stop")
    hidden = {stop} if isinstance(stop, int) else set(stop or ())
    asked = settings.get("ends")
    rows = [
        Text(decode, stop_strings, context=torch.as_tensor(prompt[-_CONTEXT:]).tolist()) for prompt in prompts
    ]
    pieces = [""] * len(rows)

    def ends(row: int, token: int) -> bool:
        pieces[row] = "" if token in hidden else rows[row].add(token)
        return rows[row].found is not None or (asked is not None and asked(row, token))

    settings["ends"] = ends
    made = steps(model, prompts, **settings)
    return _written(made, rows, pieces)


def _written(made: Iterator[object], rows: list[Text], pieces: list[str]) -> Iterator[list[str]]:
    for _ in made:
        yield list(pieces)
        pieces[:] = [""] * len(rows)
    last = [row.end() for row in rows]
    if any(last):
        yield last
