"""The first pass over a file of conversations: every line encoded, cut to length, counted and kept aside."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError, shown
from paribus.text.data.sft.dataset import Numbers
from paribus.text.data.sft.ledger import Ledger
from paribus.text.data.sft.overflow import pieces_of, scored_of
from paribus.text.data.sft.rows import USER, Fields, Line, Message, messages_of, read_lines
from paribus.text.data.sft.templates import Encoded, Template, get_template
from paribus.text.data.shards import token_dtype
from paribus.text.tokenizers import Tokenizer

Progress = Callable[[int, int], None]

_PROGRESS_CALLS = 500
_BUFFER_BYTES = 2**20
_SHOWN_LINES = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Spool:
    """All that will be packed: `tokens` and `scored` of the pieces one after the other, and the numbers of each.

    `conversation` is the line that a piece is from, `prompt` a hash of what the user says first. `bad_lines` are the first lines that were passed over, with why.
    """

    tokens: npt.NDArray[Any]
    scored: npt.NDArray[np.bool_]
    length: Numbers
    num_bytes: Numbers
    scored_bytes: Numbers
    conversation: Numbers
    prompt: npt.NDArray[np.uint64]
    template: str
    bad_lines: tuple[str, ...]


class Spooler:
    """Reads a source once. `ledger` counts what came in and what was left out; what is kept is counted later."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        seq_len: int,
        overflow: str,
        everything: bool,
        skip_bad: bool,
        fields: Fields,
    ) -> None:
        self.ledger = Ledger()
        self._tokenizer, self._fields, self._skip_bad = tokenizer, fields, skip_bad
        self._seq_len, self._overflow, self._everything = seq_len, overflow, everything
        self._dtype = token_dtype(tokenizer.vocab_size)
        self._bad_lines: list[str] = []
        self._numbers = {name: array("q") for name in ("length", "num_bytes", "scored_bytes", "conversation")}
        self._prompts = array("Q")

    def read(self, source: Path, folder: Path, *, template: str | None, progress: Progress) -> Spool:
        """Spool `source` into files in `folder`. Raises `RequestError` if there is nothing that could be packed."""
        total = source.stat().st_size
        told, stride = 0, max(total // _PROGRESS_CALLS, 1)
        progress(0, total)
        writer: Template | None = None
        with ExitStack() as stack:
            tokens, scored = (
                stack.enter_context(open(folder / name, "wb", buffering=_BUFFER_BYTES))
                for name in ("tokens", "scored")
            )
            for line in read_lines(source):
                self.ledger.lines += 1
                if (messages := self._messages(line, source)) is not None:
                    writer = writer or get_template(template, self._tokenizer, messages)
                    self._encode(line, source, messages, writer, tokens, scored)
                if told + stride <= line.position < total:
                    told = line.position
                    progress(told, total)
        progress(total, total)
        if writer is None or not len(self._prompts):
            raise self._nothing(source)
        return Spool(
            tokens=np.asarray(np.memmap(folder / "tokens", dtype=self._dtype, mode="r")),
            scored=np.asarray(np.memmap(folder / "scored", dtype=np.bool_, mode="r")),
            **{name: np.array(numbers, dtype=np.int64) for name, numbers in self._numbers.items()},
            prompt=np.array(self._prompts, dtype=np.uint64),
            template=writer.name,
            bad_lines=tuple(self._bad_lines),
        )

    def _messages(self, line: Line, source: Path) -> tuple[Message, ...] | None:
        try:
            return messages_of(line.content, self._fields)
        except RequestError as error:
            self._pass_over(line, source, error)
            return None

    def _encode(
        self,
        line: Line,
        source: Path,
        messages: Sequence[Message],
        writer: Template,
        tokens: IO[bytes],
        scored: IO[bytes],
    ) -> None:
        try:
            document = writer.encode(messages)
        except RequestError as error:
            self._pass_over(line, source, error)
            return
        prompt = _hash(messages)
        for piece, is_scored in self._kept(document):
            byte_lengths = self._tokenizer.byte_lengths[piece.ids].clip(min=0)
            tokens.write(piece.ids.astype(self._dtype).tobytes())
            scored.write(is_scored.tobytes())
            self._numbers["length"].append(len(piece.ids))
            self._numbers["num_bytes"].append(int(byte_lengths.sum()))
            self._numbers["scored_bytes"].append(int(byte_lengths[is_scored].sum()))
            self._numbers["conversation"].append(line.number)
            self._prompts.append(prompt)

    def _kept(self, document: Encoded) -> list[tuple[Encoded, npt.NDArray[np.bool_]]]:
        """The pieces that will be packed, with what of them is scored; everything else goes into the ledger."""
        ledger, length, learnable = self.ledger, len(document.ids), self._learnable(document)
        ledger.documents += 1
        ledger.tokens += length
        ledger.learnable += learnable
        kept, over_length, over_learnable = [], length, learnable
        for piece in pieces_of(document, seq_len=self._seq_len, overflow=self._overflow):
            over_length -= len(piece.ids)
            over_learnable -= self._learnable(piece)
            is_scored = scored_of(piece, everything=self._everything)
            if is_scored.any():
                kept.append((piece, is_scored))
                ledger.unpredicted += self._everything or bool(piece.answer[0])
            else:
                ledger.masked_tokens += len(piece.ids)
                ledger.masked_learnable += self._learnable(piece)
        fits = length <= self._seq_len
        if not fits and self._overflow == "drop":
            ledger.dropped += 1
            ledger.dropped_tokens += over_length
            ledger.dropped_learnable += over_learnable
            return kept
        ledger.truncated_tokens += over_length
        ledger.truncated_learnable += over_learnable
        ledger.masked += not kept
        if kept:
            ledger.whole += fits
            ledger.split += not fits and self._overflow == "split"
            ledger.truncated += not fits and self._overflow == "truncate"
        return kept

    def _learnable(self, piece: Encoded) -> int:
        return len(piece.ids) if self._everything else int(np.count_nonzero(piece.answer))

    def _pass_over(self, line: Line, source: Path, error: RequestError) -> None:
        sentence = f"line {line.number:,} of {shown(source)} {error}"
        if not self._skip_bad:
            raise RequestError(f"{sentence} (--skip-bad passes such lines over)") from error
        self.ledger.bad += 1
        if len(self._bad_lines) < _SHOWN_LINES:
            self._bad_lines.append(sentence)

    def _nothing(self, source: Path) -> RequestError:
        ledger = self.ledger
        if not ledger.lines:
            return RequestError(f"{shown(source)} has no line: give a conversation in each")
        why = f"; {self._bad_lines[0]}" if self._bad_lines else ""
        return RequestError(
            f"nothing of {shown(source)} can be packed: of {ledger.lines:,} lines {ledger.bad:,} are bad, "
            f"{ledger.dropped:,} are longer than {self._seq_len:,} tokens and {ledger.masked:,} have no token that would "
            f"be scored{why}"
        )


def _hash(messages: Sequence[Message]) -> int:
    """64 bits of what the user says first, or of the whole conversation where a user says nothing."""
    asked = next((message.content for message in messages if message.role == USER), None)
    content = repr(tuple(messages)) if asked is None else asked
    return int.from_bytes(hashlib.sha256(content.encode("utf-8")).digest()[:8], "little")
