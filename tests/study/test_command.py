"""A command becomes a plan: arms, controls, arguments; what cannot carry a study is refused in one sentence."""

import dataclasses
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.study.command.plan import (
    OWN_DATA,
    CommandPlan,
    CommandTrial,
    make_command_plan,
    read_vary,
)

PYTHON = shlex.quote(sys.executable)
COMMAND = f"{PYTHON} train.py --ffn {{ffn}} --lr {{lr}} --seed {{seed}} --out {{out}}"
RATES = (1e-3, 2e-3, 4e-3)
#: Values that a shell, a formatter or a careless split would take apart.
HOSTILE = (
    "two words",
    'it\'s "quoted"',
    "; rm -rf ~",
    "$(touch owned) `touch owned` $HOME",
    "{lr} {seed} {{out}} {nobody}",
    '{"json": {"lr": [1, 2]}}',
    "first line\nsecond line\ttab",
    "größer, 大 🙂",
    "--out=/tmp/elsewhere",
    "a,b",
    "*.py \\ \\n",
    "",
)


def plan_of(
    command: str = COMMAND, *, vary: Any = None, seeds: int = 2, **request: Any
) -> tuple[CommandPlan, tuple[str, ...]]:
    return make_command_plan(
        command=command, vary=vary or {"ffn": ("relu", "swiglu")}, rates=RATES, seeds=seeds, **request
    )


def last_word(command: str, value: str, **request: Any) -> str:
    """What the last argument of the first trial is when {ffn} has this value."""
    plan, _ = plan_of(command, vary={"ffn": (value, "other")}, **request)
    return plan.trials(RATES)[0].arguments(Path("/there"))[-1]


def test_every_trial_gets_its_own_numbers_and_folder() -> None:
    plan, _ = plan_of()
    trial = plan.trial(plan.arm("swiglu"), 2e-3, 1)
    assert trial.arguments(Path("/a folder/x")) == [
        *(sys.executable, "train.py", "--ffn", "swiglu", "--lr", "0.002"),
        *("--seed", "1", "--out", "/a folder/x"),
    ]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_one_argument_and_stays_as_it_is(value: str) -> None:
    plan, _ = plan_of(vary={"ffn": (value, "other")})
    arguments = plan.trials(RATES)[0].arguments(Path("/there"))
    assert arguments == [sys.executable, "train.py", "--ffn", value, *arguments[4:]]
    assert arguments[4:] == ["--lr", "0.001", "--seed", "0", "--out", "/there"]


@pytest.mark.parametrize(
    ("word", "becomes"),
    [
        ("--ffn={ffn}", "--ffn=x y"),
        ("{ffn}{ffn}-{lr}", "x yx y-0.001"),
        ("{{lr}}", "{lr}"),
        ('\'{"a": {"b": {lr}}}\'', '{"a": {"b": 0.001}}'),
        ("'{} { lr } {0} {-x}'", "{} { lr } {0} {-x}"),
    ],
)
def test_placeholders_may_stand_anywhere_and_other_braces_stand_for_themselves(
    word: str, becomes: str
) -> None:
    assert last_word(f"{COMMAND} {word}", "x y") == becomes


