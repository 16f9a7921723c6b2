"""Commands run in their own groups and folders; whatever they do, the study gets a result and keeps the machine."""

import json
import signal
import sys
from pathlib import Path

import pytest

from paribus.errors import WorkError
from paribus.study.command.launch import LOG, trial_folder
from paribus.study.command.plan import CommandTrial

from .commands import RATES, SCORE, alone, beside_a_good_one, compared, launch, plan_of
from .test_command import HOSTILE


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
