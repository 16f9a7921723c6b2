"""How a study's cores are divided from its request to its results: what it began with, and what is measured."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from paribus.study import environment, session
from paribus.study.division import Division
from paribus.study.folder import planned_threads
from paribus.study.settings import StudySettings, resolve

from .conftest import TINY, Heard, InlineLauncher, outcome, write_corpus

#: So many tokens that dividing the cores well would pay even for the smallest model.
LONG = "train.tokens=4_000_000_000"


@pytest.fixture
def long_settings(corpus: Path) -> StudySettings:
    return resolve("default", {"data": str(corpus), "arms": ["relu", "swiglu"], "seeds": 1}, [*TINY, LONG])


def test_a_study_goes_on_with_its_threads_whatever_would_be_measured_now(
    settings: StudySettings, long_settings: StudySettings, tmp_path: Path, two_cores: None
) -> None:
    """In a folder that was named, and in one that is found by the plan; with other workers too."""
    began = session.make(settings, threads=2)
    data = began.data
    assert data is not None
    out = tmp_path / began.plan.sha256
    for again in ({}, {"workers": 2}, {"here": False}):
        session.run(
            session.make(settings, folder=lambda _: out, **again) if again else began,
            out,
            command="",
            listener=Heard().listener(),
            launching=lambda *_: nullcontext(InlineLauncher(data, tmp_path, lambda _: outcome(2.0))),
        )
        assert planned_threads(out) == 2
    assert session.make(settings, folder=lambda plan: tmp_path / plan.sha256).plan.threads == 2
    assert session.make(settings, threads=1, folder=lambda _: out).plan.threads == 1  # who says so gets it


def test_what_was_measured_stands_in_the_results(prepared: session.Prepared, tmp_path: Path) -> None:
    measured = Division(workers=2, threads=1, measured={"2x1": 500, "1x2": 400})
    prepared = dataclasses.replace(prepared, division=measured)
    data = prepared.data
    assert data is not None
    results, files = session.run(
        prepared,
        tmp_path / "out",
        command="",
        listener=Heard().listener(),
        launching=lambda *_: nullcontext(InlineLauncher(data, tmp_path, lambda _: outcome(2.0))),
    )
    ran_on = results["environment"]
    assert (ran_on["workers"], ran_on["threads_per_worker"]) == (2, 1)
    assert ran_on["divisions_tokens_per_second"] == {"2x1": 500, "1x2": 400}
    assert "2x1=500, 1x2=400" in files["report.md"].read_text()


def test_elsewhere_nothing_is_measured(
    long_settings: StudySettings, quick_measurement: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")  # a process would die at once
    said: list[str] = []
    assert session.make(long_settings, here=False, say=said.append).division == Division(workers=1, threads=1)
    assert session.make(long_settings, threads=2, say=said.append).division.threads == 2
    assert session.make(long_settings, workers=1, say=said.append).division.workers == 1
    assert not said
    session.make(long_settings, say=said.append)
    assert "measuring" in said[0]


@pytest.mark.slow
@pytest.mark.skipif(environment.cores() == 1, reason="on one core there is nothing to divide")
def test_stopping_a_measurement_leaves_no_process(tmp_path: Path) -> None:
    corpus, logs = write_corpus(tmp_path / "corpus.txt"), tmp_path / "logs"
    logs.mkdir()
    command = [
        sys.executable,
        "-m",
        "paribus",
        "study",
        "ffn",
        "--data",
        str(corpus),
        "--seeds",
        "64",
        *TINY,
        LONG,
    ]
    # A shell's background job ignores Ctrl-C, and so would what it starts: the study is to be in the foreground.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    study = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(logs)},
    )
    signal.signal(signal.SIGINT, before)
    while not list(logs.glob("*/1.log")):  # the second process is being started, so the first is there
        with contextlib.suppress(subprocess.TimeoutExpired):
            study.wait(timeout=0.02)
        assert study.returncode is None
    study.send_signal(signal.SIGINT)  # to itself alone, so that nothing else ends its processes
    said = study.communicate(timeout=60)[1]
    assert study.returncode != 0 and "measuring once" in said and "Traceback" not in said
    # One that was just being started when the signal came is not known to be killed; it ends as its stdin closes.
    assert any(_is_gone(study.pid) for _ in range(300))


def _is_gone(group: int) -> bool:
    """Whether a group has no process; a moment later if it has one."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    threading.Event().wait(0.1)
    return False
