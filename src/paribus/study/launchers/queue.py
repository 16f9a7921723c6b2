"""The trials that wait, and what the outcomes of the others mean for them: the judgement all launchers share.

Which trial comes next, when an arm gets no more, how often a lost trial is tried again. Where and how a trial runs
belongs in the launchers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from paribus.errors import WorkError
from paribus.study.plan import Trial

FAILURES_IN_A_ROW = 3  # after this many of an arm its next trials would fail alike
TRIES = 3  # of a trial whose worker is lost each time before it gets further
_FURTHER = 0.01  # of a trial's tokens: so much more done is not the same trouble again


class TrialQueue:
    """Trials to run, in the order in which workers should take them."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._waiting = list(trials)
        self._failures: Counter[str] = Counter()  # in a row, by arm
        self._losses: Counter[str] = Counter()  # by trial key
        self._reached: dict[str, int] = {}  # tokens done when it last got further, by trial key
        self._succeeded = False
        self._reason: str | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, *, last: str | None = None, busy: AbstractSet[str | None] = frozenset()) -> Trial | None:
        """The next trial for a worker: of its `last` graph, else of the longest queue that no `busy` graph is of."""
        if not self._waiting:
            return None
        queues = Counter(trial.graph for trial in self._waiting)
        graph = last if last in queues else max(queues, key=lambda each: (each not in busy, queues[each]))
        index = next(index for index, trial in enumerate(self._waiting) if trial.graph == graph)
        return self._waiting.pop(index)

    def finished(self, trial: Trial, result: Mapping[str, Any], *, log: Path | None = None) -> None:
        """Count an outcome, of which `log` says more; the third failure in a row sets the rest of an arm aside."""
        if result["status"] != "failed":
            self._failures[trial.arm], self._succeeded = 0, True
            return
        self._failures[trial.arm] += 1
        self._reason = result["reason"] if log is None else f"{result['reason']}; more is in {log}"
        if self._set_aside(trial):
            self._waiting = [each for each in self._waiting if each.arm != trial.arm]

    def lost(self, trial: Trial, reason: str, *, reached: int) -> dict[str, Any] | None:
        """Put a trial back whose worker is gone after `reached` tokens; its failed result if that was once too often.

        Too often is three times with less than a hundredth of the trial done in all of them. One that gets further
        is never given up, in however small steps: time limits shorter than it do that.
        """
        further = reached - self._reached.get(trial.key, 0) >= _FURTHER * trial.tokens
        self._losses[trial.key] = 1 if further else self._losses[trial.key] + 1
        if further:  # else it keeps its mark, so that small steps add up
            self._reached[trial.key] = reached
        if self._losses[trial.key] >= TRIES:
            return {"status": "failed", "reason": f"{reason}; so it ended {TRIES} times"}
        return self.put_back(trial, reason)

    def put_back(self, trial: Trial, reason: str) -> dict[str, Any] | None:
        """Let another worker have a trial that is not to blame; its failed result if its arm gets no more."""
        if self._set_aside(trial):
            return {"status": "failed", "reason": reason}
        self._waiting.insert(0, trial)
        return None

    def _set_aside(self, trial: Trial) -> bool:
        return self._failures[trial.arm] >= FAILURES_IN_A_ROW

    def check(self) -> None:
        """Raise `WorkError` if there were outcomes and every one of them was a failure."""
        if self._reason is not None and not self._succeeded:
            raise WorkError(f"every trial failed, the last with: {self._reason}")
