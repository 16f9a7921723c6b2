from typing import Any

import pytest

from paribus.study.plan import Plan
from paribus.study.planning import make_plan
from paribus.study.published import published_section
from paribus.study.settings import resolve

DATA = {"name": "text", "sha256": "0" * 64}
ROWS = [{"name": name, "difference": None} for name in ("relu", "gelu", "swiglu", "mish")]


def _plan(**options: Any) -> Plan:
    return make_plan(resolve("default", options), data=DATA)


def test_the_seven_contrasts_of_the_paper_stand_beside_ours() -> None:
    plan = make_plan(resolve("paper", {}), data=DATA)
    rows = [{"name": arm.name, "difference": None} for arm in plan.arms if not arm.control]
    section = published_section(plan, rows)
    assert section is not None
    found = {row["name"]: row["mean"] for row in section["rows"]}
    assert found == pytest.approx(
        {"gelu": -0.014, "silu": -0.003, "glu": -0.015, "bilinear": -0.037, "geglu": -0.055, "swiglu": -0.053}
        | {"reglu": -0.044}
    )


def test_the_published_interval_is_welchs() -> None:
    """relu against swish: p = 0.35 by Welch's test on four runs each, so zero lies inside; swiglu's is clear."""
    section = published_section(
        _plan(arms=["relu", "silu", "swiglu"]), [{"name": n, "difference": None} for n in ("silu", "swiglu")]
    )
    assert section is not None
    silu, swiglu = section["rows"]
    assert silu["ci95"][0] < 0 < silu["ci95"][1]
    assert swiglu["ci95"] == pytest.approx([-0.068, -0.038], abs=1e-3)


def test_layers_outside_the_table_have_no_published_contrast() -> None:
    section = published_section(_plan(arms=["relu", "gelu", "swiglu", "mish"]), ROWS)
    assert section is not None and [row["name"] for row in section["rows"]] == ["gelu", "swiglu"]
    assert published_section(_plan(arms=["relu", "mish"]), [ROWS[0], ROWS[3]]) is None
    assert published_section(_plan(baseline="mish"), ROWS) is None


def test_other_questions_have_none() -> None:
    plan = make_plan(resolve("default", {}, study="norm"), data=DATA, study="norm")
    assert published_section(plan, ROWS) is None
