"""The text of both sides of a source: what tokenizers are trained on, and what they are measured on.

The sides are those of a prepared dataset, divided by documents with near-duplicates kept together, so a study of the
same source holds out the same documents whatever tokenizer reads them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from paribus.errors import RequestError, shown
from paribus.text.data.dataset import Dataset, holds_dataset, load_dataset
from paribus.text.data.preparing import prepare
from paribus.text.data.shards import Split
from paribus.text.tokenizers import ByteTokenizer, Tokenizer

Told = Callable[[int], None]


def divided(
    source: str | os.PathLike[str],
    *,
    cache: Path,
    text_field: str = "text",
    held_out: float = 0.1,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """The dataset of `source` whose ids give its text back; a prepared one is taken as it is.

    Raises `RequestError` for a source that cannot be used, and for a dataset whose tokenizer loses text.
    """
    if not holds_dataset(source):
        return prepare(
            source,
            tokenizer=ByteTokenizer(),
            cache=cache,
            text_field=text_field,
            held_out=held_out,
            progress=progress,
        )
    dataset = load_dataset(source)
    if loses := dataset.open_tokenizer().loses:
        raise RequestError(
            f"{shown(source)} was prepared with a tokenizer that loses {' and '.join(loses)}: give the text itself"
        )
    return dataset


class SideText:
    """The documents of one side in their fixed shuffle, up to `most_bytes` of them together, but at least one.

    Every iteration begins anew; `told(bytes)`, where given, hears of each document. `documents` and `bytes` count what
    the last iteration gave.
    """

    def __init__(
        self, split: Split, tokenizer: Tokenizer, *, most_bytes: int | None = None, told: Told | None = None
    ) -> None:
        self._split, self._tokenizer, self._most_bytes, self._told = split, tokenizer, most_bytes, told
        self.documents = self.bytes = 0

    def __iter__(self) -> Iterator[str]:
        self.documents = self.bytes = 0
        starts = self._split.documents.tolist()
        for start, end in zip(starts, [*starts[1:], self._split.num_tokens], strict=True):
            text = self._tokenizer.decode(self._split.read(start, end - start))
            size = len(text.encode())
            if self._most_bytes is not None and self.bytes and self.bytes + size > self._most_bytes:
                return
            self.documents += 1
            self.bytes += size
            if self._told is not None:
                self._told(size)
            yield text

    @property
    def expected_bytes(self) -> int:
        """About how many bytes an iteration gives."""
        return min(self._split.num_bytes, self._most_bytes or self._split.num_bytes)
