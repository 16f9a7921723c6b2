"""Mirrors are read back from the files that the real packages write; one that fails never stops a study."""

import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError, WorkError
from paribus.study.finished.archive import Study, read
from paribus.study.folder import LEDGER
from paribus.study.ledger import Ledger
from paribus.study.mirror import BACKENDS, Guarded, Run, listen, open_mirror, replay, run_of
from paribus.study.plan import Plan

from .conftest import Heard
from .folders import result_of, write_finished, write_unfinished

CURVE = [(320, 6.0), (640, 5.0)]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read(write_unfinished(tmp_path / "study", trials=3))


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def _boards(folder: Path) -> dict[str, Any]:
    """What TensorBoard reads: an accumulator by run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        board = EventAccumulator(str(path))
        board.Reload()
        name = str(path.parent.relative_to(folder))
        assert name not in found, "two event files of one run"
        found[name] = board
    return found


def _hparams(board: Any) -> dict[str, Any]:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = board.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = HParamsPluginData.FromString(content).session_start_info.hparams
    return {key: getattr(value, value.WhichOneof("kind")) for key, value in values.items()}


def _wandb_records(path: Path) -> Iterator[Any]:
    """Records of an offline run: a LevelDB log of blocks of 32 KiB after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # the whole of a record, or its last piece
            yield Record.FromString(whole)
            whole = b""


def _items(items: Any) -> dict[str, str]:
    return {item.key or "/".join(item.nested_key): item.value_json for item in items}


def test_tensorboard_has_one_run_a_trial_grouped_by_arm(study: Study, tmp_path: Path) -> None:
    mirror = open_mirror("tensorboard", tmp_path / "out", study="x")
    assert replay(study, mirror) == 3
    mirror.close()
    boards = _boards(tmp_path / "out" / "tensorboard")
    assert sorted(Path(name).parent.name for name in boards) == ["relu", "relu", "swiglu"]
    board = next(board for name, board in boards.items() if name.startswith("swiglu"))
    curve = board.Scalars("curve/train_bpb")
    assert [(event.step, event.value) for event in curve] == CURVE
    assert curve[1].wall_time - curve[0].wall_time == pytest.approx(0.5, abs=1e-3)
    assert board.Scalars("val_bpb")[0].value == pytest.approx(2.51)
    assert board.Scalars("probes.length.reach")[0].value == 1
    assert _hparams(board) == {
        "arm": "swiglu",
        "rate": 4e-2,
        "seed": 0,
        "model.d_model": 12,
        "model.ffn": "swiglu",
        "train.tokens": 640,
        "train.batch_size": 4,
        "train.init_scheme": "fan_in",
    }


def test_a_trial_that_is_written_again_replaces_itself(study: Study, tmp_path: Path) -> None:
    for _ in range(2):
        replay(study, open_mirror("tensorboard", tmp_path, study="x"))
    boards = _boards(tmp_path / "tensorboard")
    assert [len(board.Scalars("curve/train_bpb")) for board in boards.values()] == [2, 2, 2]


def test_names_of_arms_cannot_leave_the_folder(tmp_path: Path) -> None:
    mirror = open_mirror("tensorboard", tmp_path / "out", study="x")
    for number, group in enumerate(("../../up", "/absolute", "my file.py:Part", "..", "\x00")):
        mirror.write(Run(id=str(number) * 16, name=group, group=group, settings={}, result=result_of(0)))
    assert [item.name for item in tmp_path.iterdir()] == ["out"]
    assert len(_boards(tmp_path / "out")) == 5


def test_wandb_has_one_offline_run_a_trial_grouped_by_arm(study: Study, tmp_path: Path) -> None:
    mirror = open_mirror("wandb", tmp_path / "out", study="ffn-text")
    assert replay(study, mirror) == 3
    mirror.close()
    runs = sorted((tmp_path / "out" / "wandb").glob("offline-run-*/*.wandb"))
    assert len(runs) == 3
    found = {}
    for path in runs:
        records = list(_wandb_records(path))
        kinds = {kind: [getattr(r, kind) for r in records if r.HasField(kind)] for kind in ("run", "exit")}
        history = [_items(r.history.item) for r in records if r.HasField("history")]
        summary: dict[str, str] = {}
        for r in records:
            summary |= _items(r.summary.update) if r.HasField("summary") else {}
        found[kinds["run"][0].display_name] = (kinds, history, summary)
    kinds, history, summary = found["swiglu rate 0.04 seed 0"]
    run = kinds["run"][0]
    assert (run.run_group, run.project, run.run_id) == (
        "ffn-text/swiglu",
        "paribus",
        run.run_id.lower()[:16],
    )
    config = _items(run.config.update)
    assert (config["arm"], config["model.d_model"], config["rate"]) == ('"swiglu"', "12", "0.04")
    assert [(float(row["tokens"]), float(row["train_bpb"])) for row in history] == CURVE
    assert float(summary["val_bpb"]) == pytest.approx(2.51)
    assert summary["status"] == '"done"'
    assert kinds["exit"][0].exit_code == 0


