"""One run from request to saved model, and what a stop, a kill or a second start change: nothing."""

import csv
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import paribus
from paribus.errors import RequestError, WorkError
from paribus.study.single.folder import CHECKPOINT, MODEL, PLAN, RESULT, SETTINGS
from paribus.study.single.preparing import Prepared

from .conftest import BERT, GPT2, LLAMA, OF_TRAINING, Heard, Killed, config_file, facts, trained

Prepare = Callable[..., Prepared]


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return paribus.load(folder / MODEL).state_dict()


def _same_weights(a: Path, b: Path) -> bool:
    of_a, of_b = _weights(a), _weights(b)
    return of_a.keys() == of_b.keys() and all(torch.equal(of_a[name], of_b[name]) for name in of_a)


def test_a_run_leaves_everything_in_its_folder(prepare: Prepare, tmp_path: Path) -> None:
    heard = Heard()
    found = trained(prepare(), tmp_path / "run", heard=heard)
    result = json.loads((tmp_path / "run" / RESULT).read_text())
    assert result == json.loads(json.dumps(found.result))
    assert result["val_bpb"] < 0.8 * result["first_bpb"]
    assert [score["tokens"] for score in result["scores"]] == [640, 1280, 1920, 2560]
    assert result["scores"][-1]["val_bpb"] == result["val_bpb"]
    assert len(heard.notes) == 3 and heard.notes[0].startswith("step 10 of 40: ")
    assert (heard.done, heard.total) == (2560, 2560)
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert len(rows) == 40 and float(rows[-1]["val_bpb"]) == result["val_bpb"]
    assert "held-out" in (tmp_path / "run" / "loss.svg").read_text()
    assert not (tmp_path / "run" / CHECKPOINT).exists()
    model = paribus.load(tmp_path / "run" / MODEL)
    assert model.origin.family.model_type == result["saved"]["family"] == "llama"
    assert sum(parameter.numel() for parameter in model.parameters()) == result["params"]


@pytest.mark.parametrize("died_at", [7, 25, 39])
def test_a_killed_run_ends_with_the_same_bits(prepare: Prepare, tmp_path: Path, died_at: int) -> None:
    whole = trained(prepare(), tmp_path / "whole")

    def dies(done: int) -> None:
        if done == died_at:
            raise Killed

    with pytest.raises(Killed):
        trained(prepare(), tmp_path / "run", heard=Heard(dies), checkpoint_seconds=0.0)
    assert (tmp_path / "run" / CHECKPOINT).exists() and not (tmp_path / "run" / RESULT).exists()
    heard = Heard()
    again = trained(prepare(), tmp_path / "run", heard=heard)
    assert facts(again.result) == facts(whole.result)
    assert _same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_run_killed_while_its_model_was_saved_saves_it_again(prepare: Prepare, tmp_path: Path) -> None:
    whole = trained(prepare(), tmp_path / "whole")
    prepared = prepare()
    (tmp_path / "run").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paribus.study.single.session.write_result", lambda folder, described: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            trained(prepared, tmp_path / "run")
    assert (tmp_path / "run" / MODEL).exists()
    heard = Heard()
    again = trained(prepare(), tmp_path / "run", heard=heard)
    assert heard.done == 0  # no step was left to do
    assert facts(again.result) == facts(whole.result)


def test_ctrl_c_ends_the_step_and_writes_a_checkpoint(prepare: Prepare, tmp_path: Path) -> None:
    whole = trained(prepare(), tmp_path / "whole")

    def interrupts(done: int) -> None:
        if done == 15:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            trained(prepare(), tmp_path / "run", heard=Heard(interrupts))
    finally:
        signal.signal(signal.SIGINT, before)
    saved = torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)
    assert saved["state"]["step"] in (15, 16)
    again = trained(prepare(), tmp_path / "run")
    assert facts(again.result) == facts(whole.result)


def test_a_finished_run_is_read_and_not_repeated(prepare: Prepare, tmp_path: Path) -> None:
    first = trained(prepare(), tmp_path / "run")
    heard = Heard()
    again = trained(prepare(), tmp_path / "run", heard=heard)
    assert again.earlier and not first.earlier and heard.total == 0
    assert again.result["val_bpb"] == first.result["val_bpb"]
    heard = Heard()
    assert not trained(prepare(), tmp_path / "run", heard=heard, again=True).earlier
    assert heard.done == 2560


def test_a_folder_with_other_settings_is_refused_by_what_differs(prepare: Prepare, tmp_path: Path) -> None:
    trained(prepare(), tmp_path / "run")
    with pytest.raises(
        RequestError, match=r"run with other settings: train\.clip is 1\.0 there and 0\.5 here"
    ) as error:
        trained(prepare("clip=0.5"), tmp_path / "run")
    assert "\n" not in str(error.value)
    with pytest.raises(RequestError, match=r"model\.d_ff is .* model\.ffn differ too"):
        trained(prepare("ffn=relu"), tmp_path / "run")
    trained(prepare("clip=0.5"), tmp_path / "run", again=True)
    (tmp_path / "run" / PLAN).write_text("{")
    with pytest.raises(RequestError, match="cannot be read, so nothing says which run"):
        trained(prepare(), tmp_path / "run")


