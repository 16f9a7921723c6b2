"""Prepared data for who asks: found if they were made before, made if not, in the cache or in a folder of the user's.

How they are made belongs in `build.py`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from paribus.errors import RequestError, WorkError, shown
from paribus.text.data.build import SHARD_TOKENS, Recipe, build
from paribus.text.data.building import PREFIX, building_folder, in_turn, publish
from paribus.text.data.corpus import list_source
from paribus.text.data.dataset import META, TOKENIZER, Dataset, holds_dataset, load_dataset
from paribus.text.data.downloads import fetched, is_download
from paribus.text.data.failures import reading, writing
from paribus.text.data.first_pass import Progress
from paribus.text.data.reuse import Store, default_cache, is_whole
from paribus.text.tokenizers import Tokenizer

REQUEST = "request.json"
_MADE = re.compile(rf"(train|heldout)-\w+\.bin|{TOKENIZER}|{REQUEST}")


def prepare(
    source: str | os.PathLike[str],
    *,
    tokenizer: Tokenizer,
    cache: str | os.PathLike[str],
    text_field: str = "text",
    held_out: float = 0.1,
    leave_out: Sequence[str | os.PathLike[str]] = (),
    workers: int = 1,
    progress: Progress | None = None,
    shard_tokens: int = SHARD_TOKENS,
) -> Dataset:
    """Tokenise `source`, split it by groups of near-duplicate documents and keep it under `cache`.

    What is there already is reused while the source is unchanged; a folder that `prepare_folder` has made is opened.

    `source` is "stdlib", a text file, a folder, a .jsonl, .jsonl.gz or .parquet file; `text_field` names the
    field or column of the last three. `held_out` is the share of bytes that no training window sees.
    `leave_out` are folders not to look into; `workers` processes change nothing in the result.
    `progress(done, total)` counts bytes of the source; it is not called when nothing has to be read. Raises
    `RequestError` for a source that cannot be used, `WorkError` for a full disk or a worker that died.
    """
    recipe = Recipe(
        tokenizer=tokenizer,
        text_field=text_field,
        held_out=held_out,
        workers=workers,
        shard_tokens=shard_tokens,
    )
    if progress is not None:
        recipe = dataclasses.replace(recipe, progress=progress)
    if holds_dataset(source):
        return _prepared_before(source, tokenizer)
    store = Store(Path(os.path.expanduser(cache)).absolute())
    apart = tuple(Path(os.path.expanduser(folder)).absolute() for folder in leave_out)
    listing = list_source(source, leave_out=(store.datasets, store.sources, *apart))
    key = recipe.key(listing)
    if (ready := store.find(key)) is not None:
        return ready
    with building_folder(store.datasets, key=key[:32], kept_after=(KeyboardInterrupt,)) as folder:
        built = build(listing, folder, recipe)
        with writing(store.cache):
            publish(built.folder, store.datasets / built.sha256, is_good=is_whole)
            return store.remember(key, built, workplace=folder)


def prepare_folder(
    source: str | os.PathLike[str], out: str | os.PathLike[str], recipe: Recipe
) -> tuple[Dataset, bool]:
    """Make the dataset of `source` in the folder `out`, and whether it was there already.

    `source` is as in `prepare`, or `datasets:NAME`, which is fetched first.
    A build that was killed, interrupted or ran out of disk goes on from its finished pieces when it is asked for
    again. Raises `RequestError` for a source that cannot be used and for a folder that holds anything else.
    """
    out = Path(os.path.expanduser(out)).absolute()
    if is_download(source):
        source = fetched(os.fspath(source), cache=default_cache())
    if holds_dataset(source):
        raise RequestError(f"{shown(source)} is prepared already: give the text that it was made from")
    listing = list_source(source, leave_out=(out,))
    key = recipe.key(listing)
    if _holds(out, key):
        return load_dataset(out), True
    with building_folder(out, key=key[:32], kept_after=(KeyboardInterrupt, WorkError)) as folder:
        built = build(listing, folder, recipe)
        with writing(out), in_turn(out):
            if not _holds(out, key):
                request = {"key": key, "source": shown(source), "tokenizer": recipe.tokenizer.name}
                (built.folder / REQUEST).write_text(json.dumps(request, indent=2) + "\n", encoding="utf-8")
                _move(built.folder, out)
    return load_dataset(out), False


def _prepared_before(folder: str | os.PathLike[str], tokenizer: Tokenizer) -> Dataset:
    dataset = load_dataset(folder)
    if dataset.tokenizer != tokenizer.name:
        kept = dataset.folder / TOKENIZER
        own = shown(kept if kept.is_dir() else dataset.tokenizer)
        raise RequestError(
            f"{shown(folder)} was prepared with the tokenizer {shown(dataset.tokenizer)!r} and not with "
            f"{tokenizer.name!r}: give --tokenizer {own}, or the text itself"
        )
    return dataset


def _holds(out: Path, key: str) -> bool:
    """Whether the dataset of this request lies in `out`, whole; otherwise there must be nothing but what a build left."""
    if not out.exists():
        return False
    if not out.is_dir():
        raise RequestError(f"{shown(out)} is a file: give a folder to prepare into")
    with reading(out):
        names = {path.name for path in out.iterdir()}
    if META in names:
        if _request_key(out) != key:
            raise RequestError(
                f"{shown(out)} holds a dataset of another source, tokenizer or option: give another folder"
            )
        return is_whole(out)
    building = any(name.startswith(PREFIX) for name in names)
    for name in sorted(names):
        if not name.startswith(PREFIX) and not (building and _MADE.fullmatch(name)):
            raise RequestError(f"{shown(out)} is not empty, it holds {shown(name)!r}: give another folder")
    return False


def _request_key(out: Path) -> object:
    try:
        return json.loads((out / REQUEST).read_text(encoding="utf-8"))["key"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _move(result: Path, out: Path) -> None:
    """Everything in `result` to `out`, which counts as a dataset from the last file on."""
    (out / META).unlink(missing_ok=True)
    for path in [path for path in out.iterdir() if _MADE.fullmatch(path.name)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in sorted(result.iterdir(), key=lambda path: path.name == META):
        os.replace(path, out / path.name)
