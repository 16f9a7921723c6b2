"""Processes that measure: each answers the same request at the same time, in JSON lines.

They do nothing by themselves: what is asked and how often is decided by who holds them, so contenders take turns
in one run whatever the machine does meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from paribus.errors import WorkError
from paribus.study.launch import worker_environment


class Processes:
    """`count` processes `python -m ARGUMENTS`, with the environment of a worker of `threads`; a context manager.

    `settings` are changes to that environment; None takes one out of it.
    Raises `OSError` if one cannot be started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        count: int,
        threads: int,
        settings: Mapping[str, str | None] | None = None,
    ) -> None:
        self._log = TemporaryDirectory()
        wanted = {**os.environ, **worker_environment(threads), **(settings or {})}
        environment = {name: value for name, value in wanted.items() if value is not None}
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            for number in range(count):
                with Path(self._log.name, f"{number}.log").open("wb") as errors:
                    self._processes.append(
                        subprocess.Popen(
                            [sys.executable, "-m", *arguments],
                            stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE,
                            stderr=errors,
                            env=environment,
                        )
                    )
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        self._log.cleanup()

    def ask(self, do: str, *, first: int | None = None, **request: Any) -> list[dict[str, Any]]:
        """The answers of the `first` so many processes (default: all) to one request, which they work on together.

        Raises `WorkError` with the last line that a process wrote, if it died.
        """
        asked = self._processes[:first]
        for process in asked:
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
                process.stdin.flush()
            except BrokenPipeError:
                pass  # it died; its closed stdout says so
        return [self._answer(number) for number in range(len(asked))]

    def _answer(self, number: int) -> dict[str, Any]:
        process = self._processes[number]
        assert process.stdout is not None
        line = process.stdout.readline()
        if line.endswith(b"\n"):
            return json.loads(line)
        code = process.wait()
        said = Path(self._log.name, f"{number}.log").read_text(errors="replace").strip().splitlines()
        raise WorkError(f"a process that measures died with code {code}" + (f": {said[-1]}" if said else ""))
