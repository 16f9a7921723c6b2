"""The trials of a study as one table for other tools: CSV, Parquet or JSON, a row a trial or a curve point.

Rows come from results.json, and what it leaves out (clipping, initial RMS, probes, curves) from the ledger.
A column is whatever is a single number, word or truth; nested ones get dotted names. Files are replaced whole.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, WorkError, nearest
from paribus.files.appearing import write_whole
from paribus.study.finished.archive import Study
from paribus.study.finished.records import load_trials

Row = dict[str, Any]

#: Columns in this order first, where a study has them; all others follow by name.
_FIRST = (
    *("arm", "seed", "lr", "scheme", "status", "val_bpb", "seconds", "tokens", "tokens_per_second"),
    *("error", "run_id", "point"),
)
_POINT = ("arm", "seed", "lr", "scheme", "run_id")  # what a curve point keeps of its trial


def trial_rows(study: Study) -> list[Row]:
    """One row a trial with all of its scalars: arm, seed, lr, status, val_bpb, ..., run_id.

    Raises `RequestError` when there is none.
    """
    rows = [_scalars(row) for row in load_trials(study)]
    for row in rows:
        row["error"] = row.get("error") or row.pop("reason", None)
        row.pop("reason", None)
    if not rows:
        raise RequestError(f"the study {study.name} has no finished trial yet, so there is nothing to export")
    return _ordered(rows)


def curve_rows(study: Study) -> list[Row]:
    """One row for every point of every trial's curve: arm, seed, lr, run_id, point, tokens, seconds, train_bpb.

    Raises `RequestError` when no trial has a curve, or the ledger that holds them cannot be read.
    """
    rows: list[Row] = []
    for trial in load_trials(study, need_results=True):
        trial = _scalars({key: trial[key] for key in _POINT if key in trial}) | {
            "result": trial.get("result")
        }
        rows += [
            {key: trial[key] for key in _POINT if key in trial} | {"point": number} | point
            for number, point in enumerate(points(trial["result"] or {}))
        ]
    if not rows:
        raise RequestError(f"no trial of the study {study.name} has a curve, so there is nothing to export")
    return _ordered(rows)


def points(result: Mapping[str, Any]) -> list[dict[str, float]]:
    """The points of a result's curve, which is stored by column; columns that are no numbers are left out."""
    curve = result.get("curve")
    columns = {
        str(name): column
        for name, column in (curve.items() if isinstance(curve, Mapping) else ())
        if isinstance(column, list) and all(isinstance(value, int | float | None) for value in column)
    }
    length = min(map(len, columns.values()), default=0)
    return [{name: column[number] for name, column in columns.items()} for number in range(length)]


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Scalars of nested mappings under dotted names; lists are left out."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from flat(item, f"{prefix}{key}.")
        elif item is None or isinstance(item, str | int | float):
            yield f"{prefix}{key}", item


def _scalars(row: Mapping[str, Any]) -> Row:
    result = {key: item for key, item in (row.get("result") or {}).items() if key != "curve"}
    own = {key: item for key, item in row.items() if key not in ("result", "curve")}
    found = dict(flat(result))
    return found | {key: item for key, item in flat(own) if item is not None or key not in found}


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """The same rows, every one with all columns, in the order of `_FIRST` and then by name."""
    names = {name for row in rows for name in row}
    order = [name for name in _FIRST if name in names] + sorted(names - {*_FIRST})
    return [{name: row.get(name) for name in order} for row in rows]


def encode(rows: Sequence[Row], form: str) -> bytes:
    """The table as the bytes of a csv, json or parquet file.

    Raises `RequestError` for another form, and for parquet where pyarrow is not installed.
    """
    if form not in FORMS:
        raise RequestError(f"a study cannot be exported to {form!r}; {nearest(form, FORMS)}")
    return FORMS[form](rows)


def _csv(rows: Sequence[Row]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return _bytes(out.getvalue())


def _json(rows: Sequence[Row]) -> bytes:
    return _bytes(json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _parquet(rows: Sequence[Row]) -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise RequestError(
            "parquet needs the package pyarrow; install it with: pip install 'paribus[parquet]'"
        ) from error
    columns = {name: _column([row[name] for row in rows]) for name in rows[0]}
    words = {name for name, column in columns.items() if all(value is None for value in column)}
    table = pa.table(
        {name: pa.array(column, pa.string() if name in words else None) for name, column in columns.items()}
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def _column(values: list[Any]) -> list[Any]:
    """Values of one type, which Parquet asks of a column: all whole, all real, all truths, or else all words."""
    types = {type(value) for value in values if value is not None}
    if types == {int, float} or (types == {int} and any(abs(value or 0) >= 1 << 63 for value in values)):
        return [value if value is None else float(value) for value in values]
    if len(types) > 1 or types == {str}:
        return [value if value is None else _bytes(str(value)).decode() for value in values]
    return values


#: What turns rows into a file, by the name of its form.
FORMS: dict[str, Callable[[Sequence[Row]], bytes]] = {"csv": _csv, "json": _json, "parquet": _parquet}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate (a file name that is not UTF-8)


def write(content: bytes, out: Path) -> None:
    """Put `content` at `out`, so that a reader sees the old file or the new one, never half of one."""
    if os.path.isdir(out):
        raise RequestError(f"{out} is a folder; name a file, as in {out / 'trials.csv'}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, content)
    except OSError as error:
        raise WorkError(f"{out} cannot be written: {error.strerror}") from error
