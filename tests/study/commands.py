"""Programs for studies around commands, and what runs them."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paribus.study.command.launch import CommandLauncher, trial_folder
from paribus.study.command.plan import CommandPlan, CommandTrial, make_command_plan
from paribus.study.folder import hold

RATES = (1e-3, 2e-3, 4e-3)
SCORE = "open(f'{out}/metrics.jsonl', 'w').write('{\"val_bpb\": 3.0}')"
#: What every program below begins with.
HEAD = "import json, os, signal, subprocess, sys, time\nffn, seed, out, tokens = sys.argv[1:5]\n"


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
