"""What is said of a model: claims, each with its evidence and how sure it is. Where they come from stands elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from paribus.families.keys import KeyRead

#: `tensors`: shapes prove it; `config`: a key says it; `family`: known of the model type; `unknown`: nothing says.
Sure = Literal["tensors", "config", "family", "unknown"]
#: Sections in the order in which they are told.
SECTIONS = (
    "model",
    "ffn",
    "norm",
    "placement",
    "position",
    "attention",
    "head",
    "tokenizer",
    "sizes",
)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a claim rests on: a key of the config with its value, a tensor with its shape, a file, a model type.

    `source` is `config` for a key that stands there, `default` for one that does not (`value` is then the family's),
    `tensor`, `family`, `file`, or `worked out` for what follows from other claims.
    """

    source: Literal["config", "default", "tensor", "family", "file", "worked out"]
    what: str
    value: Any = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing that is said of a model: `name` in a `section` is `value`, in `layers` (None: in all of them).

    A value is a word, a number or true or false; None if it is unknown, and the word "none" if there is none.
    """

    section: str
    name: str
    value: Any
    sure: Sure
    evidence: tuple[Evidence, ...] = ()
    layers: tuple[int, ...] | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.section, self.name


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A model as its config and its tensor headers describe it.

    `family` is the model type if `paribus.load` reads it, else None. `claims` stand in the order of the sections,
    `warnings` are a sentence each, `unread` the keys of the config that were not understood. Costs are told at a
    `context` of so many tokens.
    """

    path: str
    model_type: str | None
    family: str | None
    claims: tuple[Claim, ...]
    warnings: tuple[str, ...]
    unread: tuple[str, ...]
    context: int

    def values(self, section: str, name: str) -> dict[tuple[int, ...] | None, Any]:
        """What is claimed under a name, by the layers in which it holds."""
        return {claim.layers: claim.value for claim in self.claims if claim.key == (section, name)}

    def value(self, section: str, name: str) -> Any:
        """The one value under a name; None if it is unknown, is not claimed, or differs between layers."""
        found = list(self.values(section, name).values())
        return found[0] if len(found) == 1 else None


def unknown(section: str, name: str) -> Claim:
    """A claim that nothing is known."""
    return Claim(section=section, name=name, value=None, sure="unknown")


def keys_as_evidence(reads: Iterable[KeyRead]) -> tuple[Evidence, ...]:
    """Keys that were read, as evidence: those that stand there, or the defaults if none does."""
    seen = list(reads)
    given = tuple(Evidence(source="config", what=each.key, value=each.value) for each in seen if each.given)
    usual = tuple(
        Evidence(source="default", what=each.key, value=each.value) for each in seen if not each.given
    )
    return given or usual


def by_layer(
    section: str,
    name: str,
    values: Iterable[tuple[Any, tuple[int, ...]]],
    sure: Sure,
    evidence: tuple[Evidence, ...],
) -> list[Claim]:
    """Claims from values with their layers: one if all layers are alike, else one for each value."""
    layers_of: dict[Any, list[int]] = {}
    for value, layers in values:
        layers_of.setdefault(value, []).extend(layers)
    return [
        Claim(
            section=section,
            name=name,
            value=value,
            sure=sure,
            evidence=evidence,
            layers=None if len(layers_of) == 1 else tuple(sorted(layers)),
        )
        for value, layers in layers_of.items()
    ]


def in_order(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Claims by section, within a section as they came."""
    return tuple(sorted(claims, key=lambda claim: SECTIONS.index(claim.section)))
