"""Data sets by name, fetched with the package `datasets` and kept as parquet, which is then a source like any other."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from paribus.errors import RequestError, shown
from paribus.text.data.building import building_folder, publish

PREFIX = "datasets:"


def is_download(source: str | os.PathLike[str]) -> bool:
    """Whether `source` is the name of a data set and no path."""
    return os.fspath(source).startswith(PREFIX)


def fetched(source: str, *, cache: Path) -> Path:
    """The parquet file of `datasets:NAME`, `datasets:NAME:CONFIG` or `datasets:NAME:CONFIG:SPLIT`; the split is train.

    What was fetched before is taken from `cache`. Raises `RequestError` without the package, for a name that it
    does not know and without a network.
    """
    name, config, split = [*source.removeprefix(PREFIX).split(":"), "", ""][:3]
    split = split or "train"
    if not name:
        raise RequestError(f"{shown(source)!r} names no data set: it is {PREFIX}NAME, as in {PREFIX}ag_news")
    kept = cache / "downloads" / quote(f"{name}:{config}:{split}", safe="")
    file = kept / f"{quote(name.rpartition('/')[2], safe='')}.parquet"
    if file.is_file():
        return file
    try:
        import datasets
    except ImportError as error:
        raise RequestError(
            f"fetching {shown(source)} needs the package datasets, which is not installed: pip install datasets, or "
            "give a path to text"
        ) from error
    with building_folder(kept.parent, key=kept.name[:64]) as folder:
        result = folder / "result"
        result.mkdir(exist_ok=True)
        try:
            rows = datasets.load_dataset(name, config or None, split=split)
            rows.to_parquet(str(result / file.name))
        except Exception as error:
            reason = shown(" ".join(str(error).split()) or type(error).__name__, at_most=200)
            raise RequestError(
                f"datasets cannot give {shown(name)!r} ({reason}): is the name right, and is there a network?"
            ) from error
        publish(result, kept, is_good=lambda folder: (folder / file.name).is_file())
    return file
