"""Commands run in their own groups and folders; whatever they do, the study gets a result and keeps the machine."""

import contextlib
import json
import os
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import WorkError
from paribus.study.command.launch import LOG, CommandLauncher, trial_folder
from paribus.study.command.plan import CommandPlan, CommandTrial, make_command_plan
from paribus.study.folder import hold

from .test_command import HOSTILE

RATES = (1e-3, 2e-3, 4e-3)
SCORE = "open(f'{out}/metrics.jsonl', 'w').write('{\"val_bpb\": 3.0}')"
#: What every program below begins with.
HEAD = "import json, os, signal, subprocess, sys, time\nffn, seed, out, tokens = sys.argv[1:5]\n"
#: Says who it is and what it started, and then waits for ever, deaf to polite requests.
STUBBORN = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])
open(f'{out}/pids', 'w').write(f'{os.getpid()} {child.pid} ')
print('ready', flush=True)
signal.pause()
"""


def program(folder: Path, body: str) -> str:
    """A command that runs this text after `HEAD`."""
    path = folder / "a program.py"
    path.write_text(f"{HEAD}{body}\n")
    return shlex.join([sys.executable, str(path)]) + " {ffn} {seed} {out} {tokens} {lr}"


def plan_of(folder: Path, body: str, *, values: Sequence[str] = ("a", "b"), seeds: int = 1) -> CommandPlan:
    command = program(folder, body)
    return make_command_plan(command=command, vary={"ffn": values}, rates=RATES, seeds=seeds, tokens=100)[0]


def compared(plan: CommandPlan, rates: Sequence[float] = RATES) -> list[CommandTrial]:
    """The trials of a plan without those of its controls."""
    return [trial for trial in plan.trials(rates) if not plan.arm(trial.arm).control]


def launch(
    folder: Path,
    trials: Sequence[CommandTrial],
    *,
    workers: int = 2,
    progress: Any = lambda _: None,
    threads: int = 1,
) -> list[tuple[CommandTrial, dict[str, Any]]]:
    with (
        hold(folder) as lock,
        CommandLauncher(workers=workers, folder=folder, lock=lock, threads=threads) as launcher,
    ):
        return list(launcher.run(trials, progress=progress))


def alone(folder: Path, body: str, **how: Any) -> Path:
    """The folder of a trial of this program after it has run and ended well."""
    ((trial, result),) = launch(folder, plan_of(folder, body).trials(RATES)[:1], **how)
    assert result["status"] == "done", result["reason"]
    return trial_folder(folder, trial)


def beside_a_good_one(folder: Path, body: str) -> dict[str, Any]:
    """The result of a trial of this program, beside one that ends well."""
    plan = plan_of(folder, f"if ffn == 'a':\n  {SCORE}\n  sys.exit()\n{body}")
    return next(result for trial, result in launch(folder, compared(plan, RATES[:1])) if trial.arm == "b")


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


def test_trials_write_into_folders_of_their_own_and_their_scores_come_back(tmp_path: Path) -> None:
    body = "open(f'{out}/metrics.jsonl', 'w').write(json.dumps({'val_bpb': float(sys.argv[5]) + int(seed)}))"
    plan = plan_of(tmp_path, body, seeds=2)
    found = launch(tmp_path, plan.trials(RATES))
    assert sorted(trial.key for trial, _ in found) == sorted(trial.key for trial in plan.trials(RATES))
    for trial, result in found:
        assert result["val_bpb"] == trial.rate + trial.seed + trial.seed_offset
        assert trial_folder(tmp_path, trial) == tmp_path / "trials" / trial.key


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hostile_value_arrives_as_one_argument_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.chdir(tmp_path)
    body = f"json.dump(sys.argv[1:], open(f'{{out}}/arguments', 'w'))\n{SCORE}"
    plan = plan_of(tmp_path, body, values=HOSTILE)
    trials = compared(plan, RATES[:1])
    before = {*tmp_path.iterdir()} | {tmp_path / "trials", tmp_path / "study.lock"}
    found = launch(tmp_path, trials, workers=workers)
    assert len(found) == len(HOSTILE)
    for trial, result in found:
        assert result["status"] == "done"
        out = trial_folder(tmp_path, trial)
        assert json.loads((out / "arguments").read_text()) == [
            trial.values["ffn"],
            "0",
            str(out),
            "100",
            "0.001",
        ]
    assert {trial.values["ffn"] for trial in trials} == {*HOSTILE}
    assert {*tmp_path.iterdir()} == before


def test_what_a_program_prints_goes_to_its_log_and_it_can_read_nothing(tmp_path: Path) -> None:
    out = alone(tmp_path, f"print('to', repr(sys.stdin.read())); print('both', file=sys.stderr)\n{SCORE}")
    assert sorted((out / LOG).read_text().splitlines()) == ["both", "to ''"]


def test_a_program_is_told_how_many_threads_to_use_and_keeps_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "here")
    body = f"print(os.environ['OMP_NUM_THREADS'], os.environ['MINE'])\n{SCORE}"
    assert (alone(tmp_path, body, threads=3) / LOG).read_text() == "3 here\n"


def test_a_program_is_not_deaf_to_a_request_to_end(tmp_path: Path) -> None:
    alone(tmp_path, f"assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n{SCORE}")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "print('one')\nprint('two')\nprint('three')\nprint('four', flush=True)\nsys.exit(3)",
            "the command ended with exit code 3: two / three / four",
        ),
        ("sys.exit(3)", "the command ended with exit code 3 and printed nothing"),
        ("raise ZeroDivisionError('by design')", "ZeroDivisionError: by design"),
        ("os.kill(os.getpid(), 9)", "the command was killed, most likely because memory ran out"),
        ("os.kill(os.getpid(), 10)", f"the command was ended by {signal.Signals(10).name}"),
        ("pass", "the program ended well and wrote no metrics.jsonl"),
        ("open(f'{out}/metrics.jsonl', 'w').write('loss 3')", "line 1 of metrics.jsonl is not a JSON object"),
    ],
)
def test_a_failure_says_what_happened(tmp_path: Path, body: str, said: str) -> None:
    result = beside_a_good_one(tmp_path, body)
    assert result["status"] == "failed" and said in result["reason"]


def test_a_program_that_is_gone_or_is_given_too_much_fails_its_trial(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SCORE, values=("a", "x" * 200_000))
    good, long = plan.trials(RATES)[:2]
    missing = CommandTrial.from_json(good.to_json().replace(json.dumps(sys.executable), '"/no/such/program"'))
    reasons = [result.get("reason") for _, result in launch(tmp_path, [good, missing, long], workers=1)]
    assert reasons == [
        None,
        "the command could not be started: No such file or directory: /no/such/program",
        f"the command could not be started: Argument list too long: {sys.executable}",
    ]


def test_an_arm_that_keeps_failing_gets_no_more_trials_and_the_others_go_on(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"if ffn == 'b': sys.exit(1)\n{SCORE}", seeds=3)
    found = launch(tmp_path, compared(plan), workers=1)
    assert [result["status"] for trial, result in found if trial.arm == "a"] == ["done"] * 9
    assert [result["status"] for trial, result in found if trial.arm == "b"] == ["failed"] * 3


def test_if_every_trial_fails_the_study_stops_and_says_why_and_where(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "sys.exit('by design')")
    with pytest.raises(WorkError, match=rf"every trial failed, .*code 1: by design; more is in .*{LOG}"):
        launch(tmp_path, plan.trials(RATES))


@pytest.mark.parametrize("reports", ["[]", "[10, 60]", "[40, 20, 100]", "[500]"])
def test_progress_adds_up_to_the_tokens_of_all_trials(tmp_path: Path, reports: str) -> None:
    body = f"""
