"""The optimisers of a run: AdamW, or Muon for the matrices of the blocks with AdamW for everything else.

Decay is on matrices only and does not depend on the learning rate: torch multiplies it by the rate, and dividing by
the peak rate here makes a step at the peak remove exactly `weight_decay` whatever the rate is, so arms tuned to
other rates decay alike. Source: Loshchilov & Hutter 2019 (arXiv:1711.05101), whose decay is independent of the rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from paribus.model.transformer import slot_of
from paribus.ops.sharded import placed, whole
from paribus.train.config import TrainConfig

_IN_BLOCKS = ("attention", "ffn")
_MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")  # of a parameter's shape


class Optimiser(Protocol):
    """What a run needs of an optimiser. `step` divides the gradients by `divisor`, [], where one is given."""

    param_groups: list[dict[str, Any]]

    def step(self, divisor: Tensor | None = None) -> None: ...
    def zero_grad(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def make_optimiser(model: nn.Module, config: TrainConfig, *, peak_rate: float) -> Optimiser:
    """The optimiser that `config.optimiser` names, over the parameters of `model`."""
    if config.optimiser == "muon":
        return muon(model, config, peak_rate=peak_rate)
    return _adamw(model.parameters(), config, peak_rate=peak_rate)


def descend(parameters: Iterable[Tensor], optimiser: Optimiser, *, clip: float) -> Tensor:
    """Take a step with the gradients that `parameters` have, and drop them; gives their global norm, [].

    Gradients with a norm above `clip` are divided by norm / clip; 0 is no bound. Nothing waits for the device.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = whole(torch.nn.utils.get_total_norm(gradients))
    # The small number is there because torch.nn.utils.clip_grad_norm_ has it.
    optimiser.step(((norm + 1e-6) / clip).clamp(min=1.0) if clip else None)
    optimiser.zero_grad()
    return norm


def muon(model: nn.Module, config: TrainConfig, *, peak_rate: float) -> Optimiser:
    """Muon for the matrices of attention and feed-forward layers, AdamW for embeddings, head, gains and biases.

    Muon replaces the momentum of a matrix by its nearest orthogonal one (five Newton-Schulz steps), scaled by
    0.2 sqrt(max(rows, columns)), so that its updates are as large as AdamW's and one rate serves both. Sources:
    Jordan et al. 2024 (kellerjordan.github.io/posts/muon); Liu et al. 2025 (arXiv:2502.16982) for the scale.
    """
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, parameter in model.named_parameters():
        (matrices if parameter.ndim == 2 and slot_of(name) in _IN_BLOCKS else rest).append(parameter)
    first = _Muon(
        matrices,
        lr=peak_rate,
        weight_decay=config.weight_decay / peak_rate,
        momentum=0.95,
        nesterov=True,
        adjust_lr_fn="match_rms_adamw",
    )
    return _Together(first, _adamw(rest, config, peak_rate=peak_rate))


class _OfWhole(torch.optim.Optimizer):
    """An optimiser of parameters that may be sharded, whose checkpoints are not."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the state of whole parameters, whether or not they are shared out over processes."""
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        state = {
            index: {
                name: placed(value, like=parameters[index]) if name in _MOMENTS else value
                for name, value in values.items()
            }
            for index, values in state_dict["state"].items()
        }
        super().load_state_dict({**state_dict, "state": state})


class _AdamW(_OfWhole, torch.optim.AdamW):
    grad_scale: Tensor | None = None  # what torch's fused step divides gradients by as it reads them

    def step(self, divisor: Tensor | None = None) -> None:  # type: ignore[override]
        self.grad_scale = None if divisor is None else divisor.float()
        super().step()


class _Muon(_OfWhole, torch.optim.Muon):
    def step(self, divisor: Tensor | None = None) -> None:  # type: ignore[override]
        every = (parameter.grad for group in self.param_groups for parameter in group["params"])
        gradients = [gradient for gradient in every if gradient is not None]
        if divisor is not None and gradients:
            torch._foreach_div_(gradients, divisor)
        super().step()


def _adamw(parameters: Iterable[Tensor], config: TrainConfig, *, peak_rate: float) -> _AdamW:
    """Fused AdamW."""
    parameters = list(parameters)
    return _AdamW(
        [
            {
                "params": [parameter for parameter in parameters if parameter.ndim >= 2],
                "weight_decay": config.weight_decay / peak_rate,
            },
            {"params": [parameter for parameter in parameters if parameter.ndim < 2], "weight_decay": 0.0},
        ],
        lr=peak_rate,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=True,
    )


class _Together:
    """Optimisers that step as one, each over parameters of its own."""

    def __init__(self, *optimisers: Optimiser) -> None:
        self._optimisers = optimisers
        self.param_groups = [group for each in optimisers for group in each.param_groups]

    def step(self, divisor: Tensor | None = None) -> None:
        for each in self._optimisers:
            each.step(divisor)

    def zero_grad(self) -> None:
        for each in self._optimisers:
            each.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {str(number): each.state_dict() for number, each in enumerate(self._optimisers)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for number, each in enumerate(self._optimisers):
            each.load_state_dict(state[str(number)])
        # Loading puts new groups in place of the old.
        self.param_groups = [group for each in self._optimisers for group in each.param_groups]


def set_rate(optimiser: Optimiser, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = rate
