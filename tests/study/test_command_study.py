"""The whole protocol around a command: grid, seeds, controls, ledger, resumption and verdict."""

import contextlib
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from paribus.study.command.launch import trial_folder
from paribus.study.command.plan import CommandPlan, make_command_plan
from paribus.study.folder import LEDGER

#: Bits per byte with a valley at 2e-3, a little chance from every seed, less of it with more tokens.
PROGRAM = """
import json, math, pathlib, random, sys
ffn, lr, seed, tokens, out = sys.argv[1], float(sys.argv[2]), sys.argv[3], int(sys.argv[4]), pathlib.Path(sys.argv[5])
chance = random.Random(f"{ffn} {lr} {seed} {tokens}").gauss(0, 0.01)
loss = {"plain": 3.0, "gated": 2.8}[ffn] + 0.1 * math.log2(lr / 2e-3) ** 2 + 200 / tokens + chance
if lr > 0.1:
    loss = math.nan
with (pathlib.Path(__file__).parent / "ran").open("a") as ran:
    ran.write(out.name + "\\n")
lines = [{"tokens": tokens // 2, "train_bpb": 4.0}, {"tokens": tokens, "train_bpb": loss}, {"val_bpb": loss}]
(out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\\n" for line in lines))
"""
#: Runs the plan of the command that it is given, as the command line would.
STUDY = """
import json, sys
from pathlib import Path
from paribus.study.command.plan import make_command_plan
from paribus.study.command.launch import CommandLauncher
from paribus.study.engine import Listener, execute, losses
from paribus.study.folder import LEDGER, hold
from paribus.study.ledger import Ledger
from paribus.study.verdicts.verdict import judge

out, request = Path(sys.argv[1]), json.loads(sys.argv[2])
plan, _ = make_command_plan(**request)
nobody = lambda *_: None
with hold(out) as lock, Ledger(out / LEDGER, plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger:
    with CommandLauncher(workers=2, folder=out, lock=lock, metric=plan.metric) as launcher:
        listener = Listener(planned=nobody, tokens=nobody, finished=nobody, note=nobody)
        rates = execute(plan, ledger, launcher, listener=listener).rates
    tables = losses(plan, rates, ledger.results())
judged = judge(tables, rates=rates, baseline=plan.baseline, controls=plan.controls)
print(json.dumps({
    "rates": rates,
    "losses": {name: table.tolist() for name, table in tables.items()},
    "arms": {name: arm.verdict for name, arm in judged.arms.items()},
    "controls": {name: control.ok for name, control in judged.controls.items()},
}))
"""


def request_for(folder: Path, *, rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)) -> dict[str, Any]:
    """A study of two arms from four seeds around a program in this folder."""
    (folder / "program.py").write_text(PROGRAM)
    command = shlex.join([sys.executable, str(folder / "program.py")]) + " {ffn} {lr} {seed} {tokens} {out}"
    return {
        "command": command,
        "vary": {"ffn": ["plain", "gated"]},
        "rates": rates,
        "seeds": 4,
        "tokens": 1000,
    }


def plan_for(request: dict[str, Any]) -> CommandPlan:
    return make_command_plan(**request)[0]


def start(out: Path, request: dict[str, Any]) -> subprocess.Popen[str]:
    out.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", STUDY, str(out), json.dumps(request)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(out: Path, request: dict[str, Any]) -> Any:
    study = start(out, request)
    said, complained = study.communicate()
    assert study.returncode == 0, complained
    return json.loads(said)


def in_ledger(out: Path) -> set[str]:
    """Keys of the trials that the ledger holds so far."""
    try:
        connection = sqlite3.connect(f"file:{out / LEDGER}?mode=ro", uri=True)
        return {key for (key,) in connection.execute("SELECT key FROM trials")}
    except sqlite3.OperationalError:
        return set()  # not there yet


