"""Studies are found, named and read whatever state they are in, and their folders stay as they were."""

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest

from paribus.errors import RequestError
from paribus.study.command.plan import CommandArm, CommandPlan
from paribus.study.finished import records
from paribus.study.finished.archive import find, open_study, read
from paribus.study.folder import LEDGER, hold
from paribus.study.ledger import Ledger
from paribus.study.plan import Plan

from .folders import (
    SHA256,
    result_of,
    stored_plan,
    write_finished,
    write_unfinished,
)


def test_a_finished_study_says_what_it_found(tmp_path: Path) -> None:
    verdicts = {"relu": "baseline", "gelu": "cannot tell", "swiglu": "better", "geglu": "better"}
    study = read(write_finished(tmp_path / "x", verdicts=verdicts))
    assert (study.state, study.kind, study.arms) == ("finished", "ffn", tuple(verdicts))
    assert study.verdict == "better: swiglu, geglu; cannot tell: gelu"
    assert study.counts == {"done": 24, "diverged": 0, "failed": 0, "of": 24}
    assert study.when.isoformat() == "2026-01-02T03:04:05+00:00"
    assert study.command == "paribus study ffn"


def test_a_failed_control_comes_before_any_verdict(tmp_path: Path) -> None:
    study = read(write_finished(tmp_path / "x", control_holds=False))
    assert study.verdict == "CONTROL FAILED: placebo; better: swiglu"


def test_a_study_of_another_kind_is_named_by_its_kind(tmp_path: Path) -> None:
    assert read(write_finished(tmp_path / "x", kind="position")).kind == "position"


def test_a_stopped_study_shows_its_progress_and_its_command(tmp_path: Path) -> None:
    study = read(write_unfinished(tmp_path / "x", trials=5))
    assert (study.state, study.results, study.kind, study.arms) == (
        "stopped",
        None,
        "ffn",
        ("relu", "swiglu"),
    )
    assert study.counts == {"done": 5, "diverged": 0, "failed": 0, "of": 12}
    assert study.command == "paribus study ffn --out x"


def test_a_grid_that_grew_counts_in_what_is_planned(tmp_path: Path) -> None:
    folder = write_unfinished(tmp_path / "x")
    with Ledger(folder / LEDGER, plan_sha256="a", plan={}) as ledger:
        ledger.record("more", arm="relu", rate=32e-2, seed=0, result=result_of(0))
    assert read(folder).counts["of"] == 16


def test_every_initial_scheme_counts_in_what_is_planned(tmp_path: Path) -> None:
    plan = stored_plan(schemes=["fan_in", "normal_0.02"])
    assert read(write_unfinished(tmp_path / "x", trials=1, plan=plan)).counts["of"] == 24


def test_a_held_study_is_running(tmp_path: Path) -> None:
    folder = write_unfinished(tmp_path / "x", trials=1)
    with hold(folder):
        assert read(folder).state == "running"
    assert read(folder).state == "stopped"


def test_asking_whether_a_study_runs_leaves_its_lock_free(tmp_path: Path) -> None:
    folder = write_unfinished(tmp_path / "x", trials=1)
    (folder / "study.lock").touch()
    assert read(folder).state == "stopped"
    with (folder / "study.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_study_that_only_has_its_plan_has_no_trials(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(stored_plan()))
    assert read(tmp_path).counts == {"done": 0, "diverged": 0, "failed": 0, "of": 12}


def test_studies_are_found_at_any_depth_in_order_of_time(tmp_path: Path) -> None:
    for name, month in (("c", 1), ("a/deep/er", 3), ("b", 2)):
        write_finished(tmp_path / name, created=f"2026-0{month}-01T00:00:00+00:00")
    write_finished(tmp_path / "a/deep/er/sizes/small", created="2026-04-01T00:00:00+00:00")
    (tmp_path / "empty").mkdir()
    assert [study.name for study in find(tmp_path)] == ["c", "b", "er", "small"]


def test_times_with_and_without_a_zone_are_ordered_as_they_happened(tmp_path: Path) -> None:
    write_finished(tmp_path / "first", created="2026-01-01T01:30:00+02:00")
    write_finished(tmp_path / "second", created="2026-01-01T00:00:00")
    write_finished(tmp_path / "third", created="2026-01-01T00:30:00Z")
    assert [study.name for study in find(tmp_path)] == ["first", "second", "third"]


def test_links_are_followed_once_and_never_in_circles(tmp_path: Path) -> None:
    write_finished(tmp_path / "elsewhere" / "x")
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "link").symlink_to(tmp_path / "elsewhere")
    (runs / "again").symlink_to(tmp_path / "elsewhere")
    (runs / "up").symlink_to(runs)
    (runs / "self").symlink_to(runs / "self")
    (runs / "nowhere").symlink_to(tmp_path / "gone")
    assert [study.name for study in find(runs)] == ["x"]


