import dataclasses
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.study import reproduce, session
from paribus.study.plan import Plan, Trial
from paribus.study.settings import resolve

from .conftest import TINY, Heard, write_corpus


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    """A folder with a study of real runs in a folder of its own, and its plan."""
    home = tmp_path_factory.mktemp("finished")
    arms = {"data": str(write_corpus(home / "corpus.txt")), "arms": ["relu"], "seeds": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARIBUS_CACHE", str(home / "cache"))
        prepared = session.make(resolve("default", arms, TINY), workers=1)
        session.run(prepared, home / "runs" / "it", command="x", listener=Heard().listener())
    return home / "runs", prepared.plan


@pytest.fixture
def finished(study: tuple[Path, Plan], tmp_path: Path) -> tuple[Path, Plan]:
    """The same in a place where a test may change it."""
    runs, plan = study
    return shutil.copytree(runs, tmp_path / "runs"), plan


def test_a_run_comes_out_again_bit_for_bit(finished: tuple[Path, Plan]) -> None:
    runs, plan = finished
    trial = plan.trials(plan.rates)[0]
    run = reproduce.find_run(plan.run_id(trial)[:12], runs)
    assert run.trial == trial and run.folder == runs / "it"
    again = reproduce.reproduce(run)
    assert again.same and again.holds and again.elsewhere == ()
    assert again.then == again.now is not None


def _change(runs: Path, trial: Trial, changes: dict[str, Any]) -> None:
    """Have the ledger say something else of this trial."""
    with sqlite3.connect(runs / "it" / "ledger.sqlite") as ledger:
        (text,) = ledger.execute("SELECT result FROM trials WHERE key = ?", (trial.key,)).fetchone()
        changed = json.loads(text) | changes
        ledger.execute("UPDATE trials SET result = ? WHERE key = ?", (json.dumps(changed), trial.key))


def test_the_machine_is_that_of_the_trial_and_not_of_the_last_session(finished: tuple[Path, Plan]) -> None:
    runs, plan = finished
    here, there = plan.trials(plan.rates)[:2]
    _change(runs, there, {"as_run": {"device_name": "another"}})
    results = json.loads((runs / "it" / "results.json").read_text())
    results["environment"] |= {"cpu": "another"}
    (runs / "it" / "results.json").write_text(json.dumps(results))
    assert reproduce.reproduce(reproduce.find_run(plan.run_id(here), runs)).elsewhere == ()
    assert reproduce.reproduce(reproduce.find_run(plan.run_id(there), runs)).elsewhere == ("machine",)


@pytest.mark.slow
def test_a_run_that_diverged_comes_out_again_and_elsewhere_by_diverging(corpus: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.py"
    part.write_text(
        "from paribus import FeedForward\n"
        "class Wild(FeedForward):\n    def forward(self, x):\n        return x * float('nan')\n"
    )
    arms = {"data": str(corpus), "arms": ["relu", f"{part}:Wild"], "seeds": 1}
    prepared = session.make(resolve("default", arms, TINY), workers=1)
    session.run(prepared, tmp_path / "runs" / "it", command="x", listener=Heard().listener())
    trial = prepared.plan.trials(prepared.plan.rates)[1]
    run = reproduce.find_run(prepared.plan.run_id(trial), tmp_path / "runs")
    assert run.result["curve"]["train_bpb"] == [None]
    again = reproduce.reproduce(run)
    assert again.diverged and again.same and again.holds
    assert dataclasses.replace(again, same=False, elsewhere=("machine",)).holds
    assert not dataclasses.replace(again, same=False).holds


def test_a_run_that_comes_out_otherwise_is_said_to(finished: tuple[Path, Plan]) -> None:
    runs, plan = finished
    trial = plan.trials(plan.rates)[0]
    _change(runs, trial, {"val_bpb": 1.0})
    again = reproduce.reproduce(reproduce.find_run(plan.run_id(trial), runs))
    assert not again.same and not again.holds


def test_elsewhere_a_tolerance_takes_the_place_of_bits() -> None:
    def compared(now: float, *, elsewhere: tuple[str, ...]) -> bool:
        found = reproduce.Comparison(
            run_id="x", trial="x", then=2.0, now=now, same=now == 2.0, diverged=False, elsewhere=elsewhere
        )
        return found.holds

    assert compared(2.0, elsewhere=()) and not compared(2.001, elsewhere=())
    assert compared(2.009, elsewhere=("cpu",)) and not compared(2.011, elsewhere=("cpu",))


def test_an_unknown_id_is_one_sentence(finished: tuple[Path, Plan]) -> None:
    with pytest.raises(RequestError, match=r"no finished run in .* has the id 'zzz'"):
        reproduce.find_run("zzz", finished[0])


def test_an_id_that_names_several_runs_is_refused(finished: tuple[Path, Plan]) -> None:
    with pytest.raises(RequestError, match=r"\d+ runs in .* begin with ''"):
        reproduce.find_run("", finished[0])
