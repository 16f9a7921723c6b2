"""A tiny run: one layer, little text, no compilation."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paribus.study.engine import Listener
from paribus.study.single.preparing import Prepared, make
from paribus.study.single.session import Trained, train
from paribus.study.single.settings import resolve

TINY = (
    "d_model=16",
    "num_layers=1",
    "num_heads=2",
    "tokens=2560",
    "batch_size=4",
    "seq_len=16",
    "heldout_tokens=256",
    "scores=4",
    "compile=off",
)
OF_TRAINING = TINY[3:]


CLOCKS = ("seconds", "tokens_per_second", "compile_seconds", "peak_memory_bytes", "saved", "curve")


class Killed(Exception):
    """Stands for a process that ends in the middle of a run."""


def facts(result: Any) -> dict[str, Any]:
    """What must not depend on how long things took, or where they stand."""
    return {key: value for key, value in result.items() if key not in CLOCKS} | {
        "train_bpb": result["curve"]["train_bpb"]
    }


class Heard:
    """What a run said; `at` is called with the steps that are done."""

    def __init__(self, at: Callable[[int], None] = lambda done: None) -> None:
        self.notes: list[str] = []
        self.done = self.total = 0
        self._at = at

    def listener(self) -> Listener:
        def planned(done: int, total: int) -> None:
            self.done, self.total = done, total

        def tokens(more: int) -> None:
            self.done += more
            self._at(self.done // 64)

        return Listener(
            planned=planned, tokens=tokens, finished=lambda trial, result: None, note=self.notes.append
        )


@pytest.fixture
def prepare(corpus: Path) -> Callable[..., Prepared]:
    """A run of these settings over the tiny ones."""

    def prepared(*overrides: str, tiny: tuple[str, ...] = TINY, **options: Any) -> Prepared:
        return make(resolve({"data": str(corpus), **options}, [*tiny, *overrides]))

    return prepared


def trained(prepared: Prepared, out: Path, **options: Any) -> Trained:
    return train(prepared, out, listener=options.pop("heard", Heard()).listener(), threads=1, **options)


def config_file(folder: Path, config: dict[str, Any]) -> str:
    """A folder with nothing but a `config.json`."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


#: Small relatives of real families.
LLAMA = {
    "model_type": "llama",
    "vocab_size": 1000,
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
GPT2 = {"model_type": "gpt2", "vocab_size": 1000, "n_embd": 64, "n_layer": 4, "n_head": 4}
BERT = {
    "model_type": "bert",
    "vocab_size": 1000,
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
}
