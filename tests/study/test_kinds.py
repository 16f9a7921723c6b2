"""Sections of length, stability and repetition studies, from trials whose answer is known."""

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from paribus.cli.tables import verdict_table
from paribus.study import results
from paribus.study.engine import Ran
from paribus.study.kinds.stability import outcome as judged
from paribus.study.pages.answer import answer
from paribus.study.plan import Plan, Trial
from paribus.study.planning import make_plan
from paribus.study.settings import resolve
from paribus.text.data.audit.law import R_STAR, effective_tokens

from .conftest import TINY, outcome
from .test_results import DATA, SESSION

Give = Callable[[Trial], dict[str, Any] | None]


def _plan(study: str, *overrides: str, size: str = "quick", **options: Any) -> Plan:
    settings = resolve(size, options, [*TINY, *overrides], study=study)
    return make_plan(settings, data={**DATA, "unigram_bpb": 4.0}, study=study)


def _build(plan: Plan, give: Give) -> dict[str, Any]:
    found = {trial.key: give(trial) for trial in plan.trials(plan.rates)}
    known = {key: result for key, result in found.items() if result is not None}
    return results.build(plan, Ran(rates=plan.rates, seeds=plan.seeds), known, sessions=[SESSION])


def _valley(trial: Trial, extra: float = 0.0) -> float:
    return 2.0 + 0.1 * math.log(trial.rate / 8e-2) ** 2 + 0.001 * trial.seed + extra


def _length(by_context: dict[int, float | None]) -> dict[str, Any]:
    def read(bpb: float | None) -> dict[str, float] | None:
        return None if bpb is None else {"nats": 1.0, "bpb": bpb}

    return {
        "length": {
            "start": {},
            "end": {
                "train_length": 16,
                "contexts": list(by_context),
                "scored_bytes": 512,
                "plain": {str(context): read(bpb) for context, bpb in by_context.items()},
                "window": {str(context): read(2.0) for context in by_context},
                "why_not": {},
                "by_position": {"plain": {"context": 64, "buckets": [{"position": 3.0, "bpb": 2.5}]}},
            },
        }
    }


def test_an_arm_reaches_as_far_as_its_loss_stays_within_five_percent() -> None:
    plan = _plan("position", "seeds=4")
    reads = {
        "rope": {16: 2.0, 32: 2.09, 64: 2.2, 128: 2.0},
        "none": {16: 2.0, 32: 2.0, 64: 2.0, 128: 2.099},
        "alibi": {16: 2.0, 32: None, 64: None, 128: None},
    }

    def give(trial: Trial) -> dict[str, Any]:
        name = trial.arm if trial.arm in reads else "rope"
        return outcome(_valley(trial)) | {"probes": _length(reads[name])}

    section = _build(plan, give)["length"]
    reach = {row["name"]: row["reach"] for row in section["arms"]}
    assert reach == {
        "rope": {"plain": 32, "window": 128},  # what is good again further on does not count
        "none": {"plain": 128, "window": 128},
        "alibi": {"plain": 16, "window": 128},
    }
    rope = section["arms"][0]
    assert rope["plain"]["32"]["mean"] == pytest.approx(2.09)
    assert rope["by_position"] == [{"position": 3.0, "bpb": 2.5}]
    assert section["train_length"] == 16 and section["contexts"] == [16, 32, 64, 128]


def test_a_length_that_some_seed_could_not_read_has_no_mean_of_the_others() -> None:
    plan = _plan("position", "seeds=4")

    def give(trial: Trial) -> dict[str, Any]:
        read = _length({16: 2.0, 32: None if trial.seed == 2 else 2.01})
        read["length"]["end"]["why_not"] = {"plain": {"32": "not finite"}} if trial.seed == 2 else {}
        return outcome(_valley(trial)) | {"probes": read}

    section = _build(plan, give)["length"]
    for row in section["arms"]:
        assert row["plain"]["16"]["mean"] == pytest.approx(2.0) and row["plain"]["32"] is None
        assert row["reach"]["plain"] == 16 and row["why_not"]["plain"] == {"32": "not finite"}


def test_stuck_is_no_better_than_the_frequencies_of_tokens() -> None:
    assert judged(outcome(3.99), 4.0) == "trained"
    assert judged(outcome(4.0), 4.0) == "stuck"
    assert judged(outcome(None, status="diverged"), 4.0) == "diverged"
    assert judged(outcome(9.0), None) == "trained"


def test_the_largest_stable_rate_is_the_highest_at_which_every_seed_trained() -> None:
    plan = _plan("depth", "seeds=2")
    low, middle, high = plan.rates

    def give(trial: Trial) -> dict[str, Any]:
        if trial.arm.startswith("post, num_layers=12") and trial.rate > low:
            return outcome(None, status="diverged") if trial.seed else outcome(4.5)
        return outcome(2.0) | {
            "probes": {
                "layers": {
                    "start": {"activation_rms": [1.0], "gradient_rms": [0.1]},
                    "end": {"activation_rms": [2.0], "gradient_rms": [0.2]},
                }
            }
        }

    section = _build(plan, give)["stability"]
    stable = {(row["placement"], row["depth"]): row["lr"] for row in section["largest_stable_rate"]}
    assert stable[("post", 12)] == low
    assert stable[("pre", 12)] == stable[("post", 2)] == high
    cell = next(c for c in section["cells"] if (c["placement"], c["depth"], c["lr"]) == ("post", 12, middle))
    assert (cell["trained"], cell["stuck"], cell["diverged"], cell["bpb"]) == (0, 1, 1, None)
    whens = {(row["placement"], row["depth"], row["when"]) for row in section["layers"]}
    assert ("pre", 2, "start") in whens and ("pre", 2, "end") in whens


