"""RoPE past the trained length by one number: positions squeezed, or the base raised.

All keep the rotation of `rope` and change its frequencies only. `factor` s is how many times longer than
`original_length` L the model is to run; L defaults to the model's max_seq_len.
"""

from __future__ import annotations

import math
from typing import NotRequired, Unpack

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.parts.position.rope import SHAPES, RotaryOptions, RotaryPosition
from paribus.registry import part


class ScalingOptions(RotaryOptions):
    """What every scaling may be told beside what `rope` may."""

    factor: NotRequired[float]
    original_length: NotRequired[int | None]


class ScaledRotaryPosition(RotaryPosition):
    """`rope` with a factor s and an original length L. Raises `RequestError` for s below 1 or L below 1."""

    def __init__(
        self, *, factor: float = 4.0, original_length: int | None = None, **options: Unpack[RotaryOptions]
    ) -> None:
        super().__init__(**options)
        if not (math.isfinite(factor) and factor >= 1):
            raise RequestError(f"a scaling's factor says how many times longer, at least 1; it is {factor}")
        length = self.max_seq_len if original_length is None else original_length
        if length < 1:
            raise RequestError(f"a scaling's original_length is a number of tokens; it is {original_length}")
        self.factor, self.original_length = factor, length

    def _raised(self, ratio: float) -> float:
        """The base at which the fastest pair stays and the slowest turns `ratio` times slower."""
        if self.rotated < 4:
            raise RequestError(
                f"NTK scaling leaves the fastest pair and slows the slowest, so it needs two: at least 4 rotated "
                f"channels, and there are {self.rotated}"
            )
        return self.base * ratio ** (self.rotated / (self.rotated - 2))


@part(
    "position",
    "rope_linear",
    formula=r"\theta_i / s",
    paper="arXiv:2306.15595 (Chen et al. 2023, position interpolation)",
    shapes=SHAPES,
    traps=("near tokens are squeezed too, so it needs some training at the new length",),
)
class LinearRotaryPosition(ScaledRotaryPosition):
    """Every frequency divided by s: position p is treated as p / s.

    Source: Chen et al. 2023 (arXiv:2306.15595), equation 4.
    """

    def frequencies(self, *, length: int, device: torch.device) -> Tensor:
        return super().frequencies(length=length, device=device) / self.factor


@part(
    "position",
    "rope_ntk",
    formula=r"b' = b \, s^{R/(R-2)}",
    paper="bloc97 2023, NTK-aware scaled RoPE; arXiv:2309.00071 (Peng et al. 2023), appendix",
    shapes=SHAPES,
    traps=("the slowest frequency is divided by exactly s, the fastest not at all",),
)
class NTKRotaryPosition(ScaledRotaryPosition):
    """The base raised to b · s^(R/(R-2)), R rotated channels. Raises `RequestError` for fewer than 4.

    Source: bloc97 2023; Peng et al. 2023 (arXiv:2309.00071), definition 1.
    """

    def __init__(self, **options: Unpack[ScalingOptions]) -> None:
        super().__init__(**options)
        self.raised = self._raised(self.factor)

    def frequencies(self, *, length: int, device: torch.device) -> Tensor:
        return self._powers(self.raised, device)


@part(
    "position",
    "rope_dynamic",
    formula=r"b' = b \left( s n / L - (s - 1) \right)^{R/(R-2)}, \quad n > L",
    paper="emozilla 2023, dynamic NTK; arXiv:2309.00071 (Peng et al. 2023), section 3.3",
    shapes=SHAPES,
    traps=(
        "up to L tokens it is plain rope; each longer sequence has frequencies of its own",
        "a cache keeps keys as shorter sequences rotated them, so its logits are others once n is above L",
    ),
)
class DynamicRotaryPosition(ScaledRotaryPosition):
    """The base raised to b · (s n / L - (s - 1))^(R/(R-2)) for n > L tokens, plain RoPE up to L.

    Raises `RequestError` for fewer than 4 rotated channels. Source: Peng et al. 2023 (arXiv:2309.00071),
    section 3.3.
    """

    def __init__(self, **options: Unpack[ScalingOptions]) -> None:
        super().__init__(**options)
        self._raised(1.0)

    def frequencies(self, *, length: int, device: torch.device) -> Tensor:
        if length <= self.original_length:
            return super().frequencies(length=length, device=device)
        ratio = self.factor * length / self.original_length - (self.factor - 1)
        return self._powers(self._raised(ratio), device)
