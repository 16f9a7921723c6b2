"""The hidden vector of a gated layer: gate · value by one Triton kernel where it runs, else in plain torch.

What is decided here is only which of two equal forms runs, and every layer can be asked for it.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from paribus.ops.gate_mul import available, gate_mul
from paribus.parts.activation.base import Activation
from paribus.parts.activation.learned import Swish
from paribus.parts.activation.pointwise import PointwiseActivation

Form = Literal["plain", "triton"]


def mixed(
    gate_activation: Activation,
    value_activation: Activation,
    gate: Tensor,
    value: Tensor,
    of_gate: tuple[Tensor, ...],
    of_value: tuple[Tensor, ...],
) -> Tensor:
    """gate_activation(gate) · value_activation(value) [..., d_ff]; `of_...` is what each needs beside its input."""
    if available(gate.device, gate, value, *of_gate) and gate.dtype == value.dtype:
        rows = _rows(gate_activation, value_activation)
        if rows is not None:
            return gate_mul(gate, value, beta=of_gate[0] if of_gate else None, **rows)
    return gate_activation.compute(gate, *of_gate) * value_activation.compute(value, *of_value)


def form_of(gate_activation: Activation, value_activation: Activation, device: torch.device) -> Form:
    """The form in which `mixed` runs in eager mode on this device."""
    return "triton" if available(device) and _rows(gate_activation, value_activation) is not None else "plain"


def _rows(gate: Activation, value: Activation) -> dict[str, Any] | None:
    """What `gate_mul` must know of the two activations; None if it has no kernel for them."""
    of_gate, of_value = _row(gate, may_learn=True), _row(value, may_learn=False)
    if of_gate is None or of_value is None:
        return None
    (gate_row, gate_constants), (value_row, value_constants) = of_gate, of_value
    return {
        "gate": gate_row,
        "value": value_row,
        "gate_constants": gate_constants,
        "value_constants": value_constants,
    }


def _row(activation: Activation, *, may_learn: bool) -> tuple[str, dict[str, float]] | None:
    """Its row and constants; None for another function, or one that learns more than the gate's one beta."""
    # The classes themselves: one derived from them may compute anything.
    if type(activation) is PointwiseActivation:
        return activation.row.name, activation.constants
    if type(activation) is Swish:
        if activation.beta is None:
            return "swish", {"beta": activation.start}
        if may_learn and activation.beta.numel() == 1:
            return "swish", {}
    return None
