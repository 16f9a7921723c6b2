"""A prepared dataset: a folder of shards and the `meta.json` that describes them.

Opening one reads no tokens. How it came to be belongs in `build.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, WorkError, shown
from paribus.text.data.headers import Header, Identity, Unfit, check_content, check_header
from paribus.text.data.shards import Split, expected_headers
from paribus.text.tokenizers import Tokenizer, get_tokenizer

FORMAT = 3
TOKENIZER = "tokenizer"
META = "meta.json"
_COUNTS = ("bytes", "documents", "duplicates", "near_duplicates", "near_duplicate_groups", "skipped")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Text ready for training: `sha256` is its identity, `bytes` and `documents` count what was kept.

    `duplicates` counts documents left out as exact copies, `skipped` those that were not text. The kept ones
    that are nearly the same as another, `near_duplicates`, make up `near_duplicate_groups`, each of them on
    one side.
    """

    name: str
    sha256: str
    bytes: int
    documents: int
    duplicates: int
    near_duplicates: int
    near_duplicate_groups: int
    skipped: int
    folder: Path
    tokenizer: str
    train: Split
    heldout: Split

    def open_tokenizer(self) -> Tokenizer:
        """The tokenizer that made the ids, from the folder itself unless its name says it all."""
        kept = self.folder / TOKENIZER
        return get_tokenizer(str(kept) if kept.is_dir() else self.tokenizer)


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Keep the files of `tokenizer` in `folder`, so that the data can be read wherever the folder goes."""
    for name, content in tokenizer.files().items():
        (folder / TOKENIZER).mkdir(exist_ok=True)
        (folder / TOKENIZER / name).write_bytes(content)


def write_meta(dataset: Dataset, folder: Path) -> None:
    """Write `folder`/meta.json, all that `load_dataset` needs."""
    meta: dict[str, Any] = {"format": FORMAT, "name": dataset.name, "sha256": dataset.sha256}
    meta |= {count: getattr(dataset, count) for count in _COUNTS} | {"tokenizer": dataset.tokenizer}
    meta["dtype"] = dataset.train.dtype
    meta["splits"] = {
        split.name: {
            "num_tokens": split.num_tokens,
            "num_bytes": split.num_bytes,
            "num_documents": split.num_documents,
            "num_groups": split.num_groups,
            "shards": list(split.shards),
        }
        for split in (dataset.train, dataset.heldout)
    }
    (folder / META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def load_dataset(folder: str | os.PathLike[str]) -> Dataset:
    """Open the prepared folder `folder`, for example `dataset.folder` in a worker.

    Raises `RequestError` if it is no such folder, or if a file has not the header and the size that it must have.
    The tokens themselves are not read: see `check_dataset`.
    """
    folder = Path(folder).absolute()
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        if "kind" in meta:
            raise ValueError(f"it holds {meta['kind']}, which paribus train and paribus study sft take")
        if meta["format"] != FORMAT:
            raise ValueError(f"its format is {meta['format']!r} and this Paribus reads {FORMAT}")
        dataset = Dataset(
            name=meta["name"],
            sha256=meta["sha256"],
            **{count: int(meta[count]) for count in _COUNTS},
            folder=folder,
            tokenizer=meta["tokenizer"],
            train=_split("train", folder, meta),
            heldout=_split("heldout", folder, meta),
        )
        _headers(dataset)
        return dataset
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        if isinstance(error, OSError) and error.filename is not None:
            reason = f"{Path(error.filename).name}: {error.strerror}"
        raise RequestError(
            f"{shown(folder)} is not a whole prepared dataset ({shown(reason)}): prepare the source again"
        ) from error


def holds_dataset(folder: str | os.PathLike[str]) -> bool:
    """Whether `folder` says of itself that it is a prepared dataset, be it whole or not."""
    try:
        meta = json.loads((Path(folder) / META).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(meta, dict) and {"format", "sha256", "tokenizer", "splits"} <= meta.keys()


def check_dataset(dataset: Dataset, *, progress: Callable[[int, int], None]) -> int:
    """Read every file of the dataset against its checksum; returns how many bytes that were.

    `progress(done, total)` counts them. Raises `WorkError` naming the first file that is not what was written.
    """
    try:
        headers = _headers(dataset)
        total = sum(header.item_bytes * header.items for header in headers.values())
        done = 0

        def tell(more: int) -> None:
            nonlocal done
            done += more
            progress(done, total)

        progress(0, total)
        for path, header in headers.items():
            check_content(path, header, progress=tell)
    except (OSError, Unfit) as error:
        raise WorkError(
            f"{shown(dataset.folder)} is damaged ({shown(error)}): delete it and prepare the source again"
        ) from error
    return total


def _headers(dataset: Dataset) -> dict[Path, Header]:
    identity = Identity.of(dataset.sha256, dataset.tokenizer)
    expected = expected_headers(dataset.train, identity) | expected_headers(dataset.heldout, identity)
    return {path: check_header(path, header) for path, header in expected.items()}


def _split(name: str, folder: Path, meta: dict[str, Any]) -> Split:
    entry = meta["splits"][name]
    split = Split(
        name=name,
        folder=folder,
        dtype=meta["dtype"],
        shards=tuple(int(size) for size in entry["shards"]),
        num_tokens=int(entry["num_tokens"]),
        num_bytes=int(entry["num_bytes"]),
        num_documents=int(entry["num_documents"]),
        num_groups=int(entry["num_groups"]),
    )
    if split.dtype not in ("<u2", "<u4"):
        raise ValueError(f"its tokens are {split.dtype!r} and not <u2 or <u4")
    if sum(split.shards) != split.num_tokens or split.num_tokens == 0:
        raise ValueError(f"its {name} shards do not add up to {split.num_tokens} tokens")
    return split
