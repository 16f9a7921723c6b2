"""What a product of two activations is tried on, and the closed forms in float64 that it must give."""

import numpy as np
import torch
from torch import Tensor

from paribus.oracles import POINTWISE

#: Where a row has a corner and its derivative there is a convention.
CORNERS = (-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0)


def points(dtype: torch.dtype, *, seed: int, count: int = 2053) -> Tensor:
    """Numbers that dtype holds, none at a corner, of both tails; their count is prime."""
    x = torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2
    for corner in CORNERS:
        x = torch.where((x - corner).abs() < 0.02, x + 0.0625, x)
    return x.to(dtype)


def exact(g: Tensor, v: Tensor, dy: Tensor, gate: str, value: str) -> dict[str, np.ndarray]:
    """y, dg and dv in float64."""
    g64, v64, dy64 = (each.detach().double().numpy() for each in (g, v, dy))
    of_gate, of_value = POINTWISE[gate], POINTWISE[value]
    return {
        "y": of_gate.value(g64) * of_value.value(v64),
        "dg": dy64 * of_gate.first(g64) * of_value.value(v64),
        "dv": dy64 * of_gate.value(g64) * of_value.first(v64),
    }


def over_floor(actual: Tensor, expected: np.ndarray) -> float:
    """RMS of the error over that of the exact result rounded once."""
    rounded = torch.from_numpy(expected).to(actual.dtype)
    error, floor = (np.sqrt(np.mean((each.double().numpy() - expected) ** 2)) for each in (actual, rounded))
    return error / floor if floor else float(error > 0)
