"""`paribus.diff`: what differs between two models, claim by claim."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from paribus.families.inspecting.claims import SECTIONS, Inspection
from paribus.families.inspecting.inspection import inspect

#: What a claim holds: its value by the layers it holds in (None: all); empty if it is not claimed.
Values = dict[tuple[int, ...] | None, Any]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A claim that two models do not share: what holds in `a` and what in `b`, by layers.

    `known` is false where one of them says nothing of it, so that they may be the same all the same.
    """

    section: str
    name: str
    a: Values
    b: Values
    known: bool


@dataclass(frozen=True, kw_only=True)
class Diff:
    """Two inspections and what differs between them; `same` are the sections in which nothing does."""

    a: Inspection
    b: Inspection
    differences: tuple[Difference, ...]
    same: tuple[str, ...]


def diff(a: str | os.PathLike[str], b: str | os.PathLike[str], *, context: int | None = None) -> Diff:
    """What differs between the checkpoints, or bare configs, at two paths; each is inspected.

    Costs of both are told for a `context` of so many tokens (default: the smaller of what `inspect` takes for each).
    Raises `RequestError` as `inspect` does.

    >>> paribus.diff("models/pythia-70m", "models/pythia-160m").differences
    """
    one, other = inspect(a, context=context), inspect(b, context=context)
    if one.context != other.context:
        return diff(a, b, context=min(one.context, other.context))
    keys = dict.fromkeys(claim.key for claim in (*one.claims, *other.claims))
    found = []
    for key in sorted(keys, key=lambda key: SECTIONS.index(key[0])):
        mine, theirs = one.values(*key), other.values(*key)
        if mine != theirs:
            known = _is_known(mine) and _is_known(theirs)
            found.append(Difference(section=key[0], name=key[1], a=mine, b=theirs, known=known))
    differing = {each.section for each in found}
    same = tuple(section for section in SECTIONS if section not in differing and _told(section, one, other))
    return Diff(a=one, b=other, differences=tuple(found), same=same)


def _is_known(values: Values) -> bool:
    return bool(values) and None not in values.values()


def _told(section: str, *inspections: Inspection) -> bool:
    """Whether all of them say something of the section: two unknowns need not be the same."""
    return all(
        any(claim.section == section and claim.sure != "unknown" for claim in each.claims)
        for each in inspections
    )
