import pytest
import torch
from torch import nn

from paribus.train.config import TrainConfig
from paribus.train.optimiser import adamw, set_rate


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.full((3, 2), 2.0))
        self.vector = nn.Parameter(torch.full((3,), 2.0))


def _decayed(rate: float) -> Small:
    """The model after one step with zero gradients."""
    model = Small()
    optimiser = adamw(model, TrainConfig(weight_decay=0.1), peak_rate=rate)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    return model


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-1])
def test_decay_at_the_peak_is_the_same_at_every_rate(rate: float) -> None:
    torch.testing.assert_close(_decayed(rate).matrix, torch.full((3, 2), 1.8))


def test_vectors_do_not_decay() -> None:
    assert torch.equal(_decayed(1e-2).vector, torch.full((3,), 2.0))


def test_a_step_is_adamw_of_the_paper() -> None:
    """Two steps by hand in float64: m, v, bias correction, decoupled decay."""
    model = Small().double()
    config = TrainConfig(beta1=0.8, beta2=0.9, eps=1e-6, weight_decay=0.02)
    optimiser = adamw(model, config, peak_rate=0.1)
    weight, first, second = 2.0, 0.0, 0.0
    for step, (gradient, rate) in enumerate([(0.5, 0.1), (-1.5, 0.05)], start=1):
        set_rate(optimiser, rate)
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optimiser.step()
        first = 0.8 * first + 0.2 * gradient
        second = 0.9 * second + 0.1 * gradient**2
        weight -= weight * 0.02 * rate / 0.1
        weight -= rate * (first / (1 - 0.8**step)) / ((second / (1 - 0.9**step)) ** 0.5 + 1e-6)
    torch.testing.assert_close(model.matrix, torch.full((3, 2), weight, dtype=torch.float64))
