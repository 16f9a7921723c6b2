"""Progress of work in stages: a bar each with rate and time left on a terminal, a line every ten seconds elsewhere.

Goes to stderr, so that stdout carries results only. `display.py` shows trials of studies, which takes torch; this does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

_PLAIN_EVERY = 10.0  # seconds between plain lines

Told = Callable[[str, int, int, str], None]


@contextmanager
def stages() -> Iterator[Told]:
    """`told(stage, done, total, unit)`: how far a stage is; a stage that was not named before begins."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        yield _Plain(console).told
        return
    tasks: dict[str, TaskID] = {}
    with Progress(
        TextColumn("{task.description}"), BarColumn(), _Rate(), TimeRemainingColumn(), console=console
    ) as bar:

        def told(stage: str, done: int, total: int, unit: str) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total, unit=unit)
            bar.update(tasks[stage], completed=done, total=total)

        yield told


class _Rate(ProgressColumn):
    """How much of how much, and how much a second."""

    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        speed = f"  {amount(task.speed, unit)}/s" if task.speed else ""
        return Text(f"{amount(task.completed, '')} of {amount(task.total or 0, unit)}{speed}")


class _Plain:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = ""
        self._began = self._said = 0.0

    def told(self, stage: str, done: int, total: int, unit: str) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began, self._said = stage, now, now
            self._console.print(f"{stage}: {amount(total, unit)}")
        elif now - self._said >= _PLAIN_EVERY:
            self._said = now
            speed = done / (now - self._began)
            left = f", {(total - done) / speed:.0f} s left" if speed else ""
            self._console.print(
                f"{stage}: {amount(done, '')} of {amount(total, unit)}, {amount(speed, unit)}/s{left}"
            )


def amount(number: float, unit: str) -> str:
    """`31.0 MB`, `2.50 G runs`, `940 documents`."""
    short = {"bytes": "B"}.get(unit, unit)
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {prefix}{short if short == 'B' else f' {short}' if short else ''}"
    return f"{number:.0f} {unit}".strip()
