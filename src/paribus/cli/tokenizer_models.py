"""`paribus tokenizer compare --train-models`: the tokenizers that were compared, as arms of two studies of models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, WorkError, shown

_KEPT = "compare.json"


def kept_results(folder: Path, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """The results of the same request, if it was finished in `folder` before; None if `folder` is not there.

    Raises `RequestError` if it holds anything else.
    """
    if not folder.exists():
        return None
    try:
        found = json.loads((folder / _KEPT).read_text("utf-8"))
        if found["request"] == request:
            results: dict[str, Any] = found["results"]
            return results
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise RequestError(f"{shown(folder)} is there already and is of another comparison; give another folder")


def keep_results(folder: Path, request: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    """Keep the results beside the tokenizers, so that the same command goes on from there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _KEPT).write_text(json.dumps({"request": request, "results": results}), "utf-8")
    except OSError as error:
        raise WorkError(f"{shown(folder)} cannot be written: {error.strerror or error}") from error


def train_models(
    results: Mapping[str, Any],
    *,
    data: str,
    text_field: str,
    held_out: float,
    folder: Path,
    preset: str,
    overrides: Sequence[str] = (),
) -> None:
    """Models at equal bytes and at equal FLOPs for every lossless tokenizer, a study each in `folder`.

    They are scored on a part of what the comparison held out: documents are held out in one fixed order. Raises
    `RequestError` where fewer than two tokenizers lose nothing.
    """
    from paribus.cli.running import Running, run_study
    from paribus.study.settings import resolve
    from paribus.text.data.corpus import list_source

    paths = {row["label"]: row["path"] or str((folder / row["folder"]).absolute()) for row in results["rows"]}
    labels = [label for label in paths if label in results["ranked"]]
    if len(labels) < 2:
        raise RequestError(
            "models compare tokenizers that lose nothing, and of these there are fewer than two"
        )
    arms = [{"name": label, "set": {"tokenizer": paths[label]}} for label in labels]
    most = int(held_out * list_source(data).num_bytes)
    for match in ("bytes", "flops"):
        asked = {"arms": arms, "baseline": labels[0], "match": match, "data": data, "text_field": text_field}
        settings = resolve(preset, asked, overrides, study="tokenizer")
        if settings.train.heldout_tokens > most:
            fewer = [*overrides, f"train.heldout_tokens={most}"]
            settings = resolve(preset, asked, fewer, study="tokenizer")
        run_study("tokenizer", settings, Running(out=folder / f"study-{match}"))