def test_wandb_follows_the_users_own_mode(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    mirror = open_mirror("wandb", tmp_path / "out", study="x")
    replay(study, mirror)
    mirror.close()
    assert not list((tmp_path / "out").rglob("*.wandb"))


def test_a_mirrored_study_hears_every_trial_and_shows_it(
    planned: tuple[Plan, object], tmp_path: Path
) -> None:
    plan, _ = planned
    heard = Heard()
    guarded = Guarded(open_mirror("tensorboard", tmp_path, study="x"), study="x", say=heard.notes.append)
    listener = listen(heard.listener(), guarded, plan=plan)
    trials = plan.trials(plan.rates)[:2]
    for number, trial in enumerate(trials):
        listener.finished(trial, result_of(number))
    guarded.close()
    assert [trial for trial, _ in heard.finished] == trials
    assert heard.notes == []
    boards = _boards(tmp_path / "tensorboard")
    hparams = [_hparams(board) for board in boards.values()]
    assert {row["arm"] for row in hparams} == {trial.arm for trial in trials}
    assert {row["train.tokens"] for row in hparams} == {trial.tokens for trial in trials}


def test_a_study_that_is_mirrored_afterwards_shows_the_same_runs(
    planned: tuple[Plan, object], tmp_path: Path
) -> None:
    plan, _ = planned
    trial, result = plan.trials(plan.rates)[0], result_of(0)
    with Ledger(tmp_path / LEDGER, plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger:
        ledger.record(trial.key, arm=trial.arm, rate=trial.rate, seed=trial.seed, result=result)
    kept = _Kept()
    replay(read(tmp_path), kept)
    live, later = run_of(plan, trial, result), kept.runs[0]
    assert (later.id, later.name, later.group, later.metrics) == (
        live.id,
        live.name,
        live.group,
        live.metrics,
    )
    assert dict(later.settings) == dict(live.settings)


class _Kept:
    """A backend of our own that keeps its runs."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def write(self, run: Run) -> None:
        self.runs.append(run)

    def close(self) -> None:
        pass


class _Failing(_Kept):
    def write(self, run: Run) -> None:
        super().write(run)
        raise OSError("No space left on device\nand more")

    def close(self) -> None:
        raise RuntimeError("closed twice")


def test_a_mirror_that_fails_says_so_once_and_stops_nothing(planned: tuple[Plan, object]) -> None:
    plan, _ = planned
    heard, failing = Heard(), _Failing()
    guarded = Guarded(failing, study="ffn-text", say=heard.notes.append)
    listener = listen(heard.listener(), guarded, plan=plan)
    for trial in plan.trials(plan.rates)[:3]:
        listener.finished(trial, result_of(0))
    guarded.close()
    assert (len(heard.finished), len(failing.runs)) == (3, 1)
    assert len(heard.notes) == 1
    assert "left out from here (OSError: No space left on device)" in heard.notes[0]
    assert "paribus study export ffn-text --to" in heard.notes[0]


def test_a_mirror_that_fails_to_close_says_so_too() -> None:
    heard = Heard()
    guarded = Guarded(_Failing(), study="x", say=heard.notes.append)
    guarded.close()
    guarded.close()
    assert len(heard.notes) == 1


def test_ctrl_c_in_a_mirror_still_stops_the_study(planned: tuple[Plan, object]) -> None:
    class Interrupted(_Kept):
        def write(self, run: Run) -> None:
            raise KeyboardInterrupt

    plan, _ = planned
    guarded = Guarded(Interrupted(), study="x", say=print)
    with pytest.raises(KeyboardInterrupt):
        guarded.trial(plan, plan.trials(plan.rates)[0], result_of(0))


def test_a_mirror_that_fails_afterwards_is_one_sentence(study: Study) -> None:
    with pytest.raises(WorkError, match="failed at relu rate 0.04 seed 0: OSError: No space left on device$"):
        replay(study, _Failing())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mirror_without_its_package_names_the_extra(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, backend, None)
    with pytest.raises(RequestError, match=rf"pip install 'paribus\[{backend}\]'"):
        open_mirror(backend, tmp_path, study="x")


def test_another_mirror_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="did you mean tensorboard"):
        open_mirror("tensorbord", tmp_path, study="x")


def test_a_study_without_a_ledger_cannot_be_mirrored(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"ledger\.sqlite cannot be read"):
        replay(read(write_finished(tmp_path / "x")), _Kept())
    with pytest.raises(RequestError, match="no finished trial yet"):
        replay(read(write_unfinished(tmp_path / "y", trials=0)), _Kept())


def test_a_run_of_a_commands_trial_has_its_values() -> None:
    """A trial of a command's study has other fields, and its plan names no runs."""
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Trial:
        arm: str = "a"
        rate: float = 0.1
        seed: int = 0
        values: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"act": "gelu"})
        name: str = "a rate 0.1 seed 0"
        key: str = "0123456789abcdef0123"

    run = run_of(object(), Trial(), {"status": "diverged", "reason": "x", "val_bpb": None, "loss": 2})
    assert run.id == "0123456789abcdef"
    assert run.settings["values.act"] == "gelu"
    assert (run.metrics, run.status) == ({"loss": 2.0}, "diverged")


def test_nothing_heavy_loads_before_a_mirror_is_opened() -> None:
    code = (
        "import sys, paribus.study.mirror; print({'torch', 'wandb', 'tensorboard', 'numpy'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
