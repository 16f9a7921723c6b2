"""One comparison to make, and the sizes that all are made at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from paribus.verify.comparison import Oracle

D, F, H, K, T = 6, 10, 4, 6, 7  # small, and hardly two alike: no axis can be mistaken for another
TRAINED = 5  # shorter than the input, so that what changes past the trained length is seen


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison to make: a module, how it is run, and the oracle of that."""

    what: str
    module: nn.Module
    run: Callable[[Tensor], Tensor]
    oracle: Oracle
    shape: tuple[int, ...]
    least_bound: float = 0.0
    has_corners: bool = False
