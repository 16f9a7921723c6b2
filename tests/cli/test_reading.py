from collections.abc import Callable
from typing import Any

import pytest

from paribus.cli import reading
from paribus.errors import RequestError
from paribus.study.likeness import read_scale


def test_values_are_read_as_yaml_reads_them() -> None:
    read = reading.values("relu,{name: gated, gate: relu},3,1e-3,[a, b]", option="--arms")
    assert read == ["relu", {"name": "gated", "gate": "relu"}, 3, 1e-3, ["a", "b"]]
    assert reading.values("relu, my_file.py:MyPart", option="--arms") == ["relu", "my_file.py:MyPart"]


def test_a_grid_is_one_list_a_key() -> None:
    assert reading.grid(["norm=rmsnorm,layernorm", "train.beta2=0.9,0.99"]) == {
        "norm": ["rmsnorm", "layernorm"],
        "train.beta2": [0.9, 0.99],
    }
    assert reading.grid(None) is None and reading.grid([]) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("8h", 28800), ("1.5h", 5400), ("600s", 600), ("2d", 172800)]
)
def test_durations_have_a_unit(text: str, seconds: float) -> None:
    assert reading.seconds(text, option="--budget") == seconds


def test_a_size_beyond_all_numbers_is_refused() -> None:
    with pytest.raises(RequestError, match="--most-bytes takes a size"):
        reading.size("1e400", option="--most-bytes")
    with pytest.raises(RequestError, match="--ladder takes sizes"):
        reading.sizes("1e400,2e400", option="--ladder")
    with pytest.raises(RequestError, match="a scale is a number of parameters"):
        read_scale("1e400")


def test_sizes_are_numbers_of_parameters() -> None:
    assert reading.sizes("0.25M,500k, 1m,2e6", option="--ladder") == [
        ("0.25M", 250_000),
        ("500k", 500_000),
        ("1m", 1_000_000),
        ("2e6", 2_000_000),
    ]


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (lambda text: reading.numbers(text, option="--rates"), "fast", "--rates takes numbers by comma"),
        (lambda text: reading.values(text, option="--arms"), "a,{b", "--arms takes values by comma"),
        (lambda text: reading.values(text, option="--arms"), "", "--arms takes values by comma"),
        (lambda text: reading.grid([text]), "norm", "--vary is KEY=VALUE,VALUE"),
        (lambda text: reading.grid([text, text]), "norm=a,b", "names 'norm' twice"),
        (lambda text: reading.seconds(text, option="--budget"), "90", "--budget is a time such as 90m"),
        (lambda text: reading.seconds(text, option="--budget"), "0h", "--budget is a time such as 90m"),
        (lambda text: reading.sizes(text, option="--ladder"), "1M", "at least two sizes, rising"),
        (lambda text: reading.sizes(text, option="--ladder"), "2M,1M", "at least two sizes, rising"),
        (lambda text: reading.sizes(text, option="--ladder"), "big,bigger", "--ladder takes sizes by comma"),
        (lambda text: reading.pairs([text], option="--slurm"), "gpu", "--slurm is KEY=VALUE"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(read: Callable[[str], Any], text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said) as error:
        read(text)
    assert "\n" not in str(error.value)


def test_pairs_are_words_and_numbers() -> None:
    assert reading.pairs(["partition=gpu", "nodes=2"], option="--slurm") == {"partition": "gpu", "nodes": 2}
