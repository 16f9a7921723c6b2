"""A prepared dataset: a folder of shards and the `meta.json` that describes them.

Opening one reads no tokens. How it came to be belongs in `build.py`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, shown
from paribus.text.data.shards import Split, documents_path, groups_path, shard_path
from paribus.text.tokenizers import Tokenizer, get_tokenizer

FORMAT = 2
TOKENIZER = "tokenizer"
_META = "meta.json"
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
    (folder / _META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def load_dataset(folder: str | os.PathLike[str]) -> Dataset:
    """Open the prepared folder `folder`, for example `dataset.folder` in a worker.

    Raises `RequestError` if it is no such folder or if a file has not the size that meta.json gives it.
    """
    folder = Path(folder).absolute()
    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        if meta["format"] != FORMAT:
            raise ValueError(f"its format is {meta['format']!r} and this Paribus reads {FORMAT}")
        return Dataset(
            name=meta["name"],
            sha256=meta["sha256"],
            **{count: int(meta[count]) for count in _COUNTS},
            folder=folder,
            tokenizer=meta["tokenizer"],
            train=_split("train", folder, meta),
            heldout=_split("heldout", folder, meta),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RequestError(
            f"{shown(folder)} is not a whole prepared dataset ({type(error).__name__}: {error}): prepare the source "
            "again"
        ) from error


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
    width = {"<u2": 2, "<u4": 4}[split.dtype]
    if sum(split.shards) != split.num_tokens or split.num_tokens == 0:
        raise ValueError(f"its {name} shards do not add up to {split.num_tokens} tokens")
    sizes = {shard_path(folder, name, number): width * tokens for number, tokens in enumerate(split.shards)}
    sizes |= {
        path: 8 * split.num_documents for path in (documents_path(folder, name), groups_path(folder, name))
    }
    for path, expected in sizes.items():
        if (size := path.stat().st_size) != expected:
            raise ValueError(f"{path.name} has {size:,} bytes and should have {expected:,}")
    return split
