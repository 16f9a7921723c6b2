"""Text to a prepared dataset, in two passes and constant memory apart from 192 bytes a document.

Of these, 64 say what a document is and where it lies and 128 are its sketch; while documents are divided, 350
more are needed. The first pass tokenises in the order of reading, piece by piece; the second copies that into
shards in the order that `documents.py` decides. Disk needed on the way: twice the tokens. Where the result goes
belongs in `preparing.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paribus.errors import RequestError
from paribus.text.data.corpus import Source
from paribus.text.data.dataset import Dataset, write_meta, write_tokenizer
from paribus.text.data.documents import DocumentTable, Sides, divide
from paribus.text.data.failures import writing
from paribus.text.data.first_pass import Progress, tokenise
from paribus.text.data.headers import Identity
from paribus.text.data.piece_files import FinishedPieces
from paribus.text.data.reuse import request_key
from paribus.text.data.shards import Split, token_dtype, write_documents, write_shards
from paribus.text.tokenizers import TokenArray, Tokenizer

SHARD_TOKENS = 2**27
_TOLD_TOKENS = 2**20


def _tell_nobody(done: int, total: int) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a source becomes a dataset; `workers` and who is told of progress change nothing in it.

    `held_out` is the share of bytes that no training window sees. `progress(done, total)` counts bytes of the
    source, `writing(done, total)` tokens of the shards. Raises `RequestError` for what no dataset can be made with.
    """

    tokenizer: Tokenizer
    text_field: str = "text"
    held_out: float = 0.1
    workers: int = 1
    shard_tokens: int = SHARD_TOKENS
    progress: Progress = _tell_nobody
    writing: Progress = _tell_nobody

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1:
            raise RequestError(
                f"held_out is {self.held_out:g}: it is a share of the bytes, more than 0 and less than 1"
            )
        if self.shard_tokens < 1:
            raise RequestError(f"shard_tokens is {self.shard_tokens}: a shard holds at least 1 token")
        if self.workers < 1:
            raise RequestError(f"workers is {self.workers}: at least 1 has to work")

    def key(self, source: Source) -> str:
        """Equal for two requests whose results must be equal."""
        return request_key(
            source,
            tokenizer_name=self.tokenizer.name,
            text_field=self.text_field,
            held_out=self.held_out,
            shard_tokens=self.shard_tokens,
        )


def build(source: Source, folder: Path, recipe: Recipe) -> Dataset:
    """Make the dataset in `folder`/result, from what is there of an earlier try.

    Raises `RequestError` for a source that cannot be used, `WorkError` for a full disk or a worker that died.
    """
    pieces = tokenise(
        source,
        folder,
        tokenizer=recipe.tokenizer,
        text_field=recipe.text_field,
        workers=recipe.workers,
        progress=recipe.progress,
    )
    try:
        table, sketches = pieces.table()
        sides = divide(table, sketches, held_out=recipe.held_out, place=source.place)
        del table, sketches
        with writing(folder.parent):
            result = folder / "result"
            shutil.rmtree(result, ignore_errors=True)
            result.mkdir()
            splits = _write_splits(sides, pieces, result, recipe)
            built = _describe(sides, splits, source=source, skipped=pieces.skipped, recipe=recipe)
            write_tokenizer(recipe.tokenizer, result)
            write_meta(built, result)
    finally:
        pieces.close()
    recipe.progress(source.num_bytes, source.num_bytes)
    return built


def _write_splits(sides: Sides, pieces: FinishedPieces, folder: Path, recipe: Recipe) -> dict[str, Split]:
    tokenizer = recipe.tokenizer
    identity = Identity.of(sides.sha256(tokenizer.name), tokenizer.name)
    dtype = token_dtype(tokenizer.vocab_size)
    total = int(sides.train["tokens"].sum() + sides.heldout["tokens"].sum())
    done = 0
    recipe.writing(0, total)
    splits = {}
    for name, rows in (("train", sides.train), ("heldout", sides.heldout)):
        shards = write_shards(
            folder,
            name,
            _copied(rows, pieces, recipe.writing, done, total),
            dtype=dtype,
            shard_tokens=recipe.shard_tokens,
            identity=identity,
        )
        write_documents(folder, name, lengths=rows["tokens"], groups=rows["group"], identity=identity)
        splits[name] = Split(
            name=name,
            folder=folder,
            dtype=dtype,
            shards=shards,
            num_tokens=int(rows["tokens"].sum()),
            num_bytes=int(rows["bytes"].sum()),
            num_documents=len(rows),
            num_groups=int(rows["group"].max()) + 1,
        )
        done += splits[name].num_tokens
    return splits


def _copied(
    rows: DocumentTable, pieces: FinishedPieces, progress: Progress, done: int, total: int
) -> Iterator[TokenArray]:
    """The tokens of each row's document."""
    told = done
    for offset, length in zip(rows["offset"].tolist(), rows["tokens"].tolist(), strict=True):
        yield pieces.tokens(offset, length)
        done += length
        if done - told >= _TOLD_TOKENS or done == total:
            progress(done, total)
            told = done


def _describe(
    sides: Sides, splits: dict[str, Split], *, source: Source, skipped: int, recipe: Recipe
) -> Dataset:
    train, heldout = splits["train"], splits["heldout"]
    return Dataset(
        name=source.name,
        sha256=sides.sha256(recipe.tokenizer.name),
        bytes=train.num_bytes + heldout.num_bytes,
        documents=train.num_documents + heldout.num_documents,
        duplicates=sides.duplicates,
        near_duplicates=sides.near_duplicates,
        near_duplicate_groups=sides.near_duplicate_groups,
        skipped=source.skipped + skipped,
        folder=train.folder,
        tokenizer=recipe.tokenizer.name,
        train=train,
        heldout=heldout,
    )
