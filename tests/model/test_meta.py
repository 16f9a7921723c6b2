"""Models for their shapes alone."""

import pytest
import torch
from torch import Tensor, nn

from paribus.model.meta import shapes_only


def test_parameters_have_shapes_and_no_memory() -> None:
    with shapes_only():
        layer = nn.Embedding(3, 4)
        table = nn.Parameter(torch.empty(5, 4).normal_(std=0.02))
    assert [each.shape for each in (layer.weight, table)] == [(3, 4), (5, 4)]
    assert layer.weight.is_meta and table.is_meta


@pytest.mark.parametrize("draw", [Tensor.normal_, nn.init.normal_])
def test_a_tensor_on_a_real_device_is_drawn_as_ever(draw: object) -> None:
    def drawn() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        found: Tensor = draw(torch.zeros(4, device="cpu"), 1.0, 2.0, generator=generator)  # type: ignore[operator]
        return found

    with shapes_only():
        inside = drawn()
    assert torch.equal(inside, drawn()) and inside.unique().numel() == 4
