"""The `config.json` of a checkpoint, as it was written. What its keys mean is for the families to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paribus.errors import shown
from paribus.files.json_object import json_object
from paribus.files.opening import bytes_of, place

MAX_BYTES = 16 * 2**20


def read_config(path: Path) -> dict[str, Any]:
    """The JSON object in the file at `path`, which is at most 16 MiB; code that it names is not run.

    NaN and Infinity are read as floats, as `transformers` writes them. Raises `RequestError` in one sentence
    if there is no such file or it is not one JSON object of unique keys.
    """
    return json_object(bytes_of(path, "a config", at_most=MAX_BYTES), place(path))


def warnings_of(config: dict[str, Any]) -> list[str]:
    """What a reader should know of `config` before trusting what is read from it: a sentence each."""
    code = config.get("auto_map")
    if not code:
        return []
    named = code.values() if isinstance(code, dict) else [code]
    first = shown(next(iter(named), ""), at_most=80)
    said = f"the checkpoint comes with Python code of its own (auto_map names {first}), which is not run"
    return [f"{said}: what that code changes is not seen here"]
