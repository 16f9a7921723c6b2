"""The folder of a run: what it is refused for, what is left of the run before, and what was damaged or moved in it."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import paribus
from paribus.errors import RequestError
from paribus.study.single.folder import CHECKPOINT, MODEL, PLAN, RESULT
from paribus.study.single.plan import computing_code
from paribus.study.single.preparing import Prepared

from .conftest import OF_TRAINING, Heard, Killed, facts, trained

Prepare = Callable[..., Prepared]


def killed_at(step: int) -> Heard:
    """A run that is killed after so many steps."""

    def dies(done: int) -> None:
        if done == step:
            raise Killed

    return Heard(dies)


def test_a_run_that_other_code_began_is_not_gone_on_with(prepare: Prepare, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Killed):
        trained(prepare(), run, heard=killed_at(9), checkpoint_seconds=0.0)
    now = computing_code()
    held = json.loads((run / PLAN).read_text())
    for name, said in (("torch", "begun by torch 9"), ("paribus source", "begun by other lines of paribus")):
        (run / PLAN).write_text(json.dumps(held | {"code": now | {name: "9"}}))
        with pytest.raises(RequestError, match=f"{said}.*or give another --out, or --no-resume"):
            trained(prepare(), run)
    (run / PLAN).write_text(json.dumps(held))
    assert trained(prepare(), run).result["code"] == now
    # What is finished was made by one code only, and stays what it is.
    (run / PLAN).write_text(json.dumps(held | {"code": now | {"torch": "9"}}))
    assert trained(prepare(), run).earlier


def test_a_run_goes_on_with_as_many_processes_as_began_it(prepare: Prepare, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Killed):
        trained(prepare(), run, heard=killed_at(9), checkpoint_seconds=0.0)
    held = json.loads((run / PLAN).read_text())
    assert held["processes"] == 1
    (run / PLAN).write_text(json.dumps(held | {"processes": 4}))
    with pytest.raises(
        RequestError, match="begun on 4 processes, and on one process its end would be another"
    ):
        trained(prepare(), run)
    del held["processes"]  # as a run of an earlier version
    (run / PLAN).write_text(json.dumps(held))
    assert trained(prepare(), run).result["processes"] == 1


def test_beginning_again_leaves_nothing_of_the_run_before(prepare: Prepare, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trained(prepare(), run)
    (run / "checkpoint.elsewhere-7.tmp").write_bytes(b"of a writer that was killed")

    with pytest.raises(Killed):
        trained(prepare(seed=5), run, heard=killed_at(1), again=True)
    assert not any((run / name).exists() for name in (MODEL, RESULT, "metrics.csv", "loss.svg"))
    assert not list(run.glob("*.tmp"))
    assert json.loads((run / PLAN).read_text())["seed"] == 5


@pytest.mark.parametrize("content", ['{"status": "do', "{}", "[]"])
def test_a_damaged_result_is_one_sentence(content: str, prepare: Prepare, tmp_path: Path) -> None:
    trained(prepare(), tmp_path / "run")
    (tmp_path / "run" / RESULT).write_text(content)
    with pytest.raises(RequestError, match="result.json cannot be read .*: move it away, and the same"):
        trained(prepare(), tmp_path / "run")


def test_a_folder_that_was_moved_names_its_own_model_and_one_without_says_so(
    prepare: Prepare, tmp_path: Path
) -> None:
    trained(prepare(), tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    again = trained(prepare(), tmp_path / "moved")
    assert again.result["saved"]["path"] == str(tmp_path / "moved" / MODEL)
    shutil.rmtree(tmp_path / "moved" / MODEL)
    heard = Heard()
    assert trained(prepare(), tmp_path / "moved", heard=heard).result["saved"] is None
    assert heard.notes == [f"the model is no longer in {tmp_path / 'moved' / MODEL}"]


def test_weights_that_were_trained_anew_in_their_place_are_others(prepare: Prepare, tmp_path: Path) -> None:
    plans = []
    for seed in (0, 1):
        trained(prepare(seed=seed), tmp_path / "base", again=True)
        plans.append(prepare(finetune=str(tmp_path / "base" / MODEL), tiny=OF_TRAINING).plan)
    assert plans[0].start != plans[1].start


def test_two_ctrl_cs_at_once_are_one(prepare: Prepare, tmp_path: Path) -> None:
    def stops(done: int) -> None:
        if done == 9:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained(prepare(), tmp_path / "run", heard=Heard(stops))
    assert (tmp_path / "run" / CHECKPOINT).exists()


def test_a_checkpoint_whose_bytes_changed_is_not_used(
    prepare: Prepare, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = trained(prepare(), tmp_path / "whole")

    with pytest.raises(Killed):
        trained(prepare(), tmp_path / "run", heard=killed_at(20), checkpoint_seconds=0.0)
    checkpoint = tmp_path / "run" / CHECKPOINT
    content = bytearray(checkpoint.read_bytes())
    weights = paribus.load(tmp_path / "whole" / MODEL).embedding.weight
    assert weights.numel() * 4 > 4096  # so that the middle of the file is some tensor's
    for at in range(len(content) // 2, len(content) // 2 + 40):
        content[at] ^= 0xFF
    checkpoint.write_bytes(content)
    again = trained(prepare(), tmp_path / "run")
    assert "is not used" in capsys.readouterr().err
    assert facts(again.result) == facts(whole.result)
