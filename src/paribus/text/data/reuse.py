"""Where prepared data are kept, and how an unchanged source is recognised without reading it.

`sources/<key>.json` points from a request to `datasets/<sha256>`: the key is made of names, sizes and times, the
target of what the text says, so two ways to the same text share one folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.source import digest
from paribus.text.data.corpus import Source
from paribus.text.data.dataset import FORMAT, Dataset, load_dataset


def default_cache() -> Path:
    """$PARIBUS_CACHE, else $XDG_CACHE_HOME/paribus, else ~/.cache/paribus.

    Raises `RequestError` if none of them is known.
    """
    if given := os.environ.get("PARIBUS_CACHE"):
        return Path(os.path.expanduser(given))
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(os.path.expanduser(base)) / "paribus"
    try:
        return Path.home() / ".cache" / "paribus"
    except RuntimeError as error:  # a user id without an entry, as in some containers
        raise RequestError("there is no home folder for the cache: set PARIBUS_CACHE to a folder") from error


@dataclasses.dataclass(frozen=True)
class Store:
    """The two folders below a cache."""

    cache: Path

    @property
    def datasets(self) -> Path:
        return self.cache / "datasets"

    @property
    def sources(self) -> Path:
        return self.cache / "sources"

    def find(self, key: str) -> Dataset | None:
        """What was prepared for `key`, if it is still there and whole."""
        try:
            pointer = json.loads((self.sources / f"{key}.json").read_text(encoding="utf-8"))
            return dataclasses.replace(load_dataset(self.datasets / pointer["dataset"]), **pointer["own"])
        except (OSError, ValueError, KeyError, TypeError):  # RequestError is a ValueError
            return None

    def remember(self, key: str, built: Dataset, *, workplace: Path) -> Dataset:
        """Point from `key` to the published dataset and open it, under the name and counts of this source.

        The pointer is written in `workplace` and renamed, so that nobody reads half of it.
        """
        # These belong to the source and not to the text, which another source may hold as well.
        own: dict[str, Any] = {"name": built.name, "duplicates": built.duplicates, "skipped": built.skipped}
        pointer = workplace / "pointer"
        pointer.write_text(json.dumps({"dataset": built.sha256, "own": own}) + "\n", encoding="utf-8")
        self.sources.mkdir(exist_ok=True)
        os.replace(pointer, self.sources / f"{key}.json")
        return dataclasses.replace(load_dataset(self.datasets / built.sha256), **own)


def request_key(
    source: Source, *, tokenizer_name: str, text_field: str, held_out: float, shard_tokens: int
) -> str:
    """Equal for two requests whose results must be equal, judged without reading any text: the code is one of them."""
    request = [
        FORMAT,
        digest("text"),
        source.fingerprint(),
        tokenizer_name,
        text_field,
        repr(float(held_out)),
        shard_tokens,
    ]
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()


def is_whole(folder: Path) -> bool:
    """Whether `folder` is a prepared dataset with all its shards."""
    try:
        load_dataset(folder)
    except RequestError:
        return False
    return True
