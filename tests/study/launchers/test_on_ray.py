"""A real Ray cluster of two nodes on this machine, each with a cache of its own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import WorkError
from paribus.study.folder import hold
from paribus.study.launch import ALLOCATOR, LocalLauncher
from paribus.study.launchers.on_ray import RayLauncher
from paribus.study.plan import Trial

from .conftest import PartMaker, Snag, Study, trial

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@dataclass
class Cluster:
    """Two nodes of one CPU each."""

    address: str
    nodes: list[subprocess.Popen[bytes]]

    def kill(self, node: int) -> None:
        """SIGKILL to everything that `ray start` started there."""
        os.killpg(self.nodes[node].pid, signal.SIGKILL)
        self.nodes[node].wait()


def _node(cache: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus", "1"),
            *("--node-ip-address", "127.0.0.1", *arguments),
        ],
        env={**os.environ, "PARIBUS_CACHE": str(cache), "RAY_USAGE_STATS_ENABLED": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as short:  # holds sockets
        head = ("--head", "--port", str(port), "--include-dashboard", "false", "--temp-dir", short)
        cluster = Cluster(address, [_node(tmp_path / "cache", *head)])
        while not _answers(port):
            assert cluster.nodes[0].poll() is None
        cluster.nodes.append(_node(tmp_path / "other-cache", "--address", address))
        yield cluster
        for node, process in enumerate(cluster.nodes):
            if process.poll() is None:
                cluster.kill(node)


def _answers(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def _launcher(study: Study, cluster: Cluster, lock: int, **more: Any) -> RayLauncher:
    settings = {"workers": 2, "threads": 1, "checkpoint_seconds": 0.0, **more}
    return RayLauncher(
        address=cluster.address, data=study.described, folder=study.folder, lock=lock, **settings
    )


def _alone(study: Study, trials: list[Trial]) -> dict[str, float]:
    """Scores by key, as the local launcher gets them."""
    with (
        hold(study.folder) as lock,
        LocalLauncher(
            workers=1, threads=1, data=study.data.folder, folder=study.folder, lock=lock
        ) as launcher,
    ):
        return {each.key: result["val_bpb"] for each, result in launcher.run(trials, progress=lambda _: None)}


def test_a_study_survives_a_killed_worker_with_the_numbers_of_one_that_ran_here(
    study: Study, cluster: Cluster, snag: Snag
) -> None:
    trials = [snag.trial, *(trial(arm, seed=seed) for arm in ("relu", "swiglu") for seed in range(3))]
    told: list[int] = []
    killed: list[int] = []

    def progress(tokens: int) -> None:
        told.append(tokens)
        if not killed and snag.hangs():
            killed.append(snag.process)
            os.kill(killed[0], signal.SIGKILL)
            snag.over()

    with hold(study.folder) as lock, _launcher(study, cluster, lock) as launcher:
        first = {each.key: result for each, result in launcher.run(trials[:4], progress=progress)}
        second = {each.key: result for each, result in launcher.run(trials[4:], progress=progress)}
    assert killed
    assert {key: result["val_bpb"] for key, result in (first | second).items()} == _alone(study, trials)
    assert sum(told) == sum(each.tokens for each in trials)


def test_a_study_survives_a_node_that_goes_away(study: Study, cluster: Cluster) -> None:
    trials = [trial("relu", seed=seed) for seed in range(6)]
    results: dict[str, dict[str, Any]] = {}
    with hold(study.folder) as lock, _launcher(study, cluster, lock) as launcher:
        for each, result in launcher.run(trials, progress=lambda _: None):
            results[each.key] = result
            if cluster.nodes[1].poll() is None and len(results) == 2:
                cluster.kill(1)
    assert {key: result["val_bpb"] for key, result in results.items()} == _alone(study, trials)


def test_the_trial_of_a_machine_without_the_text_is_run_by_the_other(study: Study, cluster: Cluster) -> None:
    study.source.unlink()  # the first node has it prepared; the other has a cache of its own
    trials = [trial("relu", seed=seed) for seed in range(6)]
    told: list[int] = []
    with hold(study.folder) as lock, _launcher(study, cluster, lock) as launcher:
        results = {each.key: result for each, result in launcher.run(trials, progress=told.append)}
    assert {key: result.get("val_bpb") for key, result in results.items()} == _alone(study, trials)
    assert sum(told) == sum(each.tokens for each in trials)


def test_when_the_whole_cluster_goes_away_the_study_says_so(study: Study, cluster: Cluster) -> None:
    with hold(study.folder) as lock, _launcher(study, cluster, lock) as launcher:
        running = launcher.run([trial(seed=seed, steps=100) for seed in range(100)], progress=lambda _: None)
        next(running)
        cluster.kill(1)
        cluster.kill(0)
        with pytest.raises(
            WorkError, match="went away; finished trials are kept, run the same command again"
        ):
            list(running)


def test_a_driver_that_is_cut_off_in_the_middle_of_a_message_is_a_cluster_that_went_away(
    study: Study,
) -> None:
    driver = subprocess.Popen(["printf", '{"event": "slo'], stdout=subprocess.PIPE)
    with (
        hold(study.folder) as lock,
        _launcher(study, Cluster("nowhere", []), lock, _driver=driver) as launcher,
        pytest.raises(WorkError, match="the Ray cluster at nowhere went away"),
    ):
        list(launcher.run([trial()], progress=lambda tokens: None))


def test_leaving_a_run_leaves_no_actor(study: Study, cluster: Cluster, snag: Snag) -> None:
    class Left(Exception):
        pass

    def leave(tokens: int) -> None:
        if snag.hangs():
            raise Left

    with pytest.raises(Left), hold(study.folder) as lock, _launcher(study, cluster, lock) as launcher:
        list(launcher.run([snag.trial], progress=leave))
    while Path(f"/proc/{snag.process}").exists():
        pass
    with hold(study.folder) as lock:  # the driver held the lock too
        assert lock >= 0


def test_workers_start_with_their_settings_and_an_arm_that_keeps_failing_is_set_aside(
    study: Study, cluster: Cluster, part: PartMaker
) -> None:
    names = [*ALLOCATOR, "OMP_NUM_THREADS"]
    address = part(f"raise ValueError(','.join(os.environ.get(name, '') for name in {names!r}))")
    broken = [trial("mine", ffn=address, seed=seed) for seed in range(6)]
    with hold(study.folder) as lock, _launcher(study, cluster, lock, workers=None) as launcher:
        results = list(launcher.run([*broken, trial()], progress=lambda _: None))
    failed = [result["reason"] for each, result in results if each.arm == "mine"]
    assert 3 <= len(failed) < 6
    assert set(failed) == {"ValueError: " + ",".join([*ALLOCATOR.values(), "1"])}
    assert [result["status"] for each, result in results if each.arm == "relu"] == ["done"]


def test_without_a_cluster_the_sentence_says_how_to_start_one(study: Study) -> None:
    with (
        hold(study.folder) as lock,
        _launcher(study, Cluster("127.0.0.1:1", []), lock) as launcher,
        pytest.raises(WorkError, match=r"no way to the Ray cluster at 127\.0\.0\.1:1 .*`ray start --head`"),
    ):
        list(launcher.run([trial()], progress=lambda _: None))
