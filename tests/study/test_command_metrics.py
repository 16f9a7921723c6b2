"""What a program wrote about its run becomes a result: done, diverged, or failed with a reason."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paribus.study.command.metrics import FILE, Follower, outcome


def told(out: Path, *lines: Any, failure: str | None = None, metric: str = "val_bpb") -> dict[str, Any]:
    """The result of a program that wrote these lines; text is written as it is."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (out / FILE).write_text(text)
    return outcome(out, metric, failure=failure, seconds=9.0, tokens=100)


def test_the_last_score_counts_whatever_stands_around_it(tmp_path: Path) -> None:
    result = told(
        tmp_path, {"val_bpb": None}, {"val_bpb": 4.0}, {"val_bpb": 3.5, "note": "best"}, "", {"tokens": 80}
    )
    assert (result["status"], result["val_bpb"], result["tokens"]) == ("done", 3.5, 80)


def test_a_last_line_needs_no_end(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"val_bpb": 3}')
    assert outcome(tmp_path, "val_bpb", failure=None, seconds=1.0, tokens=None)["val_bpb"] == 3


def test_the_score_may_have_another_name(tmp_path: Path) -> None:
    assert told(tmp_path, {"val_loss": 2.5, "val_bpb": 9.0}, metric="val_loss")["val_bpb"] == 2.5


def test_what_the_program_does_not_say_is_unknown_or_comes_from_the_study(tmp_path: Path) -> None:
    result = told(tmp_path, {"val_bpb": 3.0})
    assert (result["tokens"], result["seconds"]) == (100, 9.0)
    assert result["tokens_per_second"] is result["peak_memory_bytes"] is result["params"] is None


def test_speed_follows_from_reported_tokens_and_seconds_unless_it_is_said(tmp_path: Path) -> None:
    line = {"val_bpb": 3.0, "tokens": 60, "seconds": 2.0}
    assert told(tmp_path, line)["tokens_per_second"] == 30.0
    assert told(tmp_path, line | {"tokens_per_second": 77})["tokens_per_second"] == 77


def test_figures_that_are_no_finite_numbers_count_as_not_said(tmp_path: Path) -> None:
    line = {
        "val_bpb": 3.0,
        "params": "124M",
        "peak_memory_bytes": math.nan,
        "tokens": True,
        "seconds": 10**400,
    }
    result = told(tmp_path, line)
    assert (result["status"], result["params"], result["peak_memory_bytes"]) == ("done", None, None)
    assert (result["tokens"], result["seconds"]) == (100, 9.0)


def test_lines_with_tokens_and_training_loss_make_the_curve(tmp_path: Path) -> None:
    result = told(
        tmp_path,
        {"tokens": 10, "train_bpb": 5.0, "seconds": 1},
        {"tokens": 20, "train_bpb": math.inf, "seconds": 2},
        {"tokens": 30, "train_bpb": 4.0, "seconds": 3},
        {"val_bpb": 3.0},
    )
    assert result["curve"] == {"tokens": [10.0, 30.0], "seconds": [1.0, 3.0], "train_bpb": [5.0, 4.0]}
    untimed = told(
        tmp_path,
        {"tokens": 10, "train_bpb": 5.0},
        {"tokens": 20, "train_bpb": 4.0, "seconds": 1},
        {"val_bpb": 3},
    )
    assert untimed["curve"] == {"tokens": [10.0, 20.0], "seconds": [], "train_bpb": [5.0, 4.0]}


@pytest.mark.parametrize(
    "line", ['{"val_bpb": NaN}', '{"val_bpb": Infinity}', '{"val_bpb": -Infinity}', '{"val_bpb": 1e999}']
)
def test_a_score_that_is_not_finite_is_diverged(tmp_path: Path, line: str) -> None:
    result = told(tmp_path, {"val_bpb": 3.0}, line)
    assert (result["status"], result["val_bpb"]) == ("diverged", None)
    assert "val_bpb is" in result["reason"]
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("failure", [None, "the command ended with exit code 1"])
def test_a_program_that_says_it_diverged_is_believed(tmp_path: Path, failure: str | None) -> None:
    result = told(tmp_path, {"val_bpb": 3.0}, {"status": "diverged", "val_bpb": None}, failure=failure)
    assert (result["status"], result["val_bpb"]) == ("diverged", None)


