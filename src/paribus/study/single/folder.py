"""The folder of a run: what it holds, and that it is the same run that is asked for again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.files.appearing import write_whole
from paribus.study.folder import open_for
from paribus.study.single.plan import RunPlan, computing_code
from paribus.train.checkpoint import forget

PLAN, SETTINGS, CHECKPOINT = "plan.json", "config.yaml", "checkpoint.pt"
RESULT, METRICS, PLOT, MODEL = "result.json", "metrics.csv", "loss.svg", "model"
OTHERWISE = "give another --out, or --no-resume to begin again in its place"


def open_folder(
    path: Path,
    plan: RunPlan,
    *,
    threads: int,
    processes: int = 1,
    again: bool = False,
    otherwise: str = OTHERWISE,
) -> int:
    """Make the folder of this run if need be; the threads it was begun with, or `threads` if it begins here.

    With `again` what a run left in it is removed. Raises `RequestError` if nothing can be written there, or if it
    holds another run, one that other code or another number of processes has begun, or anything else; it ends with
    what to do `otherwise`.
    """
    open_for("run", path, kept=PLAN)
    wanted, code = json.loads(json.dumps(plan.to_dict())), computing_code()
    held = None if again else _held(path)
    if held is not None:
        threads, begun, together = held.pop("threads"), held.pop("code", None), held.pop("processes", 1)
        _refuse_other(path, held, wanted, otherwise)
        if (path / RESULT).exists():
            return threads
        if (path / CHECKPOINT).exists():
            _refuse_other_code(path, begun or code, code, otherwise)
            if together != processes:
                raise RequestError(
                    f"{path} holds a run that was begun on {_processes(together)}, and on {_processes(processes)} its "
                    f"end would be another's: start as many, or {otherwise}"
                )
    else:
        forget(path / CHECKPOINT)
        for name in (RESULT, METRICS, PLOT):
            (path / name).unlink(missing_ok=True)
        shutil.rmtree(path / MODEL, ignore_errors=True)
    held = {**wanted, "threads": threads, "processes": processes, "code": code}
    write_whole(path / PLAN, (json.dumps(held, indent=2) + "\n").encode())
    return threads


def read_result(path: Path) -> dict[str, Any]:
    """The result of the finished run in the folder. Raises `RequestError` where it cannot be read."""
    try:
        result = json.loads((path / RESULT).read_text())
        if not (isinstance(result, dict) and "status" in result):
            raise ValueError("it is no result of a run")
    except (OSError, ValueError) as error:
        raise RequestError(
            f"{path / RESULT} cannot be read ({error}): move it away, and the same command trains again"
        ) from None
    return result


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


def _processes(number: int) -> str:
    return "one process" if number == 1 else f"{number} processes"


def _refuse_other_code(path: Path, begun: Mapping[str, str], code: Mapping[str, str], otherwise: str) -> None:
    differing = [name for name in code if begun.get(name) != code[name]]
    if differing:
        what = {"paribus": f"paribus {begun.get('paribus')}", "torch": f"torch {begun.get('torch')}"}
        raise RequestError(
            f"{path} holds a run that was begun by {what.get(differing[0], 'other lines of paribus')}, and its end would "
            f"be another's: go on with what it was begun with, or {otherwise}"
        )


def _refuse_other(path: Path, held: Mapping[str, Any], wanted: Mapping[str, Any], otherwise: str) -> None:
    there, here = dict(_flat(held)), dict(_flat(wanted))
    differing = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if not differing:
        return
    first = differing[0]
    more = f", and {', '.join(differing[1:4])} differ too" if len(differing) > 1 else ""
    raise RequestError(
        f"{path} holds a run with other settings: {first} is {there.get(first)!r} there and {here.get(first)!r} "
        f"here{more}; {otherwise}"
    )


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted name."""
    if isinstance(value, Mapping) and (value or not key):
        for word, inside in value.items():
            yield from _flat(inside, f"{key}.{word}" if key else word)
    else:
        yield key, value
