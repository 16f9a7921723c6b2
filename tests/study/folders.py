"""Study folders as paribus leaves them: a ledger by the real writer, results.json by the published schema."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paribus.study.folder import LEDGER
from paribus.study.ledger import Ledger

from .conftest import outcome

SHA256 = "4a" * 32
RATES = (4e-2, 8e-2, 16e-2)
CURVE = {"tokens": [320.0, 640.0], "seconds": [0.5, 1.0], "train_bpb": [6.0, 5.0]}


def stored_plan(*, arms: Sequence[str] = ("relu", "swiglu"), seeds: int = 2, **more: Any) -> dict[str, Any]:
    """A plan as a ledger holds it."""
    train = {"tokens": 640, "batch_size": 4, "init_scheme": "fan_in"}
    rows = [
        {"name": name, "model": {"d_model": 12, "ffn": name}, "train": train, "control": name == "placebo"}
        for name in arms
    ]
    return {
        "study": "ffn",
        "kind": "compare",
        "arms": rows,
        "baseline": arms[0],
        "rates": list(RATES),
        "seeds": list(range(seeds)),
        "schemes": ["fan_in"],
        "train": train,
        "data": {"name": "text", "sha256": SHA256},
        "threads": 1,
        "code": {"paribus": "0.1.0", "torch": "2.0"},
    } | more


def key_of(arm: str, rate: float, seed: int) -> str:
    return f"{arm}-{rate}-{seed}".encode().hex().ljust(64, "0")


def result_of(number: int) -> dict[str, Any]:
    more = {"curve": CURVE, "probes": {"length": {"reach": number}}, "heldout_nats": [1.0, 2.0]}
    return outcome(2.5 + number / 100) | more


def trials_of(plan: Mapping[str, Any], trials: int | None = None) -> list[dict[str, Any]]:
    """What `Ledger.record` is given for the first `trials` of a plan, or for all of them."""
    places = [(arm["name"], rate, seed) for seed in plan["seeds"] for rate in RATES for arm in plan["arms"]]
    return [
        {"key": key_of(arm, rate, seed), "arm": arm, "rate": rate, "seed": seed, "result": result_of(number)}
        for number, (arm, rate, seed) in enumerate(places[:trials])
    ]


def record(ledger: Ledger, plan: Mapping[str, Any], *, trials: int | None = None) -> None:
    """Finish the first `trials` of a plan, or all of them."""
    for trial in trials_of(plan, trials):
        ledger.record(trial.pop("key"), **trial)


def write_unfinished(
    folder: Path, *, trials: int | None = None, plan: Mapping[str, Any] | None = None
) -> Path:
    """A study that was stopped in good order after some trials."""
    folder.mkdir(parents=True)
    plan = plan or stored_plan()
    with Ledger(folder / LEDGER, plan_sha256="a", plan=plan) as ledger:
        ledger.begin_session({"command": "paribus study ffn --out x", "began": "2026-01-02T03:04:05+00:00"})
        record(ledger, plan, trials=trials)
    return folder


_STUDY = """
import json, pathlib, sys
from paribus.study.ledger import Ledger
folder, plan, trials = sys.argv[1:]
ledger = Ledger(pathlib.Path(folder), plan_sha256="a", plan=json.loads(plan))
for trial in json.loads(trials):
    ledger.record(trial.pop("key"), **trial)
print("recorded", flush=True)
sys.stdin.read()
"""


@contextmanager
def running(folder: Path, *, trials: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has a study's ledger open after some trials, which then stand in the ledger's log only."""
    folder.mkdir(parents=True)
    plan = stored_plan()
    arguments = [str(folder / LEDGER), json.dumps(plan), json.dumps(trials_of(plan, trials))]
    with subprocess.Popen(
        [sys.executable, "-c", _STUDY, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"recorded\n"
        yield process


def write_killed(folder: Path, *, trials: int) -> Path:
    """A study whose process was killed."""
    with running(folder, trials=trials) as process:
        process.kill()
    return folder


def finished_results(
    *,
    verdicts: Mapping[str, str] | None = None,
    sha256: str | None = SHA256,
    baseline: str = "relu",
    control_holds: bool = True,
    **more: Any,
) -> dict[str, Any]:
    """A small results.json, with a placebo that holds or does not."""
    verdicts = verdicts or {"relu": "baseline", "swiglu": "better"}
    means = {"better": -0.14, "worse": 0.14, "cannot tell": 0.01}

    def row(name: str, verdict: str) -> dict[str, Any]:
        mean = means.get(verdict)
        difference = None if mean is None else {"mean": mean, "ci95": [mean - 0.05, mean + 0.05]}
        return {
            "name": name,
            "verdict": verdict,
            "mean": 2.5,
            "lr": 8e-2,
            "difference": difference,
            "reason": None,
        }

    placebo = row("placebo", "cannot tell" if control_holds else "worse")
    return {
        "paribus": "0.1.0",
        "study": "ffn",
        "metric": "val_bpb",
        "baseline": baseline,
        "matched": "params",
        "created": "2026-01-02T03:04:05+00:00",
        "answer": "On text, this is the answer.",
        "data": {"name": "text", "sha256": sha256},
        "arms": [row(name, verdict) for name, verdict in verdicts.items()],
        "controls": [placebo | {"ok": control_holds, "expected": "not different from the baseline"}],
        "trials": [
            {"arm": arm, "seed": seed, "lr": rate, "status": "done", "val_bpb": 2.5, "tokens": None}
            for seed in range(2)
            for rate in RATES
            for arm in verdicts
        ],
        "warnings": [],
        "smallest_detectable_difference": 0.05,
        "to_halve": {"seeds": 13, "minutes": 3.0},
        "environment": {"torch": "2.0"},
        "command": "paribus study ffn",
    } | more


def write_finished(folder: Path, *, ledger: bool = False, **results: Any) -> Path:
    """A study with results, and with the ledger they were made from if asked."""
    if ledger:
        write_unfinished(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(finished_results(**results)))
    return folder
