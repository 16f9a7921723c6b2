"""The ledger of a study: one SQLite file that holds the plan's hash and every finished trial.

Only the process that holds the study writes to it, one transaction a trial, in WAL mode: a kill at any moment
loses the trials in flight and nothing else, and no trial can stand in it twice.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from paribus.errors import RequestError, WorkError

VERSION = 1

_SCHEMA = """
CREATE TABLE study (plan_sha256 TEXT NOT NULL, plan TEXT NOT NULL);
CREATE TABLE sessions (id INTEGER PRIMARY KEY, environment TEXT NOT NULL, seconds REAL NOT NULL);
CREATE TABLE trials (
    key TEXT PRIMARY KEY,
    arm TEXT NOT NULL,
    rate REAL NOT NULL,
    seed INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('done', 'diverged', 'failed')),
    result TEXT NOT NULL,
    finished TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
"""


class Ledger:
    """Results by trial key. Use as a context manager; raises `RequestError` for another study's ledger."""

    def __init__(self, path: Path, *, plan_sha256: str, plan: Mapping[str, Any]) -> None:
        self.path = path
        self.begin_session({})
        try:
            self._connection = sqlite3.connect(path)
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._create(plan_sha256, plan)
            elif version != VERSION:
                raise RequestError(
                    f"{path} was written by another version of paribus (ledger format {version}, this one reads "
                    f"{VERSION}); give another --out"
                )
            row = self._connection.execute("SELECT plan_sha256, plan FROM study").fetchone()
            held, its_plan = row or ("", "{}")
        except sqlite3.OperationalError as error:
            raise WorkError(f"the ledger {path} cannot be opened: {error}") from error
        except sqlite3.DatabaseError as error:
            raise self._unreadable(error) from error
        if held != plan_sha256:
            theirs, ours = json.loads(its_plan), json.loads(json.dumps(plan))
            differ = [key for key in ours if theirs.get(key) != ours[key]]
            raise RequestError(
                f"{path.parent} holds a different study (other {', '.join(differ)}); give another --out, or the "
                "command that began it"
            )

    def _create(self, plan_sha256: str, plan: Mapping[str, Any]) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        # One transaction: a kill leaves either no ledger or a whole one.
        statements = [statement for statement in _SCHEMA.split(";") if statement.strip()]
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            for statement in statements:
                self._connection.execute(statement)
            self._connection.execute("INSERT INTO study VALUES (?, ?)", (plan_sha256, json.dumps(plan)))
            self._connection.execute(f"PRAGMA user_version = {VERSION}")

    def results(self) -> dict[str, dict[str, Any]]:
        """Result by trial key, with its `status`."""
        with self._reading():
            rows = self._connection.execute("SELECT key, status, result FROM trials")
            return {key: {**json.loads(result), "status": status} for key, status, result in rows}

    def begin_session(self, environment: Mapping[str, Any]) -> None:
        """Say where and how the trials recorded from now on are run; it counts once one is recorded."""
        self._environment, self._began = json.dumps(environment), time.monotonic()
        self._session: int | None = None

    def sessions(self) -> list[dict[str, Any]]:
        """Environment and wall seconds of every session that finished a trial, in order."""
        with self._reading():
            rows = self._connection.execute("SELECT environment, seconds FROM sessions ORDER BY id")
            return [{**json.loads(environment), "seconds": seconds} for environment, seconds in rows]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raises `RequestError` where the file was damaged behind its first pages."""
        try:
            yield
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> RequestError:
        return RequestError(
            f"{self.path} is not a readable ledger ({error}); move it away or give another --out"
        )

    def _update_session(self) -> None:
        seconds = time.monotonic() - self._began
        if self._session is None:
            row = self._connection.execute(
                "INSERT INTO sessions (environment, seconds) VALUES (?, ?)", (self._environment, seconds)
            )
            self._session = row.lastrowid
        self._connection.execute("UPDATE sessions SET seconds = ? WHERE id = ?", (seconds, self._session))

    def record(self, key: str, *, arm: str, rate: float, seed: int, result: Mapping[str, Any]) -> None:
        """Write one finished trial; a failed one may be replaced by a later try, any other may not."""
        try:
            with self._connection:
                self._update_session()
                self._connection.execute(
                    "INSERT INTO trials (key, arm, rate, seed, status, result) VALUES (?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT (key) DO UPDATE SET status = excluded.status, result = excluded.result "
                    "WHERE trials.status = 'failed'",
                    (key, arm, rate, seed, result["status"], json.dumps(result)),
                )
        except sqlite3.DatabaseError as error:
            raise WorkError(
                f"the ledger {self.path} cannot be written ({error}); finished trials are kept, run the same "
                "command again when there is room"
            ) from error

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
