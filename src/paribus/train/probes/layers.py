"""How large the stream and the gradients are, block by block, at the start and at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from paribus.text.data import Dataset
from paribus.train.config import TrainConfig
from paribus.train.probes.base import Probe, backward_on_heldout, check_whole, finite, untouched
from paribus.train.program import Program


@dataclass(frozen=True, kw_only=True)
class LayersProbe(Probe):
    """{tokens, activation_rms, gradient_rms}: lists over the blocks (an encoder's first), at start and end.

    `activation_rms` is that of the stream after each block over `num_tokens` held-out tokens (default: one
    training batch), `gradient_rms` that of the gradient of their mean loss over all parameters of the block.
    None stands for what is not finite. In float32; costs two eager passes forward and backward.
    """

    num_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.num_tokens is not None:
            check_whole("the layers probe's num_tokens", self.num_tokens)

    def at_start(self, program: Program, data: Dataset, config: TrainConfig, *, seed: int) -> dict[str, Any]:
        return self._look(program, data, config)

    def at_end(self, program: Program, data: Dataset, config: TrainConfig, *, seed: int) -> dict[str, Any]:
        return self._look(program, data, config)

    def _look(self, program: Program, data: Dataset, config: TrainConfig) -> dict[str, Any]:
        num_tokens = self.num_tokens or config.tokens_per_step
        blocks = list(program.model.blocks())
        squares = torch.zeros(len(blocks), dtype=torch.float64, device=program.device)
        counts = [0] * len(blocks)

        def remember(index: int, stream: Tensor) -> None:
            squares[index] += stream.detach().double().square().sum()
            counts[index] += stream.numel()

        hooks = [
            # A block gives the stream and what its layers add to the loss.
            block.register_forward_hook(lambda _m, _i, given, index=index: remember(index, given[0]))
            for index, block in enumerate(blocks)
        ]
        with untouched(program):
            try:
                tokens = backward_on_heldout(program, data, config, num_tokens=num_tokens)
            finally:
                for hook in hooks:
                    hook.remove()
            gradients = [_gradient_rms(block) for block in blocks]
        activations = (squares / torch.tensor(counts, device=program.device)).sqrt().tolist()
        return {
            "tokens": tokens,
            "activation_rms": [finite(each) for each in activations],
            "gradient_rms": gradients,
        }


def _gradient_rms(block: torch.nn.Module) -> float | None:
    grads = [parameter.grad.flatten() for parameter in block.parameters() if parameter.grad is not None]
    return finite(torch.cat(grads).double().square().mean().sqrt()) if grads else None
