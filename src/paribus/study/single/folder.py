"""The folder of a run: what it holds, and that it is the same run that is asked for again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.study.folder import open_for
from paribus.study.single.plan import RunPlan

PLAN, SETTINGS, CHECKPOINT = "plan.json", "config.yaml", "checkpoint.pt"
RESULT, METRICS, PLOT, MODEL = "result.json", "metrics.csv", "loss.svg", "model"
_OURS = (PLAN, CHECKPOINT, RESULT)


def open_folder(path: Path, plan: RunPlan, *, threads: int, again: bool = False) -> int:
    """Make the folder of this run if need be; the threads it was begun with, or `threads` if it begins here.

    With `again` what a run left in it is forgotten. Raises `RequestError` if nothing can be written there, or if it
    holds another run or anything else.
    """
    open_for("run", path, kept=PLAN)
    wanted = json.loads(json.dumps(plan.to_dict()))
    held = None if again else _held(path)
    if held is not None:
        threads = held.pop("threads")
        _refuse_other(path, held, wanted)
        return threads
    for name in _OURS:
        (path / name).unlink(missing_ok=True)
    (path / PLAN).write_text(json.dumps({**wanted, "threads": threads}, indent=2) + "\n")
    return threads


def _held(path: Path) -> dict[str, Any] | None:
    """The plan of the run in the folder."""
    if not (path / PLAN).exists():
        return None
    try:
        held = json.loads((path / PLAN).read_text())
        held["threads"] = int(held["threads"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{path / PLAN} cannot be read, so nothing says which run the folder holds: {error}"
        ) from None
    assert isinstance(held, dict)
    return held


def _refuse_other(path: Path, held: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    there, here = dict(_flat(held)), dict(_flat(wanted))
    differing = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if not differing:
        return
    first = differing[0]
    more = f", and {', '.join(differing[1:4])} differ too" if len(differing) > 1 else ""
    raise RequestError(
        f"{path} holds a run with other settings: {first} is {there.get(first)!r} there and {here.get(first)!r} "
        f"here{more}; give another --out, or --no-resume to begin again in its place"
    )


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted name."""
    if isinstance(value, Mapping) and (value or not key):
        for word, inside in value.items():
            yield from _flat(inside, f"{key}.{word}" if key else word)
    else:
        yield key, value