def test_a_folder_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name, said in (("gone", "does not exist"), ("file", "is a file"), ("circle", "does not exist")):
        with pytest.raises(RequestError, match=said):
            find(tmp_path / name)
    with pytest.raises(RequestError, match="does not exist"):
        find(tmp_path / ("long" * 1000))


def test_broken_results_beside_a_ledger_say_how_to_mend_them(tmp_path: Path) -> None:
    write_unfinished(tmp_path / "x")
    (tmp_path / "x" / "results.json").write_text("{")
    assert "its command writes it anew" in (read(tmp_path / "x").reason or "")


def test_a_folder_without_permission_is_listed_as_broken(tmp_path: Path) -> None:
    """In a process of its own, because nothing is forbidden to root."""
    write_finished(tmp_path / "whole")
    locked = write_finished(tmp_path / "locked")
    unreadable = write_finished(tmp_path / "unreadable") / "results.json"
    unreadable.chmod(0)
    locked.chmod(0)
    code = (
        "import os, sys, pathlib\n"
        "from paribus.study.finished.archive import find, read\n"
        "os.chdir(sys.argv[1])\n"
        "if os.geteuid() == 0: os.setegid(65534); os.seteuid(65534)\n"
        "for study in find(pathlib.Path('.')): print(study.name, study.state, study.reason, sep=';')\n"
    )
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    locked.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "locked;broken;cannot be read: Permission denied",
        "unreadable;broken;results.json cannot be read: Permission denied",
        "whole;finished;None",
    ]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("ffn-text-1a2b", "ffn-text-1a99", "norm-text-77", "ladder-5", "ladder-5/small"):
        write_finished(tmp_path / "runs" / name)
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("given", "name"),
    [("ffn-text-1a2", "ffn-text-1a2b"), ("norm", "norm-text-77"), ("ladder", "ladder-5"), ("small", "small")],
)
def test_a_study_is_named_by_the_start_of_its_folders_name(runs: Path, given: str, name: str) -> None:
    assert open_study(given, runs=runs).name == name


def test_a_whole_name_wins_over_longer_ones(runs: Path) -> None:
    write_finished(runs / "ffn")
    assert open_study("ffn", runs=runs).name == "ffn"


def test_a_study_is_named_by_its_folder_or_a_file_in_it(runs: Path) -> None:
    folder = runs / "norm-text-77"
    assert open_study(str(folder), runs=runs).folder == folder
    assert open_study(str(folder / "results.json"), runs=runs).folder == folder


def test_a_name_for_several_or_none_is_one_sentence(runs: Path) -> None:
    with pytest.raises(
        RequestError, match=r"names of 2 studies \(ffn-text-1a2b, ffn-text-1a99\); give more of it"
    ):
        open_study("ffn-text-1a", runs=runs)
    with pytest.raises(RequestError, match="did you mean norm-text-77"):
        open_study("morn-text-77", runs=runs)
    with pytest.raises(RequestError, match="nor one in"):
        open_study("x", runs=runs / "none")
    with pytest.raises(RequestError, match="no study 'xxxx"):
        open_study("x" * 5000, runs=runs)


def test_a_plan_is_found_wherever_it_stands(tmp_path: Path) -> None:
    held = read(write_finished(tmp_path / "ledger", ledger=True))
    alone = read(write_finished(tmp_path / "alone"))
    assert (records.load_plan(held) or {})["data"]["sha256"] == SHA256
    assert records.load_plan(alone) is None


def test_run_ids_are_those_of_the_plan(planned: tuple[Plan, object], tmp_path: Path) -> None:
    plan, _ = planned
    trial = plan.trials(plan.rates)[0]
    with Ledger(tmp_path / LEDGER, plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger:
        ledger.record(trial.key, arm=trial.arm, rate=trial.rate, seed=trial.seed, result=result_of(0))
    assert [row["run_id"] for row in records.load_trials(read(tmp_path))] == [plan.run_id(trial)]


def test_run_ids_of_a_commands_study_are_those_of_its_plan(tmp_path: Path) -> None:
    arm = CommandArm(name="a", values={"act": "gelu"}, tokens=None)
    plan = CommandPlan(
        words=("train", "{lr}"),
        arms=(arm,),
        baseline="a",
        varied=("act",),
        rates=(0.1,),
        seeds=(0,),
        looks=(),
        data={"name": "its own"},
        threads=1,
        code={"paribus": "0"},
    )
    trial = plan.trial(arm, 0.1, 0)
    with Ledger(tmp_path / LEDGER, plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger:
        ledger.record(trial.key, arm="a", rate=0.1, seed=0, result={"status": "done", "val_bpb": 1.0})
    study = read(tmp_path)
    assert [row["run_id"] for row in records.load_trials(study)] == [plan.run_id(trial)]
    assert (study.kind, study.counts["of"]) == ("exec", 1)
