"""A tiny corpus, tiny settings, and a launcher that runs trials in this process."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from paribus.study import division, environment, memory
from paribus.study.engine import Listener
from paribus.study.plan import Plan, Trial
from paribus.study.session import Prepared, make
from paribus.study.settings import StudySettings, resolve
from paribus.study.worker import TrialRunner
from paribus.text.data import Dataset, spans

#: A study of seconds: one layer, little text, no compilation.
TINY = (
    "model.d_model=12",
    "model.num_layers=1",
    "model.num_heads=2",
    "train.tokens=640",
    "train.batch_size=4",
    "train.seq_len=16",
    "train.heldout_tokens=512",
    "train.compile=off",
    "rates=[4e-2, 8e-2, 16e-2]",
)
#: Long enough for the best rate to lie inside that grid.
LONGER = (*TINY, "train.tokens=6400")
WORDS = [
    "all",
    "else",
    "being",
    "equal",
    "the",
    "study",
    "holds",
    "every",
    "other",
    "part",
    "still",
    "and",
    "asks",
    "one",
    "thing",
    "of",
    "the",
    "text",
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path / "cache"))


def write_corpus(path: Path) -> Path:
    """A text file of about 60 KB."""
    rng = random.Random(0)
    lines = [" ".join(rng.choices(WORDS, k=12)) + ("\n\n" if n % 5 == 0 else "\n") for n in range(1000)]
    path.write_text("".join(lines))
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus.txt")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small text is work for several workers."""
    monkeypatch.setattr(spans, "BLOCK_BYTES", 4096)


@pytest.fixture
def settings(corpus: Path) -> StudySettings:
    return resolve("default", {"data": str(corpus), "arms": ["relu", "swiglu"], "seeds": 1}, [*TINY])


@pytest.fixture
def planned(settings: StudySettings) -> tuple[Plan, Dataset]:
    prepared = make(settings)
    return prepared.plan, prepared.data


@pytest.fixture
def prepared(settings: StudySettings) -> Prepared:
    return make(settings)


@dataclass
class InlineLauncher:
    """Runs trials one after another here; `outcomes` overrides what named trials give."""

    data: Dataset
    folder: Path
    outcomes: Callable[[Trial], Mapping[str, Any] | None] = lambda trial: None
    ran: list[Trial] = field(default_factory=list)

    def run(
        self, trials: Sequence[Trial], *, progress: Callable[[int], None]
    ) -> Iterator[tuple[Trial, dict[str, Any]]]:
        runner = TrialRunner(self.data, checkpoints=self.folder)
        for trial in trials:
            self.ran.append(trial)
            given = self.outcomes(trial)
            result = dict(given) if given else runner.run(trial, progress=lambda done, total: None)
            progress(trial.tokens)
            yield trial, result


@dataclass
class Heard:
    """Everything a study said."""

    plans: list[tuple[int, int]] = field(default_factory=list)
    tokens: int = 0
    finished: list[tuple[Trial, Mapping[str, Any]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def listener(self) -> Listener:
        def more(tokens: int) -> None:
            self.tokens += tokens

        return Listener(
            planned=lambda done, total: self.plans.append((done, total)),
            tokens=more,
            finished=lambda trial, result: self.finished.append((trial, result)),
            note=self.notes.append,
        )


def outcome(val_bpb: float | None, *, status: str = "done") -> dict[str, Any]:
    """A trial result with this loss, as a worker would send it."""
    return {
        "status": status,
        "val_bpb": val_bpb,
        "reason": None if status == "done" else "made up for the test",
        "tokens": 640,
        "seconds": 1.0,
        "tokens_per_second": 640.0,
        "compile_seconds": 0.0,
        "clipped_fraction": 0.0,
        "branch_rms": 0.5,
        "first_bpb": 8.0,
        "peak_memory_bytes": 1000,
        "dtype": "bfloat16",
        "compiled": False,
        "as_run": {},
        "curve": {"tokens": [640.0], "seconds": [1.0], "train_bpb": [5.0]},
        "heldout_nats": [],
        "probes": {},
    }


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cores", lambda: 2)
    monkeypatch.setattr(memory, "machine_bytes", lambda: 2**60)


@pytest.fixture
def quick_measurement(two_cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement of one step a turn, which other work on the machine may disturb."""
    monkeypatch.setattr(division, "_ROUNDS", 1)
    monkeypatch.setattr(division, "_TURN_SECONDS", 0.0)
    monkeypatch.setattr(division, "_UNDISTURBED", 0.0)
