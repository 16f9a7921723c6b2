"""submitit's local executor stands in for Slurm: jobs are processes here, all else is as there."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError, WorkError
from paribus.study.launch import ALLOCATOR
from paribus.study.launchers.on_slurm import SlurmLauncher, _Job
from paribus.study.plan import Trial
from paribus.text.data import default_cache

from .conftest import PartMaker, Snag, Study, here, trial

pytest.importorskip("submitit")


def _launcher(study: Study, *, workers: int = 2, checkpoint_seconds: float = 30.0) -> SlurmLauncher:
    return SlurmLauncher(
        folder=study.folder,
        workers=workers,
        threads=1,
        data=study.described,
        cluster="local",
        checkpoint_seconds=checkpoint_seconds,
    )


def _launch(study: Study, trials: list[Trial]) -> dict[str, dict[str, Any]]:
    with _launcher(study) as launcher:
        return {each.key: result for each, result in launcher.run(trials, progress=lambda tokens: None)}


def _processes(folder: Path) -> list[int]:
    """Trials under way in this folder: processes of jobs, not those that watch over them."""
    shown = subprocess.run(["ps", "-ewwo", "pid,args"], capture_output=True, text=True, check=True).stdout
    lines = [line for line in shown.splitlines() if "submitit.core._submit" in line and str(folder) in line]
    return [int(line.split()[0]) for line in lines]


def test_jobs_give_what_this_process_would_and_progress_adds_up(study: Study) -> None:
    trials = [trial("relu"), trial("swiglu")]
    told: list[int] = []
    with _launcher(study) as launcher:
        results = {each.key: result for each, result in launcher.run(trials, progress=told.append)}
    assert {key: result["val_bpb"] for key, result in results.items()} == here(
        trials, study.data, study.folder
    )
    assert sum(told) == sum(each.tokens for each in trials)


@pytest.mark.slow
def test_a_job_starts_with_its_settings_and_a_failure_is_its_trials(study: Study, part: PartMaker) -> None:
    names = [*ALLOCATOR, "OMP_NUM_THREADS"]
    told = trial(
        "mine", ffn=part(f"raise ValueError(','.join(os.environ.get(name, '') for name in {names!r}))")
    )
    results = _launch(study, [told, trial()])
    assert results[told.key]["reason"] == "ValueError: " + ",".join([*ALLOCATOR.values(), "1"])
    assert results[trial().key]["status"] == "done"


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGKILL, id="killed"),
        pytest.param(signal.SIGUSR2, id="out of time", marks=pytest.mark.slow),
    ],
)
def test_a_job_that_ends_early_is_submitted_again_and_goes_on(
    study: Study, snag: Snag, number: signal.Signals
) -> None:
    told: list[int] = []
    ended: list[int] = []

    def progress(tokens: int) -> None:
        told.append(tokens)
        if not ended:
            ended.append(snag.process)
            assert list((study.folder / "checkpoints").glob("*.pt"))
            os.kill(ended[0], number)
            snag.over()

    with _launcher(study, workers=1, checkpoint_seconds=0.0) as launcher:
        results = [result for _, result in launcher.run([snag.trial], progress=progress)]
    assert {snag.trial.key: results[0]["val_bpb"]} == here([snag.trial], study.data, study.folder)
    assert sum(told) == snag.trial.tokens
    assert min(told) < 0  # what the lost job had counted was given back


@pytest.mark.slow
def test_a_job_that_always_ends_early_fails_its_trial(study: Study, part: PartMaker) -> None:
    doomed = trial("mine", ffn=part("os.kill(os.getpid(), signal.SIGKILL)"))
    results = _launch(study, [doomed, trial()])
    assert results[doomed.key]["status"] == "failed"
    assert "ended without a result" in results[doomed.key]["reason"]
    assert results[trial().key]["status"] == "done"


def test_leaving_a_run_ends_its_jobs(study: Study) -> None:
    running: list[int] = []

    class Left(Exception):
        pass

    def leave(tokens: int) -> None:
        running.extend(_processes(study.folder))
        raise Left

    with pytest.raises(Left), _launcher(study) as launcher:
        list(launcher.run([trial(steps=10**6)], progress=leave))
    assert running
    assert not _processes(study.folder)


@pytest.mark.slow
def test_a_job_ends_itself_when_the_study_that_wants_it_is_gone(study: Study) -> None:
    with _launcher(study, workers=1) as launcher:

        def vanish(tokens: int) -> None:
            for alive in (study.folder / "slurm").glob("*/alive"):
                alive.unlink()

        result = next(launcher.run([trial(steps=10**6)], progress=vanish))[1]
    assert result["status"] == "failed"
    assert "the study is gone" in result["reason"]


#: Stands in for sbatch, srun, sacct and scancel: jobs are processes here, numbered from 1, and nodes are folders of
#: the same name beside it, each with a cache.
SLURM = """#!{python}
import os, re, signal, subprocess, sys
from pathlib import Path
here, given = Path(__file__).parent, sys.argv[1:]
def alive(job):
    return subprocess.run(["pgrep", "-s", (here / f"job-{{job}}").read_text()], capture_output=True).stdout
