"""The tensors of a checkpoint by what their names have in common: numbers of layers and experts taken out.

Names lie about what a module is; where a tensor stands, and how large it is, they do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from paribus.families.files import TensorInfo
from paribus.families.inspecting.claims import Evidence

#: Modules beside the language model in checkpoints that see or hear.
OUTSIDE = re.compile(
    r"(^|\.|_)(vision|visual|vit|image|audio|speech|multi_modal|mm)(_|\.|$)|(^|\.)projector\."
)
_EXPERTS = re.compile(r"\.experts?\.(\d+)\.")
_LAYER = re.compile(r"(?:^|\.)(\d+)(?=\.)")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Tensors of one shape whose names differ only in the numbers of layer and expert.

    `pattern` has `{layer}` and `{expert}` in the place of those numbers; `experts` is how many there are a layer, 0
    where the name has no such number.
    """

    pattern: str
    shape: tuple[int, ...]
    dtype: str
    layers: tuple[int, ...]
    experts: int
    num_tensors: int

    @property
    def num_elements(self) -> int:
        """Numbers in all tensors of the group."""
        size = self.num_tensors
        for length in self.shape:
            size *= length
        return size

    @property
    def stack(self) -> str:
        """What stands before the number of the layer."""
        return self.pattern.partition("{layer}")[0] if "{layer}" in self.pattern else ""

    @property
    def inside(self) -> str:
        """What stands after the number of the layer, or the whole name outside the layers."""
        return self.pattern.partition("{layer}.")[2] if "{layer}" in self.pattern else self.pattern

    @property
    def module(self) -> str:
        """`inside` without the last word, unless that is no `weight` or `bias`."""
        module, _, leaf = self.inside.rpartition(".")
        return module if leaf in ("weight", "bias") else self.inside

    @property
    def is_bias(self) -> bool:
        return self.inside.endswith(("bias", "_bias"))

    @property
    def evidence(self) -> Evidence:
        return Evidence(source="tensor", what=self.pattern, value=list(self.shape))


@dataclass(frozen=True)
class Groups:
    """All tensors of a checkpoint, grouped."""

    groups: tuple[Group, ...]

    @cached_property
    def text(self) -> tuple[Group, ...]:
        """Those of the language model."""
        return tuple(group for group in self.groups if not OUTSIDE.search(group.pattern))

    @cached_property
    def stack(self) -> str:
        """The stack of layers that holds the most numbers; of an encoder and a decoder the decoder."""
        sizes: dict[str, int] = {}
        for group in self.text:
            if group.stack:
                sizes[group.stack] = sizes.get(group.stack, 0) + group.num_elements
        decoders = [stack for stack in sizes if re.search(r"(^|\.)decoder\.", stack)]
        return max(decoders or sizes, key=lambda stack: sizes[stack], default="")

    @cached_property
    def in_layers(self) -> tuple[Group, ...]:
        """Those in the layers of the stack."""
        return tuple(group for group in self.text if group.stack == self.stack and self.stack)

    @cached_property
    def beside(self) -> tuple[Group, ...]:
        """Those of the language model outside all layers."""
        return tuple(group for group in self.text if not group.stack)


def grouped(tensors: Mapping[str, TensorInfo] | Iterable[TensorInfo]) -> Groups:
    """Tensors as groups, in the order in which they first come."""
    infos = tensors.values() if isinstance(tensors, Mapping) else tensors
    found: dict[tuple[str, tuple[int, ...], str], list[tuple[int, int]]] = {}
    for info in infos:
        pattern, layer, expert = _pattern(info.name)
        found.setdefault((pattern, info.shape, info.dtype), []).append((layer, expert))
    return Groups(
        tuple(
            Group(
                pattern=pattern,
                shape=shape,
                dtype=dtype,
                layers=tuple(sorted({layer for layer, _ in numbers if layer >= 0})),
                experts=len({expert for _, expert in numbers if expert >= 0}),
                num_tensors=len(numbers),
            )
            for (pattern, shape, dtype), numbers in found.items()
        )
    )


def _pattern(name: str) -> tuple[str, int, int]:
    """A name without its numbers of layer and expert, and those numbers; -1 where there is none."""
    expert = layer = -1
    if found := _EXPERTS.search(name):
        expert = _number(found[1])
        name = f"{name[: found.start(1)]}{{expert}}{name[found.end(1) :]}"
    if found := _LAYER.search(name):
        layer = _number(found[1])
        name = f"{name[: found.start(1)]}{{layer}}{name[found.end(1) :]}"
    return name, layer, expert


def _number(digits: str) -> int:
    return int(digits[:9])  # a longer one is no layer
