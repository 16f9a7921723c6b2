"""The text of a request, prepared with all cores of this machine and kept in its cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from paribus.cores import cores
from paribus.text.data import Dataset, default_cache, prepare
from paribus.text.tokenizers import Tokenizer


class Requested(Protocol):
    """Settings that name a text."""

    data: str
    text_field: str


def prepared_text(
    settings: Requested,
    tokenizer: Tokenizer,
    *,
    held_out: float = 0.1,
    leave_out: Sequence[Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """`text.data.prepare` of what `settings` name; its errors are raised."""
    return prepare(
        settings.data,
        tokenizer=tokenizer,
        cache=default_cache(),
        text_field=settings.text_field,
        held_out=held_out,
        leave_out=leave_out,
        workers=cores(),
        progress=progress,
    )
