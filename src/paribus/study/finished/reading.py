"""JSON and SQLite files of unknown origin, read without a trace and without harm; errors are one sentence.

A ledger in WAL mode is never opened the plain way, not even read-only: SQLite would then make `-wal` and
`-shm` files beside it, or write into those of a running study.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.study import ledger as writer

_MOST_BYTES = 256 << 20  # a results.json of ten thousand trials has a hundredth of it
_DEEPEST = 64


@dataclass(frozen=True, kw_only=True)
class LedgerContents:
    """The plan of a ledger, its sessions in order, and a row for every finished trial.

    A row has key, arm, lr, seed, status, finished; `result` holds the whole result where it was asked for.
    """

    plan: Any
    sessions: tuple[Mapping[str, Any], ...]
    trials: tuple[Mapping[str, Any], ...]


def load_json(path: Path) -> Any:
    """The JSON document in `path`; NaN and infinities become None. Raises `RequestError`."""
    _check_file(path)
    try:
        return _parse(path.read_text("utf-8"))
    except OSError as error:
        raise RequestError(f"{path.name} cannot be read: {error.strerror}") from error
    except MemoryError as error:
        raise RequestError(f"{path.name} is too large for this machine's memory") from error
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{path.name} is not whole or not JSON ({_first_line(error)})") from error


def load_ledger(path: Path, *, results: bool = False) -> LedgerContents:
    """What a ledger holds, with the trials' full results if `results`. Raises `RequestError`."""
    _check_file(path)
    try:
        with _reading(path) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > writer.VERSION:
                raise RequestError(
                    f"{path.name} was written by a newer paribus (ledger format {version}, this one reads up "
                    f"to {writer.VERSION})"
                )
            plan = connection.execute("SELECT plan FROM study").fetchone()
            sessions = connection.execute("SELECT environment FROM sessions ORDER BY id").fetchall()
            result = "result" if results else "NULL"
            trials = connection.execute(
                f"SELECT key, arm, rate, seed, status, finished, {result} FROM trials ORDER BY finished, rowid"
            ).fetchall()
        if plan is None:
            raise RequestError(f"{path.name} holds no plan")
        return LedgerContents(
            plan=_parse(plan[0]),
            sessions=tuple(_mapping(_parse(text)) for (text,) in sessions),
            trials=tuple(_trial(*row) for row in trials),
        )
    except RequestError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise RequestError(f"{path.name} cannot be read ({_first_line(error)})") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"{path.name} holds what no study writes ({_first_line(error)})") from error


def _trial(key: Any, arm: Any, rate: Any, seed: Any, status: Any, finished: Any, result: Any) -> Any:
    if not all(isinstance(word, str) for word in (key, arm, status, finished)):
        raise TypeError("a trial without key, arm, status or time")
    if not (isinstance(rate, int | float) and isinstance(seed, int)):
        raise TypeError(f"a trial of {arm} whose rate or seed is no number")
    row = {"key": key, "arm": arm, "lr": float(rate), "seed": seed, "status": status, "finished": finished}
    return row if result is None else row | {"result": _mapping(_parse(result))}


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{type(value).__name__} where a JSON object should be")
    return value


def _check_file(path: Path) -> None:
    """Refuse what would block, never end or fill the memory: pipes, devices, giants."""
    try:
        status = path.stat()
    except OSError as error:
        raise RequestError(f"{path.name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise RequestError(f"{path.name} is no file")
    if path.suffix == ".json" and status.st_size > _MOST_BYTES:
        raise RequestError(
            f"{path.name} has {status.st_size / 1e6:,.0f} MB, more than any study writes "
            f"({_MOST_BYTES / 1e6:,.0f} MB)"
        )


def _parse(text: Any) -> Any:
    document = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    level, depth = [document], 0
    while level:  # by levels: what is nested too deep would break the recursion of whoever walks it
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} deep")
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += [item for item in value.values() if isinstance(item, dict | list)]
            elif isinstance(value, list):
                below += [item for item in value if isinstance(item, dict | list)]
        level, depth = below, depth + 1
    return document


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that neither writes nor locks anything out.

    Without a `-wal` file nobody has the ledger open, and it is whole (`immutable`). With one and its `-shm`,
    `readonly_shm` joins the readers of a study that runs, or was killed, without writing to either. With the
    `-wal` alone (a copied folder) SQLite would have to make the `-shm`: then it works on a copy of both.
    """
    log, index = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    with contextlib.ExitStack() as stack:
        if not log.exists() or log.stat().st_size == 0:
            options = "?mode=ro&immutable=1"
        elif index.exists():
            options = "?mode=ro&readonly_shm=1"
        else:
            copies = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="paribus-ledger-")))
            shutil.copyfile(log, copies / log.name)
            path = Path(shutil.copyfile(path, copies / path.name))
            options = ""
        connection = sqlite3.connect(path.absolute().as_uri() + options, uri=True)
        stack.callback(connection.close)
        yield connection
