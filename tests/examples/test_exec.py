"""The examples of a study around a command run as their README says, on one core in seconds."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from paribus.study.command.launch import CommandLauncher
from paribus.study.command.plan import CommandPlan, make_command_plan, read_vary
from paribus.study.folder import LEDGER, hold
from paribus.study.ledger import Ledger

ROOT = Path(__file__).parents[2]
README = ROOT / "examples" / "exec" / "README.md"


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `python` is the one that runs these tests."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


def documented() -> list[list[str]]:
    """The arguments of every study in the README."""
    blocks = re.findall(r"```console\n\$ paribus study (.*?)```", README.read_text(), flags=re.DOTALL)
    return [shlex.split(block.replace("\\\n", " ")) for block in blocks]


def planned(arguments: list[str], **changes: Any) -> tuple[CommandPlan, tuple[str, ...]]:
    """The plan of options as they stand in the README."""
    words = [word for word in arguments if not word.startswith("tokens=")]
    tokens = [int(word.removeprefix("tokens=")) for word in arguments if word.startswith("tokens=")]
    options: dict[str, list[str]] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        options.setdefault(name, []).append(value)
    request = {
        "command": options["--exec"][0],
        "vary": read_vary(options["--vary"]),
        "rates": [float(rate) for rate in options["--rates"][0].split(",")],
        "seeds": int(options["--seeds"][0]),
        "tokens": tokens[0] if tokens else None,
    }
    return make_command_plan(**request | changes)


def results_of(plan: CommandPlan, folder: Path, trials: int | None = None) -> dict[str, dict[str, Any]]:
    """Run the first so many trials of the plan, of those that are missing in the folder."""
    with (
        hold(folder) as lock,
        Ledger(folder / LEDGER, plan_sha256=plan.sha256, plan=plan.to_dict()) as ledger,
        CommandLauncher(workers=2, folder=folder, lock=lock, metric=plan.metric) as launcher,
    ):
        known = ledger.results()
        missing = [trial for trial in plan.trials(plan.rates)[:trials] if trial.key not in known]
        for trial, result in launcher.run(missing, progress=lambda _: None):
            ledger.record(trial.key, arm=trial.arm, rate=trial.rate, seed=trial.seed, result=result)
        return ledger.results()


def test_the_readme_has_a_study_of_each_program() -> None:
    programs = [re.findall(r"examples/exec/\w+\.py", arguments[1]) for arguments in documented()]
    assert programs == [["examples/exec/plain_pytorch.py"], ["examples/exec/nanogpt_style.py"]]


@pytest.mark.parametrize(
    ("number", "arms", "noted"),
    [
        (0, ["relu", "swiglu", "placebo", "handicap"], False),
        (1, ["relu, none", "relu, rms", "gelu, none", "gelu, rms", "placebo"], True),
    ],
)
def test_each_study_makes_the_arms_that_the_readme_speaks_of(
    number: int, arms: list[str], noted: bool
) -> None:
    plan, notes = planned(documented()[number])
    assert [arm.name for arm in plan.arms] == arms
    assert ("handicap" in " ".join(notes)) == noted


@pytest.mark.parametrize("number", [0, 1])
def test_a_trial_of_each_program_scores(number: int, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"tokens": 20_000} if number == 0 else {}
    plan, _ = planned(documented()[number], **changes)
    (result,) = results_of(plan, tmp_path, trials=1).values()
    assert result["status"] == "done", result["reason"]
    assert 2 < result["val_bpb"] < 8
    if number == 0:  # this one reports all that a study can use
        assert result["params"] > 10_000 and result["tokens_per_second"] > 0
        assert result["tokens"] == result["curve"]["tokens"][-1] == 19 * 1024
        assert len(result["curve"]["seconds"]) == len(result["curve"]["train_bpb"]) == 2


def test_gated_and_plain_layers_of_the_plain_program_have_equal_parameters() -> None:
    spec = importlib.util.spec_from_file_location("plain_pytorch", ROOT / "examples/exec/plain_pytorch.py")
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    models = [program.Model(ffn, d=48, layers=1, heads=2, length=8) for ffn in program.ACTIVATIONS]
    assert len({sum(p.numel() for p in model.parameters()) for model in models}) == 1 < len(models)


def test_the_nanogpt_style_program_refuses_a_setting_it_does_not_know() -> None:
    command = [sys.executable, "examples/exec/nanogpt_style.py", "--activatoin=gelu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "unknown setting '--activatoin=gelu'" in done.stderr


@pytest.mark.slow
def test_a_whole_study_of_the_plain_program_ends_with_sound_controls(tmp_path: Path) -> None:
    """What its arms are worth is not asked: no ranking of parts is baked into a test."""
    from paribus.study.engine import losses
    from paribus.study.verdicts.verdict import judge

    plan, _ = planned(documented()[0])
    tables = losses(plan, plan.rates, results_of(plan, tmp_path))  # type: ignore[arg-type]
    judged = judge(tables, rates=plan.rates, baseline=plan.baseline, controls=plan.controls)
    assert judged.controls["placebo"].ok is not False
    assert judged.controls["handicap"].ok is True