with open(f'{{out}}/metrics.jsonl', 'w', buffering=1) as metrics:
    for tokens in {reports}:
        print(json.dumps({{'tokens': tokens}}), file=metrics)
    if ffn == 'a':
        print('{{"val_bpb": 1}}', file=metrics)
"""
    seen: list[int] = []
    trials = plan_of(tmp_path, body).trials(RATES)
    launch(tmp_path, trials, progress=seen.append)
    assert sum(seen) == sum(trial.tokens for trial in trials) and min(seen) >= 0


def test_progress_is_heard_while_a_program_runs(tmp_path: Path) -> None:
    """The program goes on only when the test has heard of it."""
    body = f"""
open(f'{{out}}/metrics.jsonl', 'w').write('{{"tokens": 30}}\\n')
while not os.path.exists({str(tmp_path / "heard")!r}):
    time.sleep(0.01)
open(f'{{out}}/metrics.jsonl', 'a').write('{{"val_bpb": 1}}\\n')
"""
    seen: list[int] = []

    def progress(tokens: int) -> None:
        seen.append(tokens)
        (tmp_path / "heard").touch()

    alone(tmp_path, body, progress=progress)
    assert seen == [30, 70]


def test_a_trial_begins_in_an_emptied_folder(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"assert sorted(os.listdir(out)) == ['{LOG}']\n{SCORE}")
    first, second = plan.trials(RATES)[:2]
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "dear").touch()
    old = trial_folder(tmp_path, first)
    (old / "checkpoints").mkdir(parents=True)
    (old / "metrics.jsonl").write_text('{"val_bpb": 0.1}\n')
    trial_folder(tmp_path, second).symlink_to(kept)
    assert [result["status"] for _, result in launch(tmp_path, [first, second])] == ["done", "done"]
    assert (kept / "dear").exists()


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
