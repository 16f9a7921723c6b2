"""What a report says of a command's study is what is known of it, and the rest is said to be unknown."""

import json
import sys

from paribus.study.command import results as command_results
from paribus.study.command.plan import CommandPlan, make_command_plan
from paribus.study.engine import Ran

COMMAND = f"{sys.executable} t.py {{ffn}} {{lr}} {{seed}} {{out}} 'two words'"


def plan_of(command: str = COMMAND, tokens: int | None = None) -> CommandPlan:
    vary = {"ffn": ("relu", "swiglu")}
    return make_command_plan(command=command, vary=vary, rates=(1e-3, 2e-3, 4e-3), seeds=4, tokens=tokens)[0]


def test_the_question_names_what_is_varied() -> None:
    assert command_results.question(plan_of()) == (
        "Which ffn is better on the command's own data, everything else equal?"
    )


def test_an_arm_is_described_by_its_values_and_nothing_is_made_up() -> None:
    plan = plan_of()
    row = command_results.describe_arm(plan, plan.arm("swiglu"))
    assert (row["name"], row["parts"], row["overrides"]) == ("swiglu", {"ffn": "swiglu"}, {"ffn": "swiglu"})
    unknown = ("d_ff", "slot_params", "slot_mismatch", "params", "flops_per_token", "tokens")
    assert all(row[key] is None for key in unknown)


def test_parameters_are_known_where_all_trials_of_the_arm_report_the_same() -> None:
    plan = plan_of(tokens=1000)
    relu = [trial for trial in plan.trials(plan.rates) if trial.arm == "relu"]
    results = {trial.key: {"status": "done", "params": 55_584} for trial in relu[:5]}
    row = command_results.describe_arm(plan, plan.arm("relu"), results)
    assert (row["params"], row["tokens"]) == (55_584, 1000)
    assert command_results.describe_arm(plan, plan.arm("swiglu"), results)["params"] is None
    results[relu[5].key] = {"status": "done", "params": 1}
    assert command_results.describe_arm(plan, plan.arm("relu"), results)["params"] is None


def _ran(plan: CommandPlan) -> Ran:
    return Ran(rates=plan.rates, seeds=plan.seeds)


def test_the_command_and_the_tokens_are_among_what_was_held_equal() -> None:
    plan = plan_of(f"{COMMAND} {{tokens}}", tokens=12_345)
    held = "\n".join(command_results.held_equal(plan, _ran(plan)))
    assert f"but for {{ffn}}: {sys.executable} t.py {{ffn}} {{lr}} {{seed}} {{out}} 'two words'" in held
    assert "the same 4, 0 to 3" in held and "12,345 tokens" in held
    assert "tokens" not in "\n".join(command_results.held_equal(plan_of(), _ran(plan_of())))


def test_a_study_without_a_handicap_says_what_that_leaves_open() -> None:
    without = "\n".join(command_results.not_controlled(plan_of()))
    with_it = "\n".join(command_results.not_controlled(plan_of(f"{COMMAND} {{tokens}}", tokens=1000)))
    assert "Handicap: none" in without and "Handicap" not in with_it
    for word in ("Size:", "Pairs:", "Held-out text:", "Schedule:", "Code:", "Placebo:"):
        assert word in without and word in with_it


def test_training_is_plain_data_with_the_seeds_of_the_placebo() -> None:
    plan = plan_of()
    facts = command_results.training(plan, Ran(rates=(1e-3, 2e-3), seeds=plan.seeds))
    assert json.loads(json.dumps(facts)) == facts
    assert facts["placebo_seeds"] == [1_000_003, 1_000_004, 1_000_005, 1_000_006]
    assert facts["learning_rates"] == [1e-3, 2e-3] and facts["tokens"] is None