def test_a_part_of_ones_own_that_was_edited_is_another_run(prepare: Prepare, tmp_path: Path) -> None:
    source = "from paribus.parts.norm.rmsnorm import RMSNorm\n\n\nclass Mine(RMSNorm):\n    pass\n"
    part = tmp_path / "mine.py"
    part.write_text(source)
    trained(prepare(f"norm={part}:Mine"), tmp_path / "run")
    part.write_text(source + "# edited\n")
    with pytest.raises(RequestError, match="run with other settings: files"):
        trained(prepare(f"norm={part}:Mine"), tmp_path / "run")


def test_a_folder_of_something_else_is_left_alone(prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for again in (False, True):
        with pytest.raises(RequestError, match=r"is not empty and holds no run \(it has thesis.tex\)"):
            trained(prepare(), tmp_path / "mine", again=again)
    with pytest.raises(RequestError, match="cannot be written to"):
        trained(prepare(), tmp_path / "mine" / "thesis.tex")


def test_a_run_that_diverges_says_so_again(prepare: Prepare, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(WorkError, match="the training diverged: .*a rate below 9"):
            trained(prepare("rate=9", "clip=0"), tmp_path / "run")
    assert not (tmp_path / "run" / MODEL).exists()
    assert json.loads((tmp_path / "run" / RESULT).read_text())["status"] == "diverged"


def test_a_model_that_no_family_has_is_said_before_and_kept_in_our_format(
    prepare: Prepare, tmp_path: Path
) -> None:
    prepared = prepare("residual=rezero")
    assert len(prepared.notes) == 1
    assert prepared.notes[0].startswith("the model will be saved in our own format, as no known family")
    assert "residual" in prepared.notes[0] and "\n" not in prepared.notes[0]
    found = trained(prepared, tmp_path / "run")
    assert found.result["saved"]["family"] is None
    assert paribus.load(tmp_path / "run" / MODEL).config == prepared.plan.model


@pytest.mark.parametrize("config", [LLAMA, GPT2, BERT], ids=lambda config: config["model_type"])
def test_a_likeness_trains_and_is_saved_as_its_family(
    prepare: Prepare, tmp_path: Path, config: dict[str, Any]
) -> None:
    like = config_file(tmp_path / "real", config)
    objective = ("objective=next_token",) if config is not BERT else ()
    prepared = prepare(*objective, tiny=OF_TRAINING, like=like, scale="60K")
    assert prepared.params == pytest.approx(60_000, rel=0.05)
    assert prepared.notes[0].startswith(f"the model has the anatomy of {like} ({config['model_type']})")
    found = trained(prepared, tmp_path / "run")
    assert found.result["saved"]["family"] == config["model_type"]
    assert found.result["like"]["changes"]["params"][1] == prepared.params
    assert paribus.load(tmp_path / "run" / MODEL).config.d_model == prepared.plan.model.d_model


def test_finetuning_begins_from_the_weights_and_keeps_their_layout(prepare: Prepare, tmp_path: Path) -> None:
    first = trained(prepare(), tmp_path / "first")
    (tmp_path / "first" / MODEL / "generation_config.json").write_text("{}")
    prepared = prepare(tiny=OF_TRAINING, finetune=str(tmp_path / "first" / MODEL))
    assert prepared.plan.rate == pytest.approx(0.04 / 16)
    second = trained(prepared, tmp_path / "second")
    assert second.result["scores"][0] == {
        "tokens": 0,
        "val_bpb": pytest.approx(first.result["val_bpb"], abs=1e-6),
    }
    assert second.result["saved"]["family"] == "llama"
    assert "generation_config.json" in second.result["saved"]["files"]
    assert not _same_weights(tmp_path / "first", tmp_path / "second")


def test_finetuning_lets_go_of_the_weights_and_reads_them_again_where_they_are_wanted_again(
    prepare: Prepare, tmp_path: Path
) -> None:
    trained(prepare(), tmp_path / "first")
    prepared = prepare(tiny=OF_TRAINING, finetune=str(tmp_path / "first" / MODEL))
    assert prepared.weights is not None
    once = trained(prepared, tmp_path / "once")
    assert all(each.is_meta for each in prepared.weights.parameters())
    assert facts(trained(prepared, tmp_path / "again").result) == facts(once.result)
    assert _same_weights(tmp_path / "once", tmp_path / "again")


def test_a_killed_finetuning_ends_with_the_same_bits(prepare: Prepare, tmp_path: Path) -> None:
    trained(prepare("residual=rezero"), tmp_path / "first")

    def prepared() -> Prepared:
        return prepare(tiny=OF_TRAINING, finetune=str(tmp_path / "first" / MODEL))

    whole = trained(prepared(), tmp_path / "whole")

    def dies(done: int) -> None:
        if done == 25:
            raise Killed

    with pytest.raises(Killed):
        trained(prepared(), tmp_path / "run", heard=Heard(dies), checkpoint_seconds=0.0)
    again = trained(prepared(), tmp_path / "run")
    assert facts(again.result) == facts(whole.result)
    assert _same_weights(tmp_path / "run", tmp_path / "whole")
    assert again.result["saved"]["family"] is None  # as it came


def test_a_full_disk_ends_with_one_sentence_and_keeps_the_checkpoint(
    prepare: Prepare, tmp_path: Path
) -> None:
    prepared = prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paribus.study.single.session.write_curves", _no_room)
        with pytest.raises(WorkError, match="stopped: No space left on device; run the same command again"):
            trained(prepared, tmp_path / "run")
    assert (tmp_path / "run" / CHECKPOINT).exists() and (tmp_path / "run" / SETTINGS).exists()
    assert trained(prepare(), tmp_path / "run").result["status"] == "done"


def _no_room(*_: object) -> None:
    raise OSError(28, "No space left on device")
