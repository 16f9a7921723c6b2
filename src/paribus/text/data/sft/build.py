"""A file of conversations to packed rows, in two passes and constant memory apart from some 100 bytes a document.

The first pass encodes line by line into one file, the second copies that, packed, into the files of the two sides.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError, WorkError, nearest, shown
from paribus.text.data.building import building_folder
from paribus.text.data.dataset import write_tokenizer
from paribus.text.data.sft.dataset import (
    Numbers,
    PackedDataset,
    PackedSplit,
    content_sha256,
    file_path,
    is_packed,
    load_packed,
    write_meta,
)
from paribus.text.data.sft.ledger import Ledger
from paribus.text.data.sft.overflow import check_overflow
from paribus.text.data.sft.packing import best_fit_decreasing
from paribus.text.data.sft.rows import USUAL, Fields
from paribus.text.data.sft.spooling import Progress, Spool, Spooler
from paribus.text.tokenizers import Tokenizer

LOSSES = ("answers", "all")
_BUFFER_BYTES = 2**20


_LONGEST = 2**24  # tokens of a row
_WRITTEN = re.compile(
    r"(train|heldout)-[a-z]+\.bin|meta\.json|tokenizer"
)  # what a folder may hold to be replaced


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What `pack` gives: the data, and the first of the lines that were passed over, with why."""

    dataset: PackedDataset
    bad_lines: tuple[str, ...]


def pack(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    tokenizer: Tokenizer,
    seq_len: int,
    template: str | None = None,
    overflow: str = "split",
    loss: str = "answers",
    held_out: float = 0.1,
    skip_bad: bool = False,
    fields: Fields = USUAL,
    progress: Progress | None = None,
) -> Packed:
    """Pack the conversations of a .jsonl or .jsonl.gz file into rows of `seq_len` tokens, in the folder `out`.

    `template` is `plain`, `chatml`, `own` or a .jinja file (default: the tokenizer's own, else what fits the first
    line). `overflow` says what becomes of longer conversations: `split`, `truncate` or `drop`; `loss` which tokens are
    scored: those of `answers`, or `all`. At least `held_out` of the tokens are held out, by a hash of what the user
    says first: no prompt is on both sides. With `skip_bad` lines that cannot be used are counted and left out.
    `fields` are the user's own names of prompt and answer; `progress(done, total)` counts bytes of the source. What
    was packed into `out` before is replaced. Raises `RequestError` for a bad line, with its number, and for anything
    else that cannot be met; `WorkError` for a full disk.
    """
    source, out = Path(os.path.expanduser(source)), Path(os.path.realpath(os.path.expanduser(out)))
    _check(source, out, seq_len=seq_len, overflow=overflow, loss=loss, held_out=held_out)
    spooler = Spooler(
        tokenizer,
        seq_len=seq_len,
        overflow=overflow,
        everything=loss == "all",
        skip_bad=skip_bad,
        fields=fields,
    )
    with _writing(out), building_folder(out.parent, key=f"sft-{out.name}") as folder:
        spool = spooler.read(
            source, folder, template=template, progress=progress or (lambda done, total: None)
        )
        held = hold_out(spool, held_out, place=shown(source))
        result = folder / "result"
        shutil.rmtree(result, ignore_errors=True)  # of a build that was killed
        result.mkdir()
        train, heldout = (
            _write(result, name, spool, np.flatnonzero(side), tokenizer=tokenizer, seq_len=seq_len)
            for name, side in (("train", ~held), ("heldout", held))
        )
        dataset = PackedDataset(
            name=source.name,
            sha256=content_sha256(result.iterdir(), tokenizer=tokenizer.name, seq_len=seq_len),
            folder=result,
            tokenizer=tokenizer.name,
            template=spool.template,
            loss=loss,
            overflow=overflow,
            seq_len=seq_len,
            ledger=_closed(spooler.ledger, (train, heldout)).to_dict(),
            train=train,
            heldout=heldout,
        )
        write_meta(dataset, result)
        write_tokenizer(tokenizer, result)
        if out.exists():
            shutil.move(out, folder / "before")
        os.replace(result, out)
    return Packed(dataset=load_packed(out), bad_lines=spool.bad_lines)


