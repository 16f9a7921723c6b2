"""The first pass over a source: every piece becomes a file of tokens, on one core or on many.

Pieces that an earlier try has finished are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from paribus.text.data.corpus import Source, no_text
from paribus.text.data.dataset import TOKENIZER, write_tokenizer
from paribus.text.data.failures import writing
from paribus.text.data.piece_files import FinishedPieces, counts_of, piece_path
from paribus.text.data.pieces import Piece, piece_bytes, pieces_of
from paribus.text.data.pool import WorkerPool
from paribus.text.data.shards import token_dtype
from paribus.text.data.tokenising import PieceWork
from paribus.text.tokenizers import Tokenizer

Progress = Callable[[int, int], None]

_PROGRESS_CALLS = 500


def tokenise(
    source: Source,
    folder: Path,
    *,
    tokenizer: Tokenizer,
    text_field: str,
    workers: int,
    progress: Progress,
) -> FinishedPieces:
    """The tokens of all documents of `source` in the order of reading, in `folder`/pieces.

    The result is the same for any number of workers. `progress` is first told how many bytes were done before.
    Raises the error of the first piece that fails, and `RequestError` if nothing in the source is text.
    """
    pieces = folder / "pieces"
    with writing(folder.parent):
        pieces.mkdir(exist_ok=True)
        for draft in pieces.glob("*.unfinished-*"):
            draft.unlink(missing_ok=True)
    todo = _Unfinished(source, pieces)
    told = _Told(progress, source.num_bytes)
    told.begin(todo.already)
    workers = min(workers, -(-(source.num_bytes - todo.already) // piece_bytes(source)))
    if workers > 1:
        kept = _keep(tokenizer, folder)
        with WorkerPool(
            workers, tokenizer=kept, name=tokenizer.name, text_field=text_field, folder=pieces
        ) as pool:
            pool.run(iter(todo), progress=told.more)
    else:
        work = PieceWork(tokenizer=tokenizer, text_field=text_field, folder=pieces)
        for piece in todo:
            work.do(piece, progress=told.more)
    dtype = token_dtype(tokenizer.vocab_size)
    finished = FinishedPieces(pieces, todo.number, dtype=dtype)
    skipped = source.skipped + finished.skipped
    if not finished.num_documents:
        raise no_text(source.place, source.skipped + finished.looked_at, skipped)
    return finished


class _Unfinished:
    """The pieces of a source that are not in `folder` yet; `number` counts all of them once they were gone through.

    `already` is how many bytes of source need not be read again. It is found without cutting the source, which
    may mean to read it, from what each finished piece says of itself.
    """

    def __init__(self, source: Source, folder: Path) -> None:
        self.number = 0
        self.already = 0
        self._source = source
        self._finished = set()
        for path in folder.glob("*.piece"):
            if (counts := counts_of(path, whole=True)) is not None:
                self._finished.add(path)
                self.already += counts.source_bytes
        self._folder = folder

    def __iter__(self) -> Iterator[Piece]:
        for piece in pieces_of(self._source):
            self.number = piece.number + 1
            if piece_path(self._folder, piece.number) not in self._finished:
                yield piece


class _Told:
    """Steps of progress as calls of (done, total), not more than some hundreds; the end is told by who brings it about."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total = progress, total
        self._stride = max(total // _PROGRESS_CALLS, 1)
        self._done = self._said = 0

    def begin(self, already: int) -> None:
        self._done = self._said = already
        self._progress(already, self._total)

    def more(self, more: int) -> None:
        self._done += more
        if self._said + self._stride <= self._done < self._total:
            self._said = self._done
            self._progress(self._done, self._total)


def _keep(tokenizer: Tokenizer, folder: Path) -> str:
    """What `get_tokenizer` opens in another process: a folder with the tokenizer's files, or its name."""
    with writing(folder.parent):
        write_tokenizer(tokenizer, folder)
    kept = folder / TOKENIZER
    return str(kept) if kept.is_dir() else tokenizer.name
