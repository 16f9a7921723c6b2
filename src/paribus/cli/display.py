"""What a person sees while something runs: bars with rate and time left on a terminal, plain lines elsewhere.

Progress goes to stderr, so that stdout carries results only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:  # importing them imports torch
    from paribus.study.engine import Listener
    from paribus.study.plan import Counted, Trial

_PLAIN_EVERY = 10.0  # seconds between plain progress lines


class _TokenRate(ProgressColumn):
    """Tokens done and tokens a second."""

    def get_table_column(self) -> Column:
        return Column(no_wrap=True)

    def render(self, task: Task) -> Text:
        if task.total is None:  # nothing is planned yet
            return Text()
        speed = _rate(task.speed) if task.speed else ""
        return Text(f"{_tokens(task.completed, task.total)}  {speed}")


class _TrialCount(ProgressColumn):
    """Trials done."""

    def get_table_column(self) -> Column:
        return Column(no_wrap=True)

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else Text(_trials(task.completed, task.total))


class _Cut(ProgressColumn):
    """A task's description, cut where the line ends; the columns before it keep their widths."""

    def render(self, task: Task) -> Text:
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class Display:
    """Progress and messages on stderr, results on stdout."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True, quiet=quiet)
        self.out = Console(highlight=False, markup=False, quiet=quiet)  # names come from files

    def say(self, message: str) -> None:
        self.errors.print(message)

    def show(self, renderable: RenderableType) -> None:
        self.out.print(renderable)

    @contextmanager
    def bytes(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A bar for bytes with the rate and the time left; nothing is shown if nothing had to be read."""
        columns = (DownloadColumn(), TransferSpeedColumn())
        with self._amount(what, columns, _megabytes, "MB/s") as update:
            yield update

    @contextmanager
    def tokens(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A bar for tokens with the rate and the time left."""
        with self._amount(what, (_TokenRate(),), _tokens, "M tok/s") as update:
            yield update

    @contextmanager
    def _amount(
        self,
        what: str,
        columns: tuple[ProgressColumn, ...],
        amount: Callable[[float, float], str],
        unit: str,
    ) -> Iterator[Callable[[int, int], None]]:
        """A bar that begins with the first call; without a terminal, a line then and every ten seconds."""
        bar = Progress(TextColumn(what), BarColumn(), *columns, TimeRemainingColumn(), console=self.errors)
        task = None
        began, first, said = 0.0, 0, 0.0

        def update(done: int, total: int) -> None:
            nonlocal task, began, first, said
            now = time.monotonic()
            if not began:
                began, first, said = now, done, now
                if self.errors.is_terminal:
                    bar.start()
                    task = bar.add_task(what, total=total, completed=done)
                else:
                    before = f", {done / 1e6:,.1f} done before" if done else ""
                    self.say(f"{what}: {amount(0, total).removeprefix('0.0 of ')}{before}")
            elif task is not None:
                bar.update(task, completed=done, total=total)
            elif now - said >= _PLAIN_EVERY and done > first:
                said = now
                rate = (done - first) / (now - began)
                self.say(
                    f"{amount(done, total)}, {rate / 1e6:,.1f} {unit}, {(total - done) / rate:.0f} s left"
                )

        try:
            yield update
        finally:
            if task is not None:  # stopping a bar that never started prints an empty line
                bar.stop()

    @contextmanager
    def counted(self, what: str, *, total: int) -> Iterator[Callable[[str], None]]:
        """A bar over `total` things, each named when it is done; silent where there is no terminal."""
        with Progress(
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            _Cut(),
            console=self.errors,
            disable=not self.errors.is_terminal,
            transient=True,
        ) as bar:
            task = bar.add_task("", total=total)
            yield lambda name: bar.update(task, advance=1, description=name)

    @contextmanager
    def turns(self) -> Iterator[Callable[[str, int, int], None]]:
        """A bar over turns of a benchmark with the time left; elsewhere a line every ten seconds."""
        if not self.errors.is_terminal:
            said = -_PLAIN_EVERY
            began, first, of = 0.0, 0, 0  # building is counted apart, and takes another pace

            def plain(what: str, done: int, total: int) -> None:
                nonlocal said, began, first, of
                now = time.monotonic()
                if total != of:
                    began, first, of = now, done, total
                if now - said >= _PLAIN_EVERY:
                    said = now
                    pace = (now - began) / (done - first) if done > first else 0.0
                    left = f", {pace * (total - done):.0f} s left" if pace else ""
                    self.say(f"{done:,} of {total:,}{left}: {what}")

            yield plain
            return
        with Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            _Cut(),
            console=self.errors,
            transient=True,
        ) as bar:
            task = bar.add_task("")
            yield lambda what, done, total: bar.update(task, completed=done, total=total, description=what)

    @contextmanager
    def trials(self, *, counts: Counted = "tokens") -> Iterator[Listener]:
        """Progress of a study over its tokens, or its trials where nobody knows those, with rate and time left."""
        from paribus.study.engine import Listener

        if self.errors.is_terminal:
            with Progress(
                BarColumn(),
                _TokenRate() if counts == "tokens" else _TrialCount(),
                TimeRemainingColumn(),
                _Cut(),
                console=self.errors,
            ) as bar:
                task = bar.add_task("", total=None)

                def finished(trial: Trial, result: Mapping[str, Any]) -> None:
                    bar.update(task, description=f"{trial.name}: {outcome(result)}")
                    if result["status"] != "done":
                        self.say(f"{trial.name}: {outcome(result)}")

                yield Listener(
                    planned=lambda done, total: bar.reset(task, completed=done, total=total),
                    tokens=lambda more: bar.advance(task, more),
                    finished=finished,
                    note=self.say,
                )
        else:
            plain = _PlainProgress(self.say, counts)
            yield Listener(planned=plain.planned, tokens=plain.tokens, finished=plain.finished, note=self.say)


class _PlainProgress:
    """A line every ten seconds."""

    def __init__(self, say: Callable[[str], None], counts: Counted = "tokens") -> None:
        self._say, self._counts = say, counts
        self._done = self._total = self._start = 0
        self._began = self._said = time.monotonic()

    def planned(self, done: int, total: int) -> None:
        self._done = self._start = done
        self._total = total
        self._began = 0.0

    def tokens(self, more: int) -> None:
        now = time.monotonic()
        # The clock starts with the first tokens: workers have then started and compiled.
        if not self._began:
            self._began, self._start = now, self._done + more
        self._done += more
        if now - max(self._said, self._began) < _PLAIN_EVERY:  # too soon for a speed worth saying
            return
        self._said = now
        speed = (self._done - self._start) / (now - self._began)
        left = (self._total - self._done) / speed if speed else 0.0
        tokens = self._counts == "tokens"
        said = (
            (_tokens(self._done, self._total), _rate(speed))
            if tokens
            else (_trials(self._done, self._total),)
        )
        self._say(", ".join((*said, f"{left:.0f} s left")))

    def finished(self, trial: Trial, result: Mapping[str, Any]) -> None:
        if result["status"] != "done":
            self._say(f"{trial.name}: {outcome(result)}")


def _rate(speed: float) -> str:
    """Tokens a second, in thousands from a thousand on."""
    return f"{speed / 1e3:,.0f} k tok/s" if speed >= 1e3 else f"{speed:,.0f} tok/s"


def _tokens(done: float, total: float) -> str:
    """How many tokens of how many, in millions or, of a small study, in thousands."""
    size, unit = (1e6, "M") if total >= 1e6 else (1e3, "k")
    return f"{done / size:,.1f} of {total / size:,.1f} {unit} tokens"


def _trials(done: float, total: float) -> str:
    return f"{done:,.0f} of {total:,.0f} trials"


def _megabytes(done: float, total: float) -> str:
    return f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB"


def outcome(result: Mapping[str, Any]) -> str:
    """A trial's result in a few words."""
    if result["status"] == "done":
        return f"{result['val_bpb']:.3f} bits per byte"
    return f"{result['status']}: {result['reason']}"