def hold_out(spool: Spool, share: float, *, place: str) -> npt.NDArray[np.bool_]:
    """[pieces] bool, true for what is held out: prompts in order of their hash until `share` of the tokens is reached.

    A prompt with more than half of all tokens stays in training. Raises `RequestError` if a side would be empty.
    """
    _, group = np.unique(spool.prompt, return_inverse=True)
    tokens = np.bincount(group, weights=spool.length)
    movable = np.flatnonzero(2 * tokens <= tokens.sum())
    reached = np.cumsum(tokens[movable])
    held = np.zeros(len(tokens), dtype=np.bool_)
    held[movable[: np.searchsorted(reached, share * tokens.sum()) + 1]] = True
    if held.all() or not held.any():
        raise RequestError(
            f"{place} cannot be split at held_out={share:g}, which leaves one side empty: it has {len(tokens):,} "
            f"different prompt{'s' if len(tokens) != 1 else ''} with a scored answer"
        )
    return held[group]


def _check(source: Path, out: Path, *, seq_len: int, overflow: str, loss: str, held_out: float) -> None:
    check_overflow(overflow)
    if loss not in LOSSES:
        raise RequestError(f"there is no --loss {loss!r}; {nearest(loss, LOSSES)}")
    if not 2 <= seq_len <= _LONGEST:
        raise RequestError(
            f"seq_len is {seq_len:,}: a row that predicts anything has at least 2 tokens, and here at most {_LONGEST:,}"
        )
    if not 0 < held_out < 1:
        raise RequestError(
            f"held_out is {held_out:g}: it is a share of the tokens, more than 0 and less than 1"
        )
    if not source.is_file():
        what = "is a folder" if source.is_dir() else "is not there"
        raise RequestError(f"{shown(source)} {what}: give a .jsonl file of conversations")
    if out.is_dir():
        names = [path.name for path in out.iterdir()]
        taken = bool(names) and not (is_packed(out) and all(map(_WRITTEN.fullmatch, names)))
    else:
        taken = os.path.lexists(out)
    if taken:
        raise RequestError(f"{shown(out)} holds something else than packed conversations: give another --out")


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Raises `RequestError` where the folder cannot be made, `WorkError` where writing fails."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{shown(out)} cannot be made: {error.strerror}") from error
    if not os.access(out.parent, os.W_OK):
        raise RequestError(f"{shown(out)} cannot be made: nothing can be written in {shown(out.parent)}")
    try:
        yield
    except OSError as error:
        raise WorkError(f"writing {shown(out)} failed: {error.strerror or error}") from error


def _write(
    folder: Path, name: str, spool: Spool, pieces: Numbers, *, tokenizer: Tokenizer, seq_len: int
) -> PackedSplit:
    """Pack these pieces, and write them in the order of their rows."""
    packing = best_fit_decreasing(spool.length[pieces], capacity=seq_len)
    order = pieces[packing.order]
    ends = np.cumsum(spool.length)
    starts = ends - spool.length
    for what, array in (("tokens", spool.tokens), ("scored", spool.scored)):
        with open(file_path(folder, name, what), "wb", buffering=_BUFFER_BYTES) as file:
            file.writelines(
                array[start:end].data
                for start, end in zip(starts[order].tolist(), ends[order].tolist(), strict=True)
            )
    documents = np.concatenate([[0], np.cumsum(spool.length[order])])
    documents.astype("<i8").tofile(file_path(folder, name, "documents"))
    packing.starts.astype("<i8").tofile(file_path(folder, name, "rows"))
    # Counted in what was written, not taken from what was read: the ledger compares the two.
    scored = np.memmap(file_path(folder, name, "scored"), dtype=np.bool_, mode="r")
    width = spool.tokens.dtype.itemsize
    return PackedSplit(
        name=name,
        folder=folder,
        dtype=spool.tokens.dtype.str,
        seq_len=seq_len,
        filler=tokenizer.end_of_document,
        num_rows=packing.num_rows,
        num_conversations=len(np.unique(spool.conversation[order])),
        num_documents=len(order),
        num_tokens=file_path(folder, name, "tokens").stat().st_size // width,
        num_bytes=int(spool.num_bytes[order].sum()),
        num_scored=int(np.count_nonzero(scored)),
        scored_bytes=int(spool.scored_bytes[order].sum()),
    )


def _closed(ledger: Ledger, sides: tuple[PackedSplit, PackedSplit]) -> Ledger:
    """The ledger with what is in the finished files, once it adds up."""
    ledger.kept = sum(side.num_tokens for side in sides)
    ledger.loss_bearing = sum(side.num_scored for side in sides)
    ledger.places = sum(side.num_rows * side.seq_len for side in sides)
    ledger.padded = sum(side.padded for side in sides)
    ledger.check()
    return ledger
