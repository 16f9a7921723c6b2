"""Every check of one part. Nothing that it does stops the others: what it raises is the finding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from paribus import registry
from paribus.verify.case import Case, Form, Setting
from paribus.verify.cases import SLOTS
from paribus.verify.comparison import Expected, judge


@dataclass(frozen=True, kw_only=True)
class Check:
    """What one comparison found: `error` is to be at most `bound`. `reason` says why it could not be made."""

    slot: str
    part: str
    case: str
    form: str
    kind: str
    error: float
    bound: float
    reason: str | None = None

    @property
    def what(self) -> str:
        """Case, form and kind in one phrase."""
        return ": ".join(filter(None, (self.case, self.form, self.kind)))

    @property
    def passed(self) -> bool:
        """False for an error that is not a number too."""
        return self.reason is None and self.error <= self.bound

    @property
    def share(self) -> float:
        """The error as a share of its bound; infinite where there is no error to tell."""
        return self.error / self.bound if math.isfinite(self.error) and self.reason is None else math.inf


def has_oracle(card: registry.Card) -> bool:
    """Whether there is anything to hold this part to; there is not for a user's own."""
    ours = card.factory.__module__.startswith("paribus.")
    return ours and card.slot in SLOTS and card.name in SLOTS[card.slot].oracles


def check(card: registry.Card, setting: Setting) -> list[Check]:
    """Every check of a part that has an oracle."""
    found: list[Check] = []
    try:
        for index, case in enumerate(SLOTS[card.slot].cases(card, setting)):
            compiled = setting.compiled and index == 0  # the part's plain use alone: it takes seconds
            found += _of_case(card, case, setting, compiled=compiled)
    except Exception as error:  # noqa: BLE001 - whatever a broken installation raises is the finding
        found.append(_refused(card, "", "", "is built", error))
    return found


def _of_case(card: registry.Card, case: Case, setting: Setting, *, compiled: bool) -> Iterator[Check]:
    expected = Expected(case, setting)
    forms = dict(case.forms)
    if compiled:
        forms["compiled"] = _compiled(next(iter(case.forms.values())))
    for form, function in forms.items():
        try:
            findings = judge(function, case, expected, setting)
        except Exception as error:  # noqa: BLE001 - as above
            yield _refused(card, case.name, form, "runs", error)
            continue
        for each in findings:
            yield Check(
                slot=card.slot,
                part=card.name,
                case=case.name,
                form=form,
                kind=each.kind,
                error=each.error,
                bound=each.bound,
            )


def _refused(card: registry.Card, case: str, form: str, kind: str, error: Exception) -> Check:
    first = (str(error).strip().splitlines() or [""])[0]
    reason = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return Check(
        slot=card.slot,
        part=card.name,
        case=case,
        form=form,
        kind=kind,
        error=math.nan,
        bound=0.0,
        reason=reason,
    )


def _compiled(form: Form) -> Form:
    torch._dynamo.reset()
    return torch.compile(form, fullgraph=True)
