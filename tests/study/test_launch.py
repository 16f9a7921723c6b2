import dataclasses
from pathlib import Path
from typing import Any

import pytest

from paribus.cores import WAITING
from paribus.errors import RequestError, WorkError
from paribus.study.folder import hold
from paribus.study.launch import ALLOCATOR, LocalLauncher, make_launcher
from paribus.study.plan import Plan, Trial
from paribus.text.data import Dataset

from .conftest import InlineLauncher

Planned = tuple[Plan, Dataset]


def _launch(
    planned: Planned, folder: Path, trials: list[Trial], *, workers: int = 1
) -> dict[str, dict[str, Any]]:
    with (
        hold(folder) as lock,
        LocalLauncher(
            workers=workers, threads=1, data=planned[1].folder, folder=folder, lock=lock
        ) as launcher,
    ):
        return {trial.key: result for trial, result in launcher.run(trials, progress=lambda _: None)}


def test_workers_give_what_this_process_would_and_progress_adds_up(planned: Planned, tmp_path: Path) -> None:
    plan, data = planned
    trials = plan.trials(plan.rates)[:5]
    seen: list[int] = []
    with (
        hold(tmp_path) as lock,
        LocalLauncher(workers=2, threads=1, data=data.folder, folder=tmp_path, lock=lock) as launcher,
    ):
        apart = list(launcher.run(trials[:4], progress=seen.append))
        apart += launcher.run(trials[4:], progress=seen.append)  # the same workers
    here = InlineLauncher(data, tmp_path).run(trials, progress=lambda _: None)
    assert {trial.key: result["val_bpb"] for trial, result in apart} == {
        trial.key: result["val_bpb"] for trial, result in here
    }
    assert sum(seen) == sum(trial.tokens for trial in trials)


def test_if_every_trial_fails_the_study_stops_and_says_why(planned: Planned, tmp_path: Path) -> None:
    trials = _trials_of(planned, tmp_path, "raise ZeroDivisionError('by design')")
    with pytest.raises(WorkError, match=r"every trial failed, the last with: ZeroDivisionError: by design"):
        _launch(planned, tmp_path, trials)


def test_an_arm_that_keeps_failing_gets_no_more_trials_and_the_others_go_on(
    planned: Planned, tmp_path: Path
) -> None:
    plan, _ = planned
    broken = _trials_of(planned, tmp_path, "raise ZeroDivisionError('by design')")
    broken = [dataclasses.replace(trial, arm="broken") for trial in broken]
    sound = plan.trials(plan.rates)[:6]
    results = _launch(planned, tmp_path, [*broken, *sound], workers=2)
    failed = [key for key, result in results.items() if result["status"] == "failed"]
    assert 3 <= len(failed) < len(broken)
    assert all(results[trial.key]["status"] == "done" for trial in sound)


def test_a_part_that_can_no_longer_be_read_fails_its_trial(planned: Planned, tmp_path: Path) -> None:
    plan, _ = planned
    gone = _trials_of(planned, tmp_path, "return x")[:1]
    (tmp_path / "part.py").write_text("def broken(:\n")
    results = _launch(planned, tmp_path, [*gone, *plan.trials(plan.rates)[:1]])
    assert "cannot be imported: SyntaxError" in results[gone[0].key]["reason"]


@pytest.mark.slow
def test_a_worker_killed_in_mid_trial_goes_on_from_its_checkpoint(planned: Planned, tmp_path: Path) -> None:
    plan, data = planned
    trial = dataclasses.replace(
        plan.trials([8e-2])[0], train=dataclasses.replace(plan.train, tokens=64 * 1000)
    )
    undisturbed = next(InlineLauncher(data, tmp_path).run([trial], progress=lambda _: None))[1]
    checkpoint = tmp_path / "checkpoints" / f"{trial.key}.pt"
    seen: list[int] = []

    def launch(*, kill: bool) -> dict[str, Any]:
        def progress(tokens: int) -> None:
            seen.append(tokens)
            if kill and checkpoint.exists():
                for worker in launcher._workers.values():
                    worker.process.kill()

        with (
            hold(tmp_path) as lock,
            LocalLauncher(
                workers=1, threads=1, data=data.folder, folder=tmp_path, lock=lock, checkpoint_seconds=0.0
            ) as launcher,
        ):
            return next(launcher.run([trial], progress=progress))[1]

    assert launch(kill=True)["status"] == "failed"
    assert checkpoint.exists()
    seen.clear()
    resumed = launch(kill=False)
    assert resumed["val_bpb"] == undisturbed["val_bpb"]
    assert resumed["compile_seconds"] > 0  # two first steps were timed apart
    assert not checkpoint.exists()


def test_a_worker_that_dies_fails_its_trial_and_is_replaced(planned: Planned, tmp_path: Path) -> None:
    plan, _ = planned
    doomed = _trials_of(planned, tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")[0]
    trials = [doomed, *plan.trials(plan.rates)[:3]]
    results = _launch(planned, tmp_path, trials)
    assert results[doomed.key]["status"] == "failed"
    assert "worker was killed" in results[doomed.key]["reason"]
    assert [results[trial.key]["status"] for trial in trials[1:]] == ["done"] * 3


def test_workers_start_with_their_allocator_and_thread_settings(planned: Planned, tmp_path: Path) -> None:
    names = [*ALLOCATOR, "OMP_NUM_THREADS", *WAITING]
    telling = f"raise ValueError(','.join(os.environ.get(name, '') for name in {names!r}))"
    told = _trials_of(planned, tmp_path, telling)[0]
    sound = planned[0].trials([8e-2])[0]
    said = _launch(planned, tmp_path, [told, sound])[told.key]["reason"]
    assert said == "ValueError: " + ",".join([*ALLOCATOR.values(), "1", *WAITING.values()])


def test_no_worker_outlives_an_abandoned_run(planned: Planned, tmp_path: Path) -> None:
    plan, data = planned
    with (
        hold(tmp_path) as lock,
        LocalLauncher(workers=2, threads=1, data=data.folder, folder=tmp_path, lock=lock) as launcher,
    ):
        next(launcher.run(plan.trials(plan.rates), progress=lambda _: None))
        processes = [worker.process for worker in launcher._workers.values()]
    assert len(processes) == 2
    assert all(process.returncode is not None for process in processes)
    with hold(tmp_path) as lock:  # the workers held the lock too
        assert lock >= 0


def test_the_factory_gives_the_launcher_asked_for(planned: Planned, tmp_path: Path) -> None:
    plan, data = planned
    given = {"workers": 2, "threads": 1, "data": plan.data, "folder": tmp_path, "lock": 0}
    local = make_launcher("local", **given)
    assert isinstance(local, LocalLauncher)
    assert (local.workers, local.data) == (2, data.folder)
    with pytest.raises(RequestError, match=r"no launcher 'slrum'; did you mean slurm\?"):
        make_launcher("slrum", **given)


def _trials_of(planned: Planned, folder: Path, body: str) -> list[Trial]:
    """Trials of a user's part whose forward pass does only this."""
    plan, _ = planned
    part = folder / "part.py"
    part.write_text(
        "import os, signal\n"
        "from paribus import FeedForward\n"
        "class Part(FeedForward):\n"
        "    def forward(self, x):\n"
        f"        {body}\n"
    )
    arm = plan.arm("relu")
    model = dataclasses.replace(arm.model, ffn=f"{part}:Part")
    return [
        plan.trial(dataclasses.replace(arm, model=model), rate, seed)
        for rate in plan.rates
        for seed in (0, 1)
    ]
