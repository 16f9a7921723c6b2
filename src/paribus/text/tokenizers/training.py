"""From a source of text to a tokenizer in a folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from paribus.errors import RequestError, WorkError, shown
from paribus.text.data.corpus import list_source, no_text
from paribus.text.tokenizers.methods import Corpus, train_tokenizer
from paribus.text.tokenizers.protocol import Tokenizer
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.trained import TrainedTokenizer

Progress = Callable[[int, int], None]


def train_on(
    source: str | os.PathLike[str],
    recipe: Recipe,
    *,
    text_field: str = "text",
    most_bytes: int | None = None,
    progress: Progress | None = None,
) -> TrainedTokenizer:
    """A tokenizer by `recipe` from `source`, which is anything that `paribus study --data` takes.

    With `most_bytes` the first documents are taken that have so many bytes together. `progress(done, total)` counts bytes
    of the source. Raises `RequestError` for a source without text and for a recipe that it does not allow.
    """
    text = SourceText(source, text_field=text_field, most_bytes=most_bytes, progress=progress)
    return train_tokenizer(
        recipe, Corpus(text.documents), trained_on={"source": text.name, "seen": text.seen}
    )


class SourceText:
    """The documents of a source; `seen` counts the documents and bytes that were given last."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        text_field: str,
        most_bytes: int | None,
        progress: Progress | None,
    ) -> None:
        self._listing = list_source(source)
        self.name = self._listing.name
        self.seen = {"documents": 0, "bytes": 0}
        self._text_field, self._most_bytes, self._progress = text_field, most_bytes, progress

    def documents(self) -> Iterator[str]:
        """The texts, in order. Raises `RequestError` if there is none."""
        self.seen |= {"documents": 0, "bytes": 0}
        looked_at = self._listing.skipped
        if self._progress is not None:
            self._progress(0, self._listing.num_bytes)
        for document in self._listing.documents(self._text_field):
            looked_at += 1
            if self._progress is not None:
                self._progress(document.position, self._listing.num_bytes)
            if document.text:
                self.seen["documents"] += 1
                self.seen["bytes"] += len(document.text.encode())
                yield document.text
                if self._most_bytes is not None and self.seen["bytes"] >= self._most_bytes:
                    break
        if not self.seen["documents"]:
            raise no_text(self._listing.place, looked_at, looked_at)
        if self._progress is not None:
            self._progress(self._listing.num_bytes, self._listing.num_bytes)


def check_new_folder(folder: Path) -> None:
    """Raises `RequestError` if something is there already, or if a folder cannot be made there."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RequestError(f"{shown(folder)} is there already; give a folder that is not")
        above = next(each for each in folder.absolute().parents if each.exists())
    except OSError as error:
        raise RequestError(f"{shown(folder)} cannot be written: {error.strerror or error}") from error
    if not above.is_dir():
        raise RequestError(f"{shown(folder)} cannot be written: {shown(above)} is a file")
    if not os.access(above, os.W_OK | os.X_OK):
        raise RequestError(f"{shown(folder)} cannot be written: permission denied in {shown(above)}")


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> tuple[str, ...]:
    """Write the files of `tokenizer` into a new folder; their names. Raises as `write_files` does."""
    return write_files(tokenizer.files(), folder)


def write_files(files: Mapping[str, bytes], folder: Path) -> tuple[str, ...]:
    """Write `files` by name into a new folder, which appears when all are written; their names.

    Raises `RequestError` if something is there already, and `WorkError` if the disk fails.
    """
    check_new_folder(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as made:
            whole = Path(made) / "whole"
            whole.mkdir()
            for name, content in files.items():
                (whole / name).write_bytes(content)
            if folder.is_dir():
                folder.rmdir()
            shutil.move(whole, folder)
    except OSError as error:
        raise WorkError(f"{shown(folder)} cannot be written: {error.strerror or error}") from error
    return tuple(files)
