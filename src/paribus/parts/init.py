"""What a parameter is for, and the scale of its first draw.

Each part says the role of each of its parameters in `roles()`; a scheme turns a role into the standard
deviation of a normal draw. The draws themselves are made by name in `paribus.model.initialise`, so that
swapping one part leaves every other draw as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["embedding", "head", "input", "query", "key", "output", "constant"]


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a parameter does.

    `input` matrices read the residual stream (or what comes from it), `query` and `key` ones read it to say
    where attention looks, `output` matrices write to it. A `constant` is not drawn: all its elements start at
    `start` (gains at 1, biases at 0). The fans are those of the product the parameter takes part in.
    """

    kind: Kind
    fan_in: int
    fan_out: int
    start: float | None = None

    def __post_init__(self) -> None:
        if (self.kind == "constant") != (self.start is not None):
            raise ValueError("a constant role, and no other, says where it starts")


Roles = Mapping[str, Role]


def constant(width: int, start: float) -> Role:
    """Role of a vector or scalar that starts at one number: 1.0 for a gain, 0.0 for a bias."""
    return Role(kind="constant", fan_in=width, fan_out=width, start=start)


def matrix_roles(
    *, d_model: int, d_hidden: int, inputs: tuple[str, ...], outputs: tuple[str, ...], bias: bool
) -> dict[str, Role]:
    """Roles of a sublayer of linear layers: `inputs` map d_model to d_hidden, `outputs` map back."""
    roles: dict[str, Role] = {}
    for name in inputs:
        roles |= linear_roles(name, kind="input", fan_in=d_model, fan_out=d_hidden, bias=bias)
    for name in outputs:
        roles |= linear_roles(name, kind="output", fan_in=d_hidden, fan_out=d_model, bias=bias)
    return roles


def linear_roles(name: str, *, kind: Kind, fan_in: int, fan_out: int, bias: bool) -> dict[str, Role]:
    """Roles of one linear layer: its weight, and its bias if it has one."""
    roles = {f"{name}.weight": Role(kind=kind, fan_in=fan_in, fan_out=fan_out)}
    if bias:
        roles[f"{name}.bias"] = Role(kind="constant", fan_in=fan_in, fan_out=fan_out, start=0.0)
    return roles


def _fan_in(role: Role) -> float:
    # An embedding row is read by a one-hot vector, so its fan-in is 1.
    return 1.0 if role.kind == "embedding" else 1 / math.sqrt(role.fan_in)


def _normal_002(role: Role) -> float:
    return 0.02


#: Standard deviation of a drawn parameter by scheme: `fan_in` keeps unit variance through every product,
#: `normal_0.02` is N(0, 0.02²) everywhere, as of all matrices but the positions' (0.01) in GPT-2's released code
#: (Radford et al. 2019).
SCHEMES: Mapping[str, Callable[[Role], float]] = {"fan_in": _fan_in, "normal_0.02": _normal_002}