@pytest.mark.parametrize(
    ("command", "request_", "said"),
    [
        ("", {}, "the command is empty"),
        (f"{COMMAND} \0", {}, "the command has a NUL character"),
        (f"{COMMAND} 'open", {}, "cannot be split into arguments: no closing quotation"),
        ("no-such-program {ffn} {lr} {seed} {out}", {}, "'no-such-program', which is no program here"),
        (
            f"{COMMAND} {{fnf}}",
            {},
            r"\{fnf\}, which nothing fills in; did you mean ffn\? \(write \{\{fnf\}\} for",
        ),
        (
            COMMAND,
            {"vary": {"ffn": ("a", "b"), "norm": ("c",)}},
            r"'norm' is varied and the command has no \{norm\}",
        ),
        (COMMAND, {"vary": {"ffn": ("a", "b"), "lr": ("1",)}}, r"\{lr\} is filled in by the study"),
        (COMMAND.replace("{lr}", "1e-3"), {}, r"the command has no \{lr\}: every arm runs at every rate"),
        (COMMAND.replace("{seed}", "1"), {}, r"the command has no \{seed\}: chance is measured over seeds"),
        (
            COMMAND.replace("{out}", "x"),
            {},
            r"the command has no \{out\}: the program writes \{out\}/metrics",
        ),
        (f"{COMMAND} {{tokens}}", {}, r"has \{tokens\} and nobody said how many"),
        (f"{COMMAND} {{tokens}}", {"tokens": 0}, "training tokens is 0; it must be at least 2"),
        (f"{COMMAND} {{tokens}}", {"tokens": 9, "handicap": 1.0}, "the handicap is 1.0 of 9 tokens"),
        (COMMAND, {"vary": {"ffn": ("a",)}}, "fewer than two arms"),
        (COMMAND, {"vary": {"ffn": ("a", "b", "a")}}, "ffn is to be 'a' twice"),
        (COMMAND, {"vary": {"ffn": ("a", "b\0")}}, "cannot be an argument"),
        (COMMAND, {"vary": {"ffn": ("a", "\udcff")}}, "cannot be an argument: it is no UTF-8 text"),
        (COMMAND, {"vary": {"ffn": ("relu", "placebo")}}, "'placebo' is the name of a control"),
        (COMMAND, {"baseline": "rely"}, r"the baseline 'rely' is not among the arms; did you mean relu\?"),
        (COMMAND, {"seeds": 0}, "seeds is 0"),
    ],
)
def test_a_command_that_cannot_carry_a_study_is_refused(
    command: str, request_: dict[str, Any], said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        plan_of(command, **request_)


@pytest.mark.parametrize("rates", [(1e-3, 2e-3), (2e-3, 1e-3, 4e-3), (1e-3, 2e-3, 5e-3), (0.0, 1.0, 2.0)])
def test_rates_must_make_a_grid(rates: tuple[float, ...]) -> None:
    with pytest.raises(RequestError, match="rates must be"):
        make_command_plan(command=COMMAND, vary={"ffn": ("a", "b")}, rates=rates, seeds=1)


def test_a_grid_of_keys_gives_an_arm_for_every_combination_and_the_first_is_the_baseline() -> None:
    vary = {"ffn": ("relu", "swiglu"), "norm": ("layernorm", "rmsnorm")}
    plan, _ = plan_of(f"{COMMAND} {{norm}}", vary=vary)
    assert [arm.name for arm in plan.arms] == [
        *("relu, layernorm", "relu, rmsnorm", "swiglu, layernorm", "swiglu, rmsnorm", "placebo"),
    ]
    assert (plan.baseline, plan.slot) == ("relu, layernorm", "ffn+norm")
    assert plan.arm("swiglu, rmsnorm").values == {"ffn": "swiglu", "norm": "rmsnorm"}


def test_arms_of_different_values_never_share_a_name() -> None:
    values = ("a", "b", "a, b", '"a"', "a,", ", b", " a", "", '"', "a\n", "a\\n")
    plan, _ = plan_of(f"{COMMAND} {{norm}}", vary={"ffn": values, "norm": values})
    names = [arm.name for arm in plan.arms]
    assert len(set(names)) == len(names) == len(values) ** 2 + 1
    assert all(name.isprintable() for name in names)


def test_the_placebo_is_the_named_baseline_from_seeds_that_no_arm_has() -> None:
    plan, _ = plan_of(baseline="swiglu", base_seed=7)
    placebo = plan.trial(plan.arm("placebo"), 1e-3, 7)
    assert placebo.arguments(Path("x"))[2:8] == ["--ffn", "swiglu", "--lr", "0.001", "--seed", "1000010"]
    assert placebo.seed == 7  # the block that it stands in
    assert plan.controls == ("placebo",)


def test_the_handicap_is_the_baseline_on_fewer_tokens() -> None:
    plan, notes = plan_of(f"{COMMAND} {{tokens}}", tokens=1000)
    last = {trial.arm: trial.arguments(Path("x"))[-1] for trial in plan.trials(RATES)}
    assert last == {"relu": "1000", "swiglu": "1000", "placebo": "1000", "handicap": "750"}
    assert plan.controls == ("placebo", "handicap") and notes == ()


@pytest.mark.parametrize("tokens", [None, 1000])
def test_a_command_without_tokens_has_no_handicap_and_says_so(tokens: int | None) -> None:
    plan, notes = plan_of(tokens=tokens)
    assert plan.controls == ("placebo",)
    assert notes == ("there is no handicap control: the command has no {tokens} that could be made fewer",)
    assert {trial.tokens for trial in plan.trials(RATES)} == {tokens or 1}


def test_what_looks_like_a_shell_is_noted() -> None:
    _, notes = plan_of(f"{COMMAND} | tee log")
    assert "no shell runs the command, so the program is given '|' as an argument" in notes


def test_trials_come_whole_seeds_first_and_no_two_have_one_key() -> None:
    plan, _ = plan_of()
    trials = plan.trials(RATES)
    assert [(trial.seed, trial.rate, trial.arm) for trial in trials] == [
        (seed, rate, arm) for seed in (0, 1) for rate in RATES for arm in ("relu", "swiglu", "placebo")
    ]
    assert plan.trials(RATES[:1], [1]) == [
        trial for trial in trials if trial.seed == 1 and trial.rate == 1e-3
    ]
    assert len({trial.key for trial in trials}) == len(trials)
    assert len({plan.run_id(trial) for trial in trials}) == len(trials)


def test_a_trial_survives_json() -> None:
    plan, _ = plan_of(vary={"ffn": HOSTILE})
    for trial in plan.trials(RATES, [0]):
        again = CommandTrial.from_json(trial.to_json())
        assert again == trial and again.key == trial.key


def test_the_plan_has_a_hash_of_all_that_a_result_depends_on() -> None:
    plan, _ = plan_of()
    assert plan_of()[0].sha256 == plan.sha256
    others = [
        plan_of(f"{COMMAND} --more")[0],
        plan_of(seeds=3)[0],
        plan_of(metric="val_loss")[0],
        plan_of(threads=2)[0],
        plan_of(data="mine")[0],
        plan_of(baseline="swiglu")[0],
        plan_of(margin=0.1)[0],
    ]
    assert len({plan.sha256, *(other.sha256 for other in others)}) == 8
    assert json.loads(json.dumps(plan.to_dict()))["data"] == {"name": OWN_DATA}


def test_looks_are_planned_where_the_study_goes_on_until_it_is_resolved() -> None:
    plan, _ = plan_of(until_resolved=True)
    assert [look.seeds for look in plan.looks] == [4, 8, 16] and len(plan.seeds) == 16
    assert [dataclasses.astuple(look) for look in plan_of()[0].looks] == [(2, 0.05)]


def test_every_file_that_the_command_names_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train.py", "big.yaml", "relu.yaml", "bystander.py"):
        (tmp_path / name).write_text(name)
    command = f"{COMMAND} --base=big.yaml {{ffn}}.yaml missing.yaml {'x' * 5000}"
    plan, _ = plan_of(command)
    assert plan.code.keys() == {"paribus", sys.executable, "train.py", "big.yaml", "relu.yaml"}
    (tmp_path / "relu.yaml").write_text("changed")
    assert plan_of(command)[0].sha256 != plan.sha256


def test_the_option_vary_gives_keys_and_values() -> None:
    assert read_vary(["ffn=relu,swiglu", "beta=0.9\\,0.95,a=b"]) == {
        "ffn": ("relu", "swiglu"),
        "beta": ("0.9,0.95", "a=b"),
    }


@pytest.mark.parametrize(
    ("texts", "said"),
    [(["ffn"], "--vary is KEY="), (["f f=a"], "--vary is KEY="), (["a=1", "a=2"], "'a' twice")],
)
def test_a_vary_that_says_nothing_clear_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        read_vary(texts)
