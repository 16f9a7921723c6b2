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

Kind = Literal["embedding", "head", "input", "output", "gain", "bias"]


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a parameter does.

    `input` matrices read the residual stream (or what comes from it), `output` matrices write to it,
    `gain` starts at one and `bias` at zero. The fans are those of the product the parameter takes part in.
    """

    kind: Kind
    fan_in: int
    fan_out: int


Roles = Mapping[str, Role]


def matrix_roles(
    *, d_model: int, d_hidden: int, inputs: tuple[str, ...], outputs: tuple[str, ...], bias: bool
) -> dict[str, Role]:
    """Roles of a sublayer of linear layers: `inputs` map d_model to d_hidden, `outputs` map back."""
    roles: dict[str, Role] = {}
    for names, kind, fan_in, fan_out in (
        (inputs, "input", d_model, d_hidden),
        (outputs, "output", d_hidden, d_model),
    ):
        for name in names:
            roles[f"{name}.weight"] = Role(kind=kind, fan_in=fan_in, fan_out=fan_out)  # type: ignore[arg-type]
            if bias:
                roles[f"{name}.bias"] = Role(kind="bias", fan_in=fan_in, fan_out=fan_out)
    return roles


def _fan_in(role: Role) -> float:
    # An embedding row is read by a one-hot vector, so its fan-in is 1.
    return 1.0 if role.kind == "embedding" else 1 / math.sqrt(role.fan_in)


def _normal_002(role: Role) -> float:
    return 0.02


#: Standard deviation of a drawn parameter by scheme: `fan_in` keeps unit variance through every product,
#: `normal_0.02` is GPT-2's N(0, 0.02²) everywhere (Radford et al. 2019, released code).
SCHEMES: Mapping[str, Callable[[Role], float]] = {"fan_in": _fan_in, "normal_0.02": _normal_002}
