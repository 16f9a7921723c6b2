"""What is compared with what: where parts are tried, and one case of one part."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paribus.oracles import Array
from paribus.verify.bounds import Bounds

Form = Callable[[Tensor], Tensor]
Oracle = Callable[[Mapping[str, Array], Array], Array]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and in which dtype parts are tried, and whether compiled ones too.

    Parameters are float32, or float64 in float64.
    """

    device: torch.device
    dtype: torch.dtype
    compiled: bool = False

    @property
    def parameter_dtype(self) -> torch.dtype:
        """The dtype of master weights."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def tensor(self, *shape: int, seed: int) -> Tensor:
        """Standard normal numbers that the dtype holds exactly."""
        return self.exactly(_normal(shape, seed=seed))

    def exactly(self, drawn: Tensor) -> Tensor:
        """Numbers drawn on the CPU, as the nearest that the dtype holds, on the device."""
        return drawn.to(self.dtype).to(self.device)

    def place(self, module: nn.Module) -> nn.Module:
        """The module on the device, every parameter drawn, matrices at unit gain; buffers stay as they are."""
        module = module.to(device=self.device, dtype=self.parameter_dtype)
        with torch.no_grad():
            for index, parameter in enumerate(module.parameters()):
                value = _normal(parameter.shape, seed=1 + index)
                fan_in = parameter.shape[-1] if parameter.ndim == 2 else 1
                parameter.copy_((value / math.sqrt(fan_in)).to(self.dtype))
        return module


@dataclass(frozen=True, kw_only=True)
class Case:
    """The forms in which a module computes one function of x, and the oracle of all of them.

    `name` says how it differs from the part's plain use, which has none. The oracle takes the module's parameters
    by name, and x.
    """

    name: str
    module: nn.Module
    forms: Mapping[str, Form]
    oracle: Oracle
    x: Tensor
    bounds: Bounds
    has_gradients: bool = True


def _normal(shape: tuple[int, ...] | torch.Size, *, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
