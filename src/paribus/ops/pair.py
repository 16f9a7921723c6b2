"""The pointwise part of a gated layer, y = gate(g) · value(v), and its backward pass, in plain torch.

Built of the rows of the activation table alone. The Triton kernels are written from these two functions, and
double backward runs through them, so there is no second formula.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from paribus.errors import RequestError, nearest
from paribus.ops.activations import ACTIVATIONS, Activation
from paribus.ops.activations.smooth import swish, swish_by_beta, swish_first, swish_second

SWISH = Activation(
    name="swish",
    formula=r"x \, \sigma(\beta x)",
    value=swish,
    first=swish_first,
    second=swish_second,
    constants={"beta": 1.0},
)
ROWS = {**ACTIVATIONS, SWISH.name: SWISH}


@dataclass(frozen=True)
class Pair:
    """Two rows by name, with their constants in the rows' order; `learned`: the gate is swish and beta a tensor.

    Both methods compute in the dtype of their arguments; float32 or wider rounds nothing on the way.
    """

    gate: str
    value: str
    gate_constants: tuple[float, ...] = ()
    value_constants: tuple[float, ...] = ()
    learned: bool = False

    def forward(self, g: Tensor, v: Tensor, beta: Tensor | None = None) -> Tensor:
        """y = gate(g) · value(v); all [...], beta one number."""
        of_gate, of_value = self._constants(beta)
        return ROWS[self.gate].value(g, **of_gate) * ROWS[self.value].value(v, **of_value)

    def backward(self, dy: Tensor, g: Tensor, v: Tensor, beta: Tensor | None = None) -> tuple[Tensor, ...]:
        """dg and dv, and with a learned beta its gradient by element, not yet summed; all [...]."""
        gate, value = ROWS[self.gate], ROWS[self.value]
        of_gate, of_value = self._constants(beta)
        dy_value = dy * value.value(v, **of_value)
        dg = dy_value * gate.first(g, **of_gate)
        dv = dy * gate.value(g, **of_gate) * value.first(v, **of_value)
        return (dg, dv, dy_value * swish_by_beta(g, beta)) if beta is not None else (dg, dv)

    def _constants(self, beta: Tensor | None) -> tuple[dict[str, Tensor | float], dict[str, float]]:
        of_gate: dict[str, Tensor | float] = {}
        if beta is not None:
            of_gate["beta"] = beta
        else:
            of_gate.update(zip(ROWS[self.gate].constants, self.gate_constants, strict=True))
        return of_gate, dict(zip(ROWS[self.value].constants, self.value_constants, strict=True))


def pair(
    gate: str,
    value: str,
    *,
    gate_constants: Mapping[str, float] | None = None,
    value_constants: Mapping[str, float] | None = None,
    learned: bool = False,
) -> Pair:
    """The pair of these rows; raises `RequestError` for an unknown row or constant, or a beta without swish."""
    if learned and gate != SWISH.name:
        raise RequestError(f"a learned beta belongs to a swish gate; this gate is {gate}")
    of_gate = () if learned else _in_order(gate, gate_constants or {})
    return Pair(gate, value, of_gate, _in_order(value, value_constants or {}), learned)


def _in_order(name: str, given: Mapping[str, float]) -> tuple[float, ...]:
    """The row's constants in its own order, those given in place of its defaults."""
    if name not in ROWS:
        raise RequestError(f"there is no activation called {name!r}; {nearest(name, ROWS)}")
    row = ROWS[name]
    for constant in given:
        if constant not in row.constants:
            known = nearest(constant, row.constants) if row.constants else "it has none"
            raise RequestError(f"activation {name!r} has no constant {constant!r}; {known}")
    return tuple(float(given.get(each, default)) for each, default in row.constants.items())
