"""Models for their shapes alone."""

import pytest
import torch
from torch import Tensor, nn

from paribus.model.meta import parameters_as_shapes, shapes_only


def test_parameters_have_shapes_and_no_memory() -> None:
    with shapes_only():
        layer = nn.Embedding(3, 4)
        table = nn.Parameter(torch.empty(5, 4).normal_(std=0.02))
    assert [each.shape for each in (layer.weight, table)] == [(3, 4), (5, 4)]
    assert layer.weight.is_meta and table.is_meta


def test_parameters_alone_take_no_memory_and_stay_tied() -> None:
    with parameters_as_shapes():
        made = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4), nn.Linear(3, 4, bias=False))
        made[2].weight = made[1].weight
        made[1].register_parameter("more", nn.Parameter(torch.ones(4), requires_grad=False))
    assert [each.is_meta for each in made.parameters()] == [True] * 5
    assert made[1].weight is made[2].weight and not made[1].more.requires_grad
    assert made[0].running_var.tolist() == [1, 1, 1]
    assert not nn.Linear(3, 4).weight.is_meta


def test_one_parameter_under_two_names_stays_one() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            weight = nn.Parameter(torch.zeros(2, 3))
            self.first = weight
            self.second = weight

    with parameters_as_shapes():
        module = Twice()
    assert module.first is module.second and len(list(module.parameters())) == 1


@pytest.mark.parametrize("draw", [Tensor.normal_, nn.init.normal_])
def test_a_tensor_on_a_real_device_is_drawn_as_ever(draw: object) -> None:
    def drawn() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        found: Tensor = draw(torch.zeros(4, device="cpu"), 1.0, 2.0, generator=generator)  # type: ignore[operator]
        return found

    with shapes_only():
        inside = drawn()
    assert torch.equal(inside, drawn()) and inside.unique().numel() == 4