def test_a_loss_far_above_the_first_is_no_divergence_of_ours_to_guess(tmp_path: Path) -> None:
    assert told(tmp_path, {"tokens": 1, "train_bpb": 8.0}, {"val_bpb": 99.0})["status"] == "done"


def test_a_command_that_failed_has_failed_whatever_it_scored(tmp_path: Path) -> None:
    result = told(tmp_path, {"val_bpb": 3.0}, failure="the command ended with exit code 1")
    assert result == {"status": "failed", "reason": "the command ended with exit code 1"}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "no line of metrics.jsonl has 'val_bpb'; the program reported nothing at all"),
        ([{"val_loss": 3.0, "a": 1}], "has 'val_bpb'; the program reported a, val_loss"),
        (
            [{"val_bpb": 3.0}, {"val_bpb": None}],
            "the last val_bpb in metrics.jsonl is null; it must be a number",
        ),
        ([{"val_bpb": 3.0, "params": -5}], "params in metrics.jsonl is -5; it cannot be negative"),
        ([{"val_bpb": 3.0, "seconds": -0.5}], "seconds in metrics.jsonl is -0.5; it cannot be negative"),
        (
            [{"val_bpb": 3.0, "tokens": 1e308, "seconds": 1e-9}],
            "metrics.jsonl has 1e+308 tokens in 1e-09 seconds, which no machine does",
        ),
        ([{"val_bpb": "3.0"}], "val_bpb in metrics.jsonl is '3.0'; it must be a number"),
        ([{"val_bpb": True}], "is True; it must be a number"),
        ([{"val_bpb": 3.0}, "loss 3.0"], "line 2 of metrics.jsonl is not a JSON object: 'loss 3.0'"),
        ([{"val_bpb": 3.0}, "[1]"], "line 2 of metrics.jsonl is not a JSON object"),
        ([{"val_bpb": 3.0}, "[" * 100_000], "line 2 of metrics.jsonl is not a JSON object"),
        ([{"val_bpb": 3.0}, '{"val_bpb": 2'], "line 2 of metrics.jsonl is not a JSON object"),
    ],
)
def test_missing_and_malformed_metrics_fail_the_trial_and_say_why(
    tmp_path: Path, lines: list[Any], said: str
) -> None:
    result = told(tmp_path, *lines)
    assert result["status"] == "failed" and said in result["reason"]


def test_a_program_that_wrote_nothing_at_all_has_failed(tmp_path: Path) -> None:
    result = outcome(tmp_path, "val_bpb", failure=None, seconds=1.0, tokens=1)
    assert result == {
        "status": "failed",
        "reason": "the program ended well and wrote no metrics.jsonl in its output folder",
    }


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / FILE)
    result = outcome(tmp_path, "val_bpb", failure=None, seconds=1.0, tokens=1)
    assert result == {"status": "failed", "reason": f"{FILE} cannot be read: it is no regular file"}
    assert Follower(tmp_path / FILE).tokens() == 0


def test_a_file_without_measure_is_refused_and_a_line_without_measure_skipped(tmp_path: Path) -> None:
    with (tmp_path / FILE).open("wb") as metrics:
        metrics.truncate(1 << 40)  # of zeros that take no room
    result = outcome(tmp_path, "val_bpb", failure=None, seconds=1.0, tokens=1)
    assert result["status"] == "failed" and "larger than 256 MiB" in result["reason"]
    with (tmp_path / FILE).open("wb") as metrics:
        metrics.write(b" " * (1 << 20) + b'\n{"tokens": 5}\n')
    follower = Follower(tmp_path / FILE)
    assert [follower.tokens(), follower.tokens()] == [0, 5]


def test_progress_is_read_as_it_is_written_and_never_falls(tmp_path: Path) -> None:
    follower = Follower(tmp_path / FILE)
    assert follower.tokens() == 0
    with (tmp_path / FILE).open("w", buffering=1) as metrics:
        seen = []
        for text in (
            '{"tokens": 5}\n{"tok',
            'ens": 9}\n',
            "nonsense\n",
            '{"tokens": 7}\n',
            '{"tokens": NaN}\n',
        ):
            metrics.write(text)
            metrics.flush()
            seen.append(follower.tokens())
    assert seen == [5, 9, 9, 9, 9]