def test_the_law_of_repetition_has_its_published_values() -> None:
    """D'/D at 2, 4, 8, 16 and 40 passes, and its limit of 16.39 times the different tokens."""
    for passes, share in {2: 0.984, 4: 0.931, 8: 0.828, 16: 0.661, 40: 0.379}.items():
        assert effective_tokens(1e6, passes) / 1e6 == pytest.approx(share, abs=5e-4)
    assert effective_tokens(1e6, 1e6) == pytest.approx(1 + R_STAR, rel=1e-3)
    assert effective_tokens(1e6, 1) == 1e6


def test_repetition_sets_the_measured_excess_beside_the_laws() -> None:
    plan = _plan("repetition", "seeds=4", "train.tokens=6400")

    def give(trial: Trial) -> dict[str, Any]:
        extra = {"handicap": 0.2, "passes=4": 0.03, "passes=16": 0.1}.get(trial.arm, 0.0)
        extra += 0.001 * ((trial.seed * 7 + len(trial.arm)) % 3)
        written = {
            "distinct": {"1": 0.5, "2": 0.9},
            "longest_copy": {"tokens": 12},
            "heldout": {"longest_copy": {"tokens": 9}},
        }
        return outcome(_valley(trial, extra)) | {"probes": {"generation": {"start": {}, "end": written}}}

    rows = _build(plan, give)["repetition"]["arms"]
    assert [row["passes"] for row in rows] == [1, 4, 16]
    assert rows[0]["excess"] is None and rows[0]["predicted_excess"] == 0
    assert rows[2]["excess"]["mean"] == pytest.approx(0.1, abs=0.01)
    slope = 0.2 / math.log(1 / 0.75)
    predicted = slope * math.log(6400 / effective_tokens(6400, 4))
    assert rows[1]["predicted_excess"] == pytest.approx(predicted, rel=0.02)
    assert rows[1]["distinct"]["2"] == 0.9 and rows[1]["longest_copy"] == 12


def test_a_comparison_has_no_section_of_its_own() -> None:
    built = _build(_plan("ffn", "seeds=4"), lambda trial: outcome(_valley(trial)))
    assert not {"length", "stability", "repetition"} & built.keys()


def test_an_unfinished_study_has_what_there_is() -> None:
    built = _build(_plan("position"), lambda trial: None)
    assert "length" not in built
    built = _build(_plan("depth"), lambda trial: None)
    assert all(row["lr"] is None for row in built["stability"]["largest_stable_rate"])


def test_a_study_without_verdicts_does_not_miss_them(capsys: pytest.CaptureFixture[str]) -> None:
    built = _build(_plan("depth", "seeds=2"), lambda trial: outcome(_valley(trial)))
    assert not any("No verdict" in warning for warning in built["warnings"])
    Console(width=80).print(verdict_table(built, "The answer."))
    shown = capsys.readouterr().out
    assert "largest rate at which every seed trained" in shown and "The answer." in shown
    assert "cannot tell" not in shown and "a verdict needs" not in shown


def test_a_control_that_fails_under_any_initial_scheme_has_failed() -> None:
    def shifted(trial: Trial) -> dict[str, Any]:
        off = 0.5 if (trial.arm, trial.train.init_scheme) == ("placebo", "normal_0.02") else 0.0
        noise = 0.001 * ((3 * trial.seed + len(trial.arm) * (trial.seed + 1)) % 7)
        return outcome(_valley(trial) + off + noise)

    built = _build(_plan("ffn", "seeds=4", "schemes=[fan_in, normal_0.02]"), shifted)
    placebo, _ = built["controls"]
    assert (placebo["ok"], placebo["verdict"]) == (False, "worse")
    assert placebo["difference"]["mean"] == pytest.approx(0.5, abs=0.01)
    assert answer(built).startswith("A control failed")


@pytest.mark.parametrize(
    ("minutes", "said"), [(1.0, "about 1 min."), (0.4, "about 24 s."), (45.0, "about 45 min.")]
)
def test_what_more_seeds_take_is_said_as_in_the_report(
    minutes: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = random.Random(0)
    built = _build(_plan("ffn", "seeds=4"), lambda trial: outcome(_valley(trial) + noisy.gauss(0, 0.01)))
    built["to_halve"] = {"seeds": 14, "minutes": minutes}
    Console(width=80).print(verdict_table(built, "The answer."))
    assert f"to halve it: 14 seeds, {said}" in " ".join(capsys.readouterr().out.split())


def test_the_interval_is_named_by_its_confidence(capsys: pytest.CaptureFixture[str]) -> None:
    built = _build(
        _plan("ffn", "seeds=4", "schemes=[fan_in, normal_0.02]"),
        lambda trial: outcome(_valley(trial) + 0.001 * (trial.seed % 3)),
    )
    Console(width=100).print(verdict_table(built, "The answer."))
    assert "97.5 % interval" in capsys.readouterr().out