def kill_when(study: subprocess.Popen[str], out: Path, *, trials: int) -> None:
    """Kill a study and all that it started once its ledger holds so many trials."""
    while len(in_ledger(out)) < trials:
        with contextlib.suppress(subprocess.TimeoutExpired):
            study.wait(timeout=0.02)
        assert study.returncode is None
    os.killpg(study.pid, signal.SIGKILL)
    study.communicate()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Any]:
    """A request, and what comes of it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    request = request_for(folder)
    return request, finish(folder / "study", request)


def test_two_arms_at_three_rates_from_four_seeds_are_judged_with_both_controls(
    undisturbed: tuple[dict[str, Any], Any],
) -> None:
    request, found = undisturbed
    assert found["rates"] == list(request["rates"])
    assert found["arms"] == {"plain": "baseline", "gated": "better"}
    assert found["controls"] == {"placebo": True, "handicap": True}


def test_every_trial_ran_once(undisturbed: tuple[dict[str, Any], Any]) -> None:
    request, _ = undisturbed
    plan = plan_for(request)
    ran = (Path(shlex.split(request["command"])[1]).parent / "ran").read_text().split()
    assert sorted(ran) == sorted(trial.key for trial in plan.trials(plan.rates))


@pytest.mark.slow
def test_a_killed_study_runs_only_what_was_missing_and_ends_the_same(
    tmp_path: Path, undisturbed: tuple[dict[str, Any], Any]
) -> None:
    request, out = request_for(tmp_path), tmp_path / "study"
    for trials in (1, 12, 30):
        kill_when(start(out, request), out, trials=trials)
        finished = in_ledger(out)
        assert trials <= len(finished) < 48
        (tmp_path / "ran").unlink()  # what runs from now on
    # A trial that was cut off left half of what it had to say.
    plan = plan_for(request)
    missing = [trial for trial in plan.trials(plan.rates) if trial.key not in finished]
    trial_folder(out, missing[-1]).mkdir(parents=True)
    (trial_folder(out, missing[-1]) / "metrics.jsonl").write_text('{"val_bpb": 0.1}\n{"val')
    found = finish(out, request)
    assert found["losses"] == undisturbed[1]["losses"]
    assert sorted((tmp_path / "ran").read_text().split()) == sorted(trial.key for trial in missing)


def test_the_grid_grows_where_an_arm_is_best_on_its_edge_and_a_diverged_rate_is_left_out(
    tmp_path: Path,
) -> None:
    found = finish(tmp_path / "study", request_for(tmp_path, rates=(4e-3, 2.4e-2, 1.44e-1)))
    assert found["rates"][0] < 2e-3 < found["rates"][-1]
    assert found["arms"]["gated"] == "better"
    assert found["losses"]["plain"][-1] == [float("inf")] * 4


def test_a_program_that_is_edited_while_the_study_runs_stops_it_with_one_sentence(tmp_path: Path) -> None:
    request, out = request_for(tmp_path), tmp_path / "study"
    edits = 'if ffn == "gated":\n    open(__file__, "a").write("# edited")\n'
    (tmp_path / "program.py").write_text(PROGRAM + edits)
    plan = plan_for(request)
    assert plan.trials(plan.rates)[1].arm == "gated"
    study = start(out, request)
    complained = study.communicate()[1]
    assert study.returncode != 0
    assert f"{tmp_path}/program.py was changed while the study ran; finished trials are kept" in complained
    ran = (tmp_path / "ran").read_text().split()
    assert in_ledger(out) < set(ran) and len(ran) < 48


def test_a_program_that_has_changed_makes_another_study(tmp_path: Path) -> None:
    request, out = request_for(tmp_path), tmp_path / "study"
    kill_when(start(out, request), out, trials=1)
    (tmp_path / "program.py").write_text(PROGRAM.replace("3.0", "3.1"))
    study = start(out, request)
    assert "holds a different study (other code)" in study.communicate()[1] and study.returncode != 0
