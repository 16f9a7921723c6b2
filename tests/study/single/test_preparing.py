"""A run before it runs: its text, its settings as a file, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import paribus
from paribus.errors import RequestError
from paribus.study.single.preparing import Prepared, make, settings_file
from paribus.study.single.settings import resolve

from .conftest import OF_TRAINING

Prepare = Callable[..., Prepared]


def test_the_settings_beside_a_result_ask_for_the_same_run(prepare: Prepare, tmp_path: Path) -> None:
    first = prepare("ffn=gelu", seed=4)
    again = make(resolve({}, file=yaml.safe_load(settings_file(first))))
    assert again.plan == first.plan


def test_a_checkpoint_of_another_vocabulary_or_shorter_texts_is_refused(
    prepare: Prepare, tmp_path: Path
) -> None:
    config = paribus.ModelConfig(
        vocab_size=300, d_model=16, d_ff=32, num_layers=1, num_heads=2, max_seq_len=8
    )
    paribus.save(paribus.build(config, seed=0), tmp_path / "other")
    with pytest.raises(
        RequestError, match="has a vocabulary of 300 tokens, and the tokenizer 'bytes' has 257"
    ):
        prepare(tiny=OF_TRAINING, finetune=str(tmp_path / "other"))
    short = paribus.ModelConfig(**{**config.to_dict(), "vocab_size": 257})
    paribus.save(paribus.build(short, seed=0), tmp_path / "short")
    with pytest.raises(RequestError, match=r"texts of at most 8 tokens, and train\.seq_len is 16"):
        prepare(tiny=OF_TRAINING, finetune=str(tmp_path / "short"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (bytes(range(256)) * 64, "is not UTF-8 text but binary"),
        (b"a few words and no more", "cannot be split"),
        ("".join(f"line {n} of {n * n}\n" * (n % 3) for n in range(800)).encode(), "is too small"),
    ],
)
def test_data_that_cannot_be_trained_on_is_one_sentence(
    prepare: Prepare, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    with pytest.raises(RequestError) as error:
        prepare("seq_len=512", "tokens=4096", data=str(path))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_size_beyond_the_machine_is_refused_before_any_work(prepare: Prepare) -> None:
    with pytest.raises(RequestError, match="GiB and there are"):
        prepare("d_model=1048576", "num_heads=1024")
