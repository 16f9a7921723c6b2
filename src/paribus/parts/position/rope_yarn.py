"""RoPE past the trained length, frequency by frequency: YaRN in its two forms, and LLaMA 3's.

Pairs that turn often within the original length stay as they are, pairs that do not turn once are slowed by s,
and a ramp lies between. The YaRN paper's ramp is linear in the number of turns, the released code's in the
number of the pair; they give other frequencies, so both are here under their own names.
"""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.parts.position.rope import SHAPES, RotaryOptions
from paribus.parts.position.rope_scaling import ScaledRotaryPosition, ScalingOptions
from paribus.registry import part

_PAPER = "arXiv:2309.00071 (Peng et al. 2023)"
_TEMPERATURE = "the factor 0.1 ln s + 1 multiplies cosines and sines, so logits get its square"
_DISAGREE = "paper and released code differ: up to a factor of 2.9 in a frequency at head_dim 128 and s 16"


class _RampedRotaryPosition(ScaledRotaryPosition):
    """Frequencies θ · (kept + (1 - kept) / s), where `kept` in [0, 1] is a matter of the subclass."""

    def _kept(self, theta: Tensor) -> Tensor:
        raise NotImplementedError

    def frequencies(self, *, length: int, device: torch.device) -> Tensor:
        theta = super().frequencies(length=length, device=device)
        kept = self._kept(theta)
        return theta * kept + theta / self.factor * (1 - kept)

    def _turns_ramp(self, theta: Tensor, slow: float, fast: float) -> Tensor:
        """From 0 at `slow` turns within the original length to 1 at `fast`."""
        turns = self.original_length * theta / (2 * math.pi)
        return ((turns - slow) / (fast - slow)).clamp(0, 1)


class _YarnRotaryPosition(_RampedRotaryPosition):
    """A ramp between `slow` and `fast` turns, and YaRN's temperature."""

    def __init__(
        self,
        *,
        slow: float = 1.0,
        fast: float = 32.0,
        attention_factor: float | None = None,
        **options: Unpack[ScalingOptions],
    ) -> None:
        super().__init__(**options)
        if not 0 < slow < fast:
            raise RequestError(f"yarn's ramp goes from slow to more, fast, turns; they are {slow} and {fast}")
        if attention_factor is not None and not attention_factor > 0:
            raise RequestError(f"yarn's attention_factor must be above zero; it is {attention_factor}")
        self.slow, self.fast = slow, fast
        self._factor = 0.1 * math.log(self.factor) + 1 if attention_factor is None else attention_factor

    def attention_factor(self, *, length: int) -> float:
        return self._factor


@part(
    "position",
    "rope_yarn_paper",
    formula=r"\theta_i' = (1 - \gamma) \theta_i / s + \gamma \theta_i, \quad \gamma = \operatorname{clip}\left(\frac{L \theta_i / 2 \pi - 1}{32 - 1}, 0, 1\right)",
    paper=f"{_PAPER}, equations 18 to 22",
    shapes=SHAPES,
    traps=(_DISAGREE, _TEMPERATURE),
)
class YarnPaperRotaryPosition(_YarnRotaryPosition):
    """YaRN as the paper writes it: the ramp is linear in the turns r = L θ / 2π, between 1 and 32.

    Source: Peng et al. 2023 (arXiv:2309.00071), section 3.2 and equation 22.
    """

    def _kept(self, theta: Tensor) -> Tensor:
        return self._turns_ramp(theta, self.slow, self.fast)


@part(
    "position",
    "rope_yarn",
    formula=r"\theta_i' = (1 - \gamma) \theta_i / s + \gamma \theta_i, \quad \gamma = 1 - \operatorname{clip}\left(\frac{i - i_{32}}{i_1 - i_{32}}, 0, 1\right), \quad i_r = \frac{R \ln(L / 2 \pi r)}{2 \ln b}",
    paper=f"{_PAPER}, released code",
    shapes=SHAPES,
    traps=(
        _DISAGREE,
        _TEMPERATURE,
        "the released code rounds the ends of the ramp outwards to whole pairs; gpt-oss does not (truncate: false)",
        "DeepSeek's factor is 0.1 mscale ln s + 1: give it as attention_factor",
    ),
)
class YarnRotaryPosition(_YarnRotaryPosition):
    """YaRN as its authors' code and the checkpoints have it: the ramp is linear in the number i of the pair.

    `truncate` rounds the ends of the ramp outwards to whole pairs. Source: Peng et al. 2023
    (arXiv:2309.00071), released code.
    """

    def __init__(
        self,
        *,
        truncate: bool = True,
        slow: float = 1.0,
        fast: float = 32.0,
        attention_factor: float | None = None,
        **options: Unpack[ScalingOptions],
    ) -> None:
        super().__init__(slow=slow, fast=fast, attention_factor=attention_factor, **options)
        start, end = self._pair_that_turns(fast), self._pair_that_turns(slow)
        if truncate:
            start, end = math.floor(start), math.ceil(end)
        self._start, self._end = max(start, 0), min(end, self.rotated - 1)

    def _pair_that_turns(self, times: float) -> float:
        """Number of the pair, as a real number, that turns so often within the original length."""
        return (
            self.rotated * math.log(self.original_length / (times * 2 * math.pi)) / (2 * math.log(self.base))
        )

    def _kept(self, theta: Tensor) -> Tensor:
        pair = torch.arange(len(theta), device=theta.device, dtype=torch.float32)
        width = (self._end - self._start) or 1e-3  # a ramp without width is a step
        return 1 - ((pair - self._start) / width).clamp(0, 1)


@part(
    "position",
    "rope_llama3",
    formula=r"\theta_i' = (1 - \gamma) \theta_i / s + \gamma \theta_i, \quad \gamma = \operatorname{clip}\left(\frac{L \theta_i / 2 \pi - 1}{4 - 1}, 0, 1\right)",
    paper="arXiv:2407.21783 (LLaMA 3, 2024), released code",
    shapes=SHAPES,
    traps=("it is the ramp of the YaRN paper between 1 and 4 turns, without the temperature",),
)
class Llama3RotaryPosition(_RampedRotaryPosition):
    """LLaMA 3.1's frequencies: below `low` turns within L divided by s, above `high` kept, a ramp between.

    L is 8192 unless given. Raises `RequestError` unless 0 < low < high. Source: LLaMA 3 (arXiv:2407.21783),
    released code.
    """

    def __init__(
        self,
        *,
        factor: float = 8.0,
        low: float = 1.0,
        high: float = 4.0,
        original_length: int | None = 8192,
        **options: Unpack[RotaryOptions],
    ) -> None:
        super().__init__(factor=factor, original_length=original_length, **options)
        if not 0 < low < high:
            raise RequestError(f"llama3's ramp goes from low to more, high, turns; they are {low} and {high}")
        self.low, self.high = low, high

    def _kept(self, theta: Tensor) -> Tensor:
        return self._turns_ramp(theta, self.low, self.high)
