"""A tiny text, and trials on it that take a moment; what runs them is the subject here."""

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from paribus.model.config import ModelConfig
from paribus.study.plan import Trial
from paribus.study.worker import TrialRunner
from paribus.text.data import Dataset, default_cache, prepare
from paribus.text.tokenizers import get_tokenizer
from paribus.train.config import TrainConfig

TRAIN = TrainConfig(
    tokens=640, batch_size=4, seq_len=16, heldout_tokens=512, dtype="float32", compile="off", warmup=0.1
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path / "cache"))


def write_text(path: Path) -> Path:
    """A text file of about 10 KB."""
    words = random.Random(0).choices(["all", "else", "being", "equal", "the", "study"], k=2000)
    path.write_text("\n\n".join(" ".join(words[start : start + 20]) for start in range(0, 2000, 20)))
    return path


def prepared(source: Path) -> Dataset:
    return prepare(source, tokenizer=get_tokenizer("bytes"), cache=default_cache())


def described(data: Dataset, source: Path) -> dict[str, Any]:
    """What a plan says of its data."""
    return {
        "name": data.name,
        "sha256": data.sha256,
        "tokenizer": data.tokenizer,
        "source": str(source),
        "text_field": "text",
    }


def trial(arm: str = "relu", *, ffn: str | None = None, seed: int = 0, steps: int = 10) -> Trial:
    """A run of so many steps on a model of one layer; `ffn` is the arm's name if not given."""
    model = ModelConfig(vocab_size=257, d_model=12, num_layers=1, num_heads=2, d_ff=16, ffn=ffn or arm)
    train = dataclasses.replace(TRAIN, tokens=steps * TRAIN.tokens_per_step)
    return Trial(arm=arm, rate=1e-2, seed=seed, model=model, train=train)


def here(trials: list[Trial], data: Dataset, folder: Path) -> dict[str, float]:
    """Scores by key, as this process gets them on one thread."""
    runner = TrialRunner(data, checkpoints=folder / "here")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {each.key: runner.run(each, progress=lambda done, total: None)["val_bpb"] for each in trials}
    finally:
        torch.set_num_threads(before)


PartMaker = Callable[[str], str]


@pytest.fixture
def part(tmp_path: Path) -> PartMaker:
    """Writes a user's part whose forward pass does only this, and gives its address."""

    def write(body: str) -> str:
        path = tmp_path / "part.py"
        path.write_text(
            "import os, signal, threading\n"
            "from paribus import FeedForward\n"
            "class Part(FeedForward):\n"
            "    def forward(self, x):\n"
            f"        {body}\n"
        )
        return f"{path}:Part"

    return write


class Snag:
    """A trial that hangs after some steps, until it is told to go on; `process` is where it hangs."""

    def __init__(self, folder: Path, part: PartMaker) -> None:
        self._over, self._process = folder / "over", folder / "process"
        wait = f"(open({str(self._process)!r}, 'w').write(str(os.getpid())), threading.Event().wait())"
        body = f"Part.calls > 60 and not os.path.exists({str(self._over)!r}) and {wait}"
        ffn = part(f"Part.calls = getattr(Part, 'calls', 0) + 1; {body}; return x")
        self.trial = trial("snag", ffn=ffn, steps=100)

    def hangs(self) -> bool:
        return self._process.exists() and bool(self._process.read_text())

    @property
    def process(self) -> int:
        while not self.hangs():
            pass
        return int(self._process.read_text())

    def over(self) -> None:
        self._over.touch()


@pytest.fixture
def snag(tmp_path: Path, part: PartMaker) -> Snag:
    return Snag(tmp_path, part)


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a launcher is given: the text prepared in this cache, and a folder."""

    source: Path
    data: Dataset
    described: dict[str, Any]
    folder: Path


@pytest.fixture
def study(tmp_path: Path) -> Study:
    source = write_text(tmp_path / "text.txt")
    data = prepared(source)
    folder = tmp_path / "study"
    folder.mkdir()
    return Study(source=source, data=data, described=described(data, source), folder=folder)
