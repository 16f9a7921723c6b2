"""What `results.json` says of a study around a command, under the keys and in the words of `results`.

Paribus did not build the models and did not see the text, so most of what it knows of its own studies is
unknown here; it is said to be unknown, and not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paribus.study.command.plan import CommandArm, CommandPlan
from paribus.study.engine import Ran
from paribus.study.plan import HANDICAP

Results = Mapping[str, Mapping[str, Any]]  # by trial key


def question(plan: CommandPlan) -> str:
    """The heading of the report."""
    return f"Which {' and '.join(plan.varied)} is better on {plan.data['name']}, everything else equal?"


def describe_arm(plan: CommandPlan, arm: CommandArm, results: Results | None = None) -> dict[str, Any]:
    """What is known of an arm; `params` are known if its trials reported them, and all the same number."""
    reported = {
        result["params"]
        for trial in plan.trials(plan.rates)
        if trial.arm == arm.name
        if (result := (results or {}).get(trial.key)) and result.get("params") is not None
    }
    return {
        "name": arm.name,
        "parts": dict(arm.values),
        "overrides": dict(arm.values),
        "d_ff": None,
        "slot_params": None,
        "slot_mismatch": None,
        "params": reported.pop() if len(reported) == 1 else None,
        "flops_per_token": None,
        "tokens": arm.tokens,
    }


def held_equal(plan: CommandPlan, ran: Ran) -> list[str]:
    """What the study itself held equal; the rest is the program's affair."""
    keys = " and ".join(f"{{{key}}}" for key in plan.varied)
    tokens = plan.arm(plan.baseline).tokens
    return [
        f"The command, but for {keys}: {plan.command}",
        "The files that the command names: the same bytes, or the study would have stopped.",
        f"Learning rates: the same {len(ran.rates)} for every arm, each arm judged at its own optimum.",
        f"Seeds: every arm was given the same {len(ran.seeds)}, {ran.seeds[0]} to {ran.seeds[-1]}.",
        *([f"Training: every arm was told to train on {tokens:,} tokens."] if tokens is not None else []),
        f"Threads: every trial was told to use {plan.threads} (OMP_NUM_THREADS).",
        f"Score: the last {plan.metric} that a trial wrote, lower being better.",
    ]


def not_controlled(plan: CommandPlan) -> list[str]:
    """What the study cannot vouch for."""
    controls = ["Placebo: the baseline from other seeds, which is what chance does between unpaired runs."]
    if HANDICAP not in plan.controls:
        controls.append(
            "Handicap: none, so nothing in this study shows that a difference that is there would be found."
        )
    return [
        "Size: parameters and FLOPs were not matched; arms are of equal size only if the program makes them so.",
        "Pairs: whether arms of one seed share their first weights and their batches is up to the program.",
        "Held-out text: the program chose it and scored it, and paribus has not seen that none of it was trained on.",
        "Schedule: that a trial on fewer tokens completes its learning-rate schedule is up to the program.",
        "Code: the files that the command names are hashed; what they import, and the text they read, is not.",
        "Divergence: a trial diverged if the program said so or its score was not finite, and not otherwise.",
        *controls,
        f"Data: {plan.data['name']} only; scale, depth and optimiser are the program's.",
        "Seconds: trials ran side by side, so times are what each got while sharing the machine.",
    ]


def training(plan: CommandPlan, ran: Ran) -> dict[str, Any]:
    """How trials were trained, as far as the study knows."""
    baseline = plan.arm(plan.baseline)
    return {
        "objective": f"the program's own, scored by {plan.metric}",
        "command": plan.command,
        "tokens": baseline.tokens,
        "learning_rates": [float(rate) for rate in ran.rates],
        "seeds": list(ran.seeds),
        "placebo_seeds": [
            seed + arm.seed_offset for arm in plan.arms if arm.seed_offset for seed in ran.seeds
        ],
    }
