"""What results.json and a plan must look like to be read at all; all else in them may be as it likes.

Readers rely on these names and types and on nothing more, so studies of older and newer versions stay
readable. A report is written from stricter rules (`report.check`).
"""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from paribus.errors import RequestError

Verdict = Literal[
    "baseline", "better", "worse", "same", "cannot tell", "depends on initialisation", "diverged"
]


class _Loose(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", strict=True)


class _Difference(_Loose):
    mean: float
    ci95: list[float] = pydantic.Field(min_length=2, max_length=2)


class _Row(_Loose):
    """An arm or a control."""

    name: str
    verdict: Verdict
    mean: float | None = None
    lr: float | None = None
    difference: _Difference | None = None
    reason: str | None = None

    @pydantic.field_validator("difference", mode="before")
    @classmethod
    def _whole(cls, difference: Any) -> Any:
        """A difference with an unknown end (it was infinite) is none."""
        if isinstance(difference, dict):
            ends = difference.get("ci95")
            if difference.get("mean") is None or ends is None or (isinstance(ends, list) and None in ends):
                return None
        return difference


class _Control(_Row):
    ok: bool | None = None


class _Trial(_Loose):
    arm: str
    seed: int
    lr: float | None
    status: str


class _Halving(_Loose):
    seeds: int | float
    minutes: float


class _Results(_Loose):
    study: str
    baseline: str
    arms: list[_Row] = pydantic.Field(min_length=1)
    trials: list[_Trial]
    metric: str = "val_bpb"
    kind: str | None = None
    controls: list[_Control] = []
    data: dict[str, Any] = {}
    warnings: list[str] = []
    answer: str | None = None
    command: str | None = None
    created: str | None = None
    environment: dict[str, Any] | None = None
    smallest_detectable_difference: float | None = None
    to_halve: _Halving | None = None


class _PlanArm(_Loose):
    name: str
    control: bool = False
    model: dict[str, Any] | None = None
    train: dict[str, Any] | None = None
    values: dict[str, Any] | None = None  # of an arm of somebody else's program


class _Plan(_Loose):
    arms: list[_PlanArm] = pydantic.Field(min_length=1)
    rates: list[float] | None = None
    seeds: list[int] | None = None
    schemes: list[str] | None = None
    study: str | None = None  # the slot, or what else was varied; formerly `slot`
    slot: str | None = None
    kind: str | None = None
    baseline: str | None = None
    train: dict[str, Any] | None = None
    data: dict[str, Any] = {}
    code: dict[str, Any] | None = None


def check_results(document: Any) -> dict[str, Any]:
    """`document` with what may be missing filled in; raises `RequestError` where it is no results.json."""
    return _checked(_Results, document, "results.json")


def check_plan(document: Any) -> dict[str, Any]:
    """`document` with what may be missing filled in; raises `RequestError` where it is no plan."""
    return _checked(_Plan, document, "the plan")


def _checked(model: type[_Loose], document: Any, what: str) -> dict[str, Any]:
    try:
        return model.model_validate(document).model_dump()
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(word) for word in first["loc"])
        raise RequestError(
            f"{what} is not what a study writes ({place + ': ' if place else ''}{first['msg'].lower()})"
        ) from None