match Path(__file__).name:
    case "sbatch":
        left_out = re.findall(r"--exclude=(\\S+)", Path(given[0]).read_text())
        nodes = sorted({{node.name for node in here.glob("node-*")}} - {{*",".join(left_out).split(",")}})
        if not nodes:
            sys.exit("Requested node configuration is not available")
        node = {{"SLURMD_NODENAME": nodes[0], "PARIBUS_CACHE": str((here / nodes[0] / "cache").resolve())}}
        job = len(list(here.glob("job-*"))) + 1
        (here / f"script-{{job}}").write_text(Path(given[0]).read_text())
        run = subprocess.Popen(["bash", given[0]], env={{**os.environ, **node, "SLURM_JOB_ID": str(job)}},
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (here / f"job-{{job}}").write_text(str(run.pid))
        print(f"Submitted batch job {{job}}")
    case "srun":
        error = given[given.index("--error") + 1].replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", "0")
        os.dup2(os.open(error, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        os.execvp("env", given[given.index("env"):])
    case "sacct":
        print("JobID|State|NodeList")
        for job in re.findall(r"-j (\\d+)", " ".join(given)):
            print(f"{{job}}|{{'RUNNING' if alive(job) else 'FAILED'}}|here")
    case "scancel":
        for job in given:
            for process in alive(job).split():
                os.kill(int(process), signal.SIGKILL)
"""


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], None]:
    """Adds a node with this cache to a cluster whose commands are on the path."""
    commands = tmp_path / "slurm"
    commands.mkdir()
    for name in ("sbatch", "srun", "sacct", "scancel"):
        (commands / name).write_text(SLURM.format(python=sys.executable))
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")

    def add(name: str, cache: Path) -> None:
        (commands / name).mkdir()
        (commands / name / "cache").symlink_to(cache)

    return add


@pytest.mark.slow
def test_slurm_gets_the_options_and_a_job_that_fails_there_is_submitted_again(
    study: Study, snag: Snag, tmp_path: Path, node: Callable[[str, Path], None]
) -> None:
    node("node-1", default_cache())
    killed: list[int] = []

    def progress(tokens: int) -> None:
        if not killed:
            killed.append(snag.process)
            os.kill(killed[0], signal.SIGKILL)
            snag.over()

    options = {"partition": "tiny", "time": "0:30:00", "gpus": 1}
    with SlurmLauncher(
        folder=study.folder, workers=2, threads=3, data=study.described, options=options, file_seconds=0.0
    ) as launcher:
        results = {each.key: result for each, result in launcher.run([snag.trial], progress=progress)}
        still = trial(steps=10**6)
        launcher._jobs.append(_Job(still, launcher._submit(still)))
    assert results[snag.trial.key]["status"] == "done"
    script = (tmp_path / "slurm" / "script-2").read_text()
    for flag in ("partition=tiny", "time=0:30:00", "gpus-per-node=1", "cpus-per-task=3"):
        assert f"#SBATCH --{flag}\n" in script
    assert "OMP_NUM_THREADS=3" in script
    while _processes(study.folder):  # the third job, cancelled on leaving
        pass


@pytest.mark.slow
def test_a_node_without_the_text_is_left_out_and_its_trial_runs_elsewhere(
    study: Study, tmp_path: Path, node: Callable[[str, Path], None]
) -> None:
    study.source.unlink()
    node("node-1", tmp_path / "empty")
    node("node-2", default_cache())
    with SlurmLauncher(
        folder=study.folder, workers=1, threads=1, data=study.described, file_seconds=0.0
    ) as launcher:
        results = [result["status"] for _, result in launcher.run([trial()], progress=lambda tokens: None)]
    assert results == ["done"]


@pytest.mark.slow
def test_when_no_node_is_fit_the_sentence_says_why(
    study: Study, tmp_path: Path, node: Callable[[str, Path], None]
) -> None:
    study.source.unlink()
    node("node-1", tmp_path / "empty")
    with (
        SlurmLauncher(
            folder=study.folder, workers=1, threads=1, data=study.described, file_seconds=0.0
        ) as launcher,
        pytest.raises(WorkError, match=r"the node node-1 is left out: .* does not have the text"),
    ):
        list(launcher.run([trial()], progress=lambda tokens: None))


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"no Slurm option 'partitoin'; did you mean partition\?"):
        SlurmLauncher(
            folder=Path(), workers=1, threads=1, data={}, options={"partitoin": "gpu"}, cluster="local"
        )


def test_without_slurm_the_sentence_says_where_to_start(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError, match="start the study on a machine that submits to Slurm"):
        SlurmLauncher(folder=study.folder, workers=1, threads=1, data=study.described)
