"""No command, and nothing that it started, outlives its trial or its study."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paribus.study.command.launch import CommandLauncher, trial_folder
from paribus.study.command.plan import CommandTrial
from paribus.study.folder import hold

from .commands import HEAD, RATES, SCORE, alone, beside_a_good_one, plan_of

#: Says who it is and what it started, and then waits for ever, deaf to polite requests.
STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])
open(f'{out}/pids', 'w').write(f'{os.getpid()} {child.pid} ')
print('ready', flush=True)
signal.pause()
"""


def gone(pid: int) -> bool:
    """Whether this process has ended, or does so at once: what was killed still takes a moment to die."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10.0)[0])
    finally:
        os.close(descriptor)


def pids(folder: Path) -> list[int]:
    return [int(word) for path in folder.glob("trials/*/pids") for word in path.read_text().split()]


def assert_all_gone(folder: Path, *, count: int) -> None:
    """So many processes had begun, and none of them runs any more."""
    assert len(pids(folder)) == count and all(map(gone, pids(folder)))


def test_what_a_finished_command_left_running_is_ended(tmp_path: Path) -> None:
    start = "child = subprocess.Popen(['sleep', '600'])\nopen(f'{out}/pids', 'w').write(str(child.pid))"
    alone(tmp_path, f"{start}\n{SCORE}")
    assert_all_gone(tmp_path, count=1)


def in_own_session(body: str) -> str:
    """A program that runs this one in a session of its own, out of reach of signals to the group."""
    arguments = f"[sys.executable, '-c', {HEAD + body!r}, *sys.argv[1:]]"
    return f"sys.exit(subprocess.call({arguments}, start_new_session=True))"


@pytest.mark.skipif(sys.platform != "linux", reason="only there can a keeper adopt")
def test_what_a_finished_command_left_in_a_session_of_its_own_is_ended(tmp_path: Path) -> None:
    start = (
        "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=2, start_new_session=True).pid)"
    )
    body = f"""
said = subprocess.run([sys.executable, '-c', {start!r}], stdout=subprocess.PIPE, start_new_session=True)
open(f'{{out}}/pids', 'wb').write(said.stdout)
{SCORE}
"""
    alone(tmp_path, body)
    assert_all_gone(tmp_path, count=1)


@pytest.mark.skipif(sys.platform != "linux", reason="only there can a keeper adopt")
def test_leaving_ends_a_command_in_a_session_of_its_own(tmp_path: Path) -> None:
    _left_early(tmp_path, in_own_session(STUBBORN))
    assert_all_gone(tmp_path, count=2)


def test_leaving_ends_whole_groups_however_stubborn(tmp_path: Path) -> None:
    _left_early(tmp_path, STUBBORN)
    assert_all_gone(tmp_path, count=2)
    with hold(tmp_path) as lock:  # the keepers held the lock too
        assert lock >= 0


def test_leaving_asks_before_it_kills(tmp_path: Path) -> None:
    body = """
def leave(*_):
    open(f'{out}/goodbye', 'w')
    sys.exit()
signal.signal(signal.SIGTERM, leave)
open(f'{out}/pids', 'w').write(f'{os.getpid()} ')
signal.pause()
"""
    trial = _left_early(tmp_path, body)
    assert (trial_folder(tmp_path, trial) / "goodbye").exists()


def test_leaving_ends_a_group_whose_keeper_does_not_answer(tmp_path: Path) -> None:
    _left_early(tmp_path, STUBBORN, lambda keeper: os.kill(keeper, signal.SIGSTOP))
    assert_all_gone(tmp_path, count=2)


def _left_early(folder: Path, body: str, before: Callable[[int], None] = lambda keeper: None) -> CommandTrial:
    """Leave a launcher while its trial of this program waits; `before` gets the number of the keeper."""
    plan = plan_of(folder, f"if ffn == 'a':\n  {SCORE}\n  sys.exit()\n{body}")
    fast, slow = plan.trials(RATES)[:2]
    with hold(folder) as lock, CommandLauncher(workers=2, folder=folder, lock=lock) as launcher:
        assert next(launcher.run([slow, fast], progress=lambda _: None))[0] == fast
        (running,) = launcher._running.values()
        while not pids(folder):
            assert running.process.poll() is None
        before(running.process.pid)
    return slow


def test_a_command_whose_keeper_was_killed_is_ended_with_it(tmp_path: Path) -> None:
    body = "open(f'{out}/pids', 'w').write(f'{os.getpid()} ')\nos.kill(os.getppid(), 9)\nsignal.pause()"
    result = beside_a_good_one(tmp_path, body)
    assert result["reason"] == "the keeper of the command was killed, and the command with it"
    assert_all_gone(tmp_path, count=1)


#: A study of one stubborn trial, as a process of its own.
STUDY = """
import sys
from pathlib import Path
from paribus.study.command.plan import CommandTrial
from paribus.study.command.launch import CommandLauncher
from paribus.study.folder import hold
folder = Path(sys.argv[1])
trial = CommandTrial.from_json((folder / 'trial.json').read_text())
with hold(folder) as lock, CommandLauncher(workers=1, folder=folder, lock=lock) as launcher:
    list(launcher.run([trial], progress=lambda _: None))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_command_outlives_its_study(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "trial.json").write_text(plan_of(tmp_path, STUBBORN).trials(RATES)[0].to_json())
    # What a shell starts in the background ignores Ctrl-C; the study is to be in the foreground.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    study = subprocess.Popen(
        [sys.executable, "-c", STUDY, str(tmp_path)], stderr=subprocess.DEVNULL, start_new_session=True
    )
    signal.signal(signal.SIGINT, before)
    try:
        while len(pids(tmp_path)) < 2:
            assert study.poll() is None
        os.killpg(study.pid, number)  # as a terminal does
        assert study.wait(timeout=10) != 0
        with hold(tmp_path):  # free once the keeper is gone, which ends its group first
            assert all(map(gone, pids(tmp_path)))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(study.pid, signal.SIGKILL)
