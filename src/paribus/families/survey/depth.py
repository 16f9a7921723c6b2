"""In how many layers of the whole model something holds, told from the few that were built."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Depth:
    """The types of the layers that were built and of all there are, as their configs have them."""

    built: Sequence[str]
    whole: Sequence[str]

    @classmethod
    def of(cls, model: nn.Module, config: Any) -> Depth:
        """Those of a built model, and of the config that it is a shallow one of."""
        inner: Any = getattr(model, "config", None)
        shallow = inner.get_text_config(decoder=True) if hasattr(inner, "get_text_config") else inner
        return cls(built=_types(shallow), whole=_types(config))

    def share(self, holds: Mapping[int, bool]) -> str:
        """How many layers it holds in, as words behind a claim; none where it holds in all that were looked at.

        Layers of one type are taken to be alike. Where those that were built are not, it is not known in how many.
        """
        if all(holds.values()):
            return ""
        by_type: dict[str, set[bool]] = {}
        for index, each in holds.items():
            name = self.built[index] if index < len(self.built) else "?"
            by_type.setdefault(name, set()).add(each)
        alike = all(len(each) == 1 for each in by_type.values()) and set(self.built) == set(self.whole)
        if self.built == self.whole and len(self.built) > max(holds):
            count, of = sum(holds.values()), len(holds)
        elif alike and "?" not in self.built:
            there = [by_type[name] == {True} for name in self.whole if name in by_type]
            count, of = sum(there), len(there)
        else:
            return " in some layers"
        divisor = math.gcd(count, of)
        return f" in {count // divisor} of {of // divisor} layers"


def _types(config: Any) -> list[str]:
    """The type of each layer; where no key has them, as many unknown ones as there are layers."""
    try:
        lists = [getattr(config, key, None) for key in ("layer_types", "no_rope_layers")]
        lists = [each for each in lists if each] or [["?"] * config.num_hidden_layers]
        return [" ".join(map(str, each)) for each in zip(*lists, strict=True)]
    except Exception:  # noqa: BLE001 - another library's code: whatever it raises, it is not known
        return []
