"""The contract of an activation: a pure function, and what it needs beside its input.

A feed-forward layer replays its activation in the backward pass. So whatever is learned or random is fetched
once, by `arguments`, and handed to `compute`, which must depend on nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from paribus import registry
from paribus.parts.init import Roles


class Activation(nn.Module):
    """Base of the activations: x [..., inputs · width] gives [..., width].

    `inputs` is how many features go into one: 1 for all that act on each feature by itself, which are `pointwise`.
    """

    inputs: int = 1
    pointwise: bool = True

    def arguments(self, x: Tensor) -> tuple[Tensor, ...]:
        """Parameters, and what is drawn at random for an x of this shape, dtype and device.

        Its numbers say nothing: a layer that replays the product which gives x has none yet.
        """
        return ()

    def compute(self, x: Tensor, *arguments: Tensor) -> Tensor:
        """The activation, as a function of its arguments alone."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(x, *self.arguments(x))

    def roles(self) -> Roles:
        return {}


class _Wrapped(Activation):
    """Somebody's plain module as an activation; it must not be random, as it is computed twice."""

    pointwise = False  # for all that is known

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def compute(self, x: Tensor, *arguments: Tensor) -> Tensor:
        return self.module(x)

    def roles(self) -> Roles:
        given: Any = getattr(self.module, "roles", dict)
        return {f"module.{name}": role for name, role in given().items()}


def build_activation(name: str, options: Mapping[str, Any] | None, *, width: int) -> Activation:
    """The registered activation of this name (or `file.py:Class`) for `width` features."""
    module = registry.get("activation", name).build(width=width, **(options or {}))
    return module if isinstance(module, Activation) else _Wrapped(module)


def activation_roles(prefix: str, activation: Activation) -> dict[str, Any]:
    """Roles of a layer's activation, by the layer's names."""
    return {f"{prefix}.{name}": role for name, role in activation.roles().items()}
