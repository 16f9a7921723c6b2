"""A tiny prepared dataset and a tiny program."""

from pathlib import Path

import pytest

from paribus.model.config import ModelConfig
from paribus.text.data import Dataset, prepare
from paribus.text.tokenizers import get_tokenizer
from paribus.train.config import TrainConfig
from paribus.train.program import Program

MODEL = ModelConfig(vocab_size=257, d_model=12, d_ff=16, num_layers=1, num_heads=2, max_seq_len=16)
TRAIN = TrainConfig(tokens=64 * 60, batch_size=4, seq_len=16, heldout_tokens=500, compile="off")


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    text = "".join(f"line {n} of a text that counts {n * n}\n" + "\n" * (n % 7 == 0) for n in range(2000))
    path = tmp_path / "text.txt"
    path.write_text(text)
    return prepare(str(path), tokenizer=get_tokenizer("bytes"), cache=tmp_path / "cache")


@pytest.fixture
def program() -> Program:
    return Program(MODEL, TRAIN)
