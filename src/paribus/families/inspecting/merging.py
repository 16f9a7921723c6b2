"""One list of claims from two: what config and family say, and what the tensors prove; where they differ is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from paribus.families.inspecting.claims import Claim, Evidence


def merged(said: Sequence[Claim], proven: Sequence[Claim], warnings: list[str]) -> list[Claim]:
    """Claims of both, with the evidence of both where they agree.

    Where they differ the tensors are believed, for they are the model, and a sentence is added to `warnings`.
    """
    told, shown = _by_key(said), _by_key(proven)
    found: list[Claim] = []
    for key in dict.fromkeys([*told, *shown]):
        config, tensors = told.get(key, []), shown.get(key, [])
        if not tensors or not config:
            found += config or tensors
        elif all(claim.sure == "unknown" for claim in config):
            found += tensors
        elif _same(config, tensors):
            longer, other = (config, tensors) if len(config) >= len(tensors) else (tensors, config)
            found += [_joined(claim, other) for claim in longer]
        else:
            warnings.append(_contradiction(config, tensors))
            both = (*_evidence(tensors), *_evidence(config))
            found += [dataclasses.replace(claim, evidence=both) for claim in tensors]
    return found


def filled_up(claims: Sequence[Claim], more: Sequence[Claim]) -> list[Claim]:
    """The claims, and of `more` those about what nothing is known of yet."""
    there = {claim.key for claim in claims if claim.sure != "unknown"}
    kept = [
        claim for claim in claims if claim.sure != "unknown" or claim.key not in {each.key for each in more}
    ]
    return kept + [claim for claim in more if claim.key not in there]


def _by_key(claims: Iterable[Claim]) -> dict[tuple[str, str], list[Claim]]:
    found: dict[tuple[str, str], list[Claim]] = {}
    for claim in claims:
        found.setdefault(claim.key, []).append(claim)
    return found


def _same(a: list[Claim], b: list[Claim]) -> bool:
    """Whether two sets of claims can both be true; one that names no layers goes for any."""
    if len(a) > 1 and len(b) > 1:
        return {claim.layers: claim.value for claim in a} == {claim.layers: claim.value for claim in b}
    return bool({claim.value for claim in a} & {claim.value for claim in b})


def _joined(claim: Claim, others: list[Claim]) -> Claim:
    """A claim with the evidence of others that say the same; what they do not say they do not prove."""
    same = [each for each in others if each.value == claim.value]
    if not same:
        return claim
    return dataclasses.replace(claim, sure="tensors", evidence=(*claim.evidence, *_evidence(same)))


def _evidence(claims: list[Claim]) -> tuple[Evidence, ...]:
    """The evidence of all of them, each piece once; values may be lists, so they are told apart by how they print."""
    return tuple({repr(each): each for claim in claims for each in claim.evidence}.values())


def _contradiction(config: list[Claim], tensors: list[Claim]) -> str:
    section, name = config[0].key
    says = ", ".join(f"{each.what} {each.value!r}" for each in config[0].evidence[:2])
    proof = ", ".join(f"{each.what} {each.value or ''}".strip() for each in tensors[0].evidence[:2])
    return (
        f"{section} {name.replace('_', ' ')}: {_values(config)} by the config ({says}), {_values(tensors)} by the "
        f"tensors ({proof})"
    )


def _values(claims: list[Claim]) -> str:
    return " and ".join(str(claim.value) for claim in claims)
