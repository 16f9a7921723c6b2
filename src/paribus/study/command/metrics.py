"""What a program says about its own run: lines of JSON in `metrics.jsonl`, read while it runs and at its end.

Each line is an object. The last value of the metric is the score, and must be a number; of `tokens`, `seconds`, `tokens_per_second`,
`peak_memory_bytes` and `params` the last value counts too, where it is a finite number, and every line with
`tokens` and `train_bpb` is a point of the curve. `{"status": "diverged"}`, or a score that is NaN or infinite,
is a diverged trial. Nothing is guessed from the losses: only what the program says counts.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from paribus.errors import WorkError

FILE = "metrics.jsonl"
_MOST_BYTES = 256 << 20  # a line a step of the longest run has a tenth of it
_LOOK_BYTES = 1 << 20
_NUMBERS = ("tokens", "seconds", "tokens_per_second", "peak_memory_bytes", "params")


def outcome(
    out: Path, metric: str, *, failure: str | None, seconds: float, tokens: int | None
) -> dict[str, Any]:
    """The result of a trial that has ended, from its folder.

    The score stands under `val_bpb`, whatever the metric is called. `failure` says how a command failed; a
    program that wrote it diverged is believed all the same. `seconds` (wall, start-up included) and `tokens`
    stand in for what the program does not say.
    """
    try:
        lines = read_metrics(out / FILE)
        last = {key: value for line in lines for key, value in line.items() if value is not None}
        known = {key: last[key] if _is_finite(last.get(key)) else None for key in _NUMBERS}
        speed = _speed(known)
        diverged = last.get("status") == "diverged"
        score, curve = None if diverged else _score(lines, metric), _curve(lines)
    except WorkError as error:
        return {"status": "failed", "reason": failure or str(error)}
    result = {
        **known,
        "status": "done",
        "val_bpb": score,
        "reason": None,
        "tokens": tokens if known["tokens"] is None else known["tokens"],
        "seconds": seconds if known["seconds"] is None else known["seconds"],
        "tokens_per_second": speed,
        "curve": curve,
        "probes": {},
    }
    if diverged:
        return result | {"status": "diverged", "val_bpb": None, "reason": "the program said that it diverged"}
    if failure is not None:
        return {"status": "failed", "reason": failure}
    if score is None:
        said = ", ".join(sorted(last)) or "nothing at all"
        return {
            "status": "failed",
            "reason": f"no line of {FILE} has {metric!r}; the program reported {said}",
        }
    if not _is_finite(score):
        return result | {"status": "diverged", "val_bpb": None, "reason": f"{metric} is {score}"}
    return result


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every line as an object; raises `WorkError`, saying which line is wrong and how."""
    try:
        with _open(path) as file:
            text = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise WorkError(f"the program ended well and wrote no {FILE} in its output folder") from None
    except OSError as error:
        raise WorkError(f"{FILE} cannot be read: {error.strerror}") from error
    if len(text) > _MOST_BYTES:
        raise WorkError(
            f"{FILE} is larger than {_MOST_BYTES >> 20} MiB; write a line for every so many steps"
        )
    lines = []
    for number, line in enumerate(text.split(b"\n"), start=1):
        if line.strip():
            found = _object(line)
            if found is None:
                shown = line[:80].decode(errors="replace").strip()
                raise WorkError(f"line {number} of {FILE} is not a JSON object: {shown!r}")
            lines.append(found)
    return lines


class Follower:
    """The tokens that a running program has reported so far, read a little at a time.

    Forgiving where the end is strict: a line may be half written, and a file may yet be replaced.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._tokens = path, 0, 0

    def tokens(self) -> int:
        """The last number of tokens reported; it does not fall."""
        try:
            with _open(self._path) as file:
                file.seek(self._offset)
                chunk = file.read(_LOOK_BYTES)
        except OSError:
            return self._tokens
        whole, newline, _ = chunk.rpartition(b"\n")
        # A line that is longer than a look has no tokens in it that matter.
        self._offset += len(chunk) if len(chunk) == _LOOK_BYTES and not newline else len(whole + newline)
        for line in whole.split(b"\n"):
            reported = (_object(line) or {}).get("tokens")
            if _is_finite(reported):
                self._tokens = max(self._tokens, int(reported))
        return self._tokens


def _open(path: Path) -> BinaryIO:
    """The file for reading. A pipe or a device, which might never give an end, raises `OSError` instead."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return os.fdopen(descriptor, "rb")


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _score(lines: list[dict[str, Any]], metric: str) -> float | None:
    """The last one; raises `WorkError` for what is no number, and null is none: many loggers write it for NaN."""
    scores = [line[metric] for line in lines if metric in line]
    if not scores or _is_number(scores[-1]):
        return scores[-1] if scores else None
    said = "null" if scores[-1] is None else repr(scores[-1])
    raise WorkError(f"the last {metric} in {FILE} is {said}; it must be a number")


def _speed(known: dict[str, Any]) -> float | None:
    """Tokens a second, as said or as it follows; raises `WorkError` for figures that no run can have."""
    if below := next((key for key, value in known.items() if value is not None and value < 0), None):
        raise WorkError(f"{below} in {FILE} is {known[below]}; it cannot be negative")
    if known["tokens_per_second"] is not None or not known["tokens"] or not known["seconds"]:
        return known["tokens_per_second"]
    speed = known["tokens"] / known["seconds"]
    if not _is_finite(speed):
        raise WorkError(
            f"{FILE} has {known['tokens']} tokens in {known['seconds']} seconds, which no machine does"
        )
    return speed


def _curve(lines: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Training loss over `tokens` and, if every point has them, over `seconds`."""
    points = [line for line in lines if _is_finite(line.get("tokens")) and _is_finite(line.get("train_bpb"))]
    timed = all(_is_finite(line.get("seconds")) for line in points)
    return {
        "tokens": [float(line["tokens"]) for line in points],
        "seconds": [float(line["seconds"]) for line in points] if timed else [],
        "train_bpb": [float(line["train_bpb"]) for line in points],
    }


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: Any) -> TypeGuard[int | float]:
    # A whole number beyond the range of float would raise in isfinite.
    return _is_number(value) and abs(value) <= sys.float_info.max
