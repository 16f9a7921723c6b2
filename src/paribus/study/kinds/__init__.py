"""What a kind of study adds to the verdicts: sections of `results.json` made of what its trials measured.

One file a kind; each takes the trials as they are and judges nothing that `verdict` has judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paribus.study.engine import Ran, Results
from paribus.study.kinds.length import length_section
from paribus.study.kinds.repetition import repetition_section
from paribus.study.kinds.stability import stability_section
from paribus.study.kinds.tokenizers import tokenizers_section
from paribus.study.plan import Plan

_SECTIONS = {
    "position": ("length", length_section),
    "depth": ("stability", stability_section),
    "repetition": ("repetition", repetition_section),
    "tokenizer": ("tokenizers", tokenizers_section),
}


def sections(plan: Plan, ran: Ran, results: Results, arms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The section of the plan's kind under its name; nothing for a plain comparison."""
    if plan.kind not in _SECTIONS:
        return {}
    name, make = _SECTIONS[plan.kind]
    section = make(plan, ran, results, arms)
    return {} if section is None else {name: section}
