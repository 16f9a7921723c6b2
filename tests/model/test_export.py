"""`torch.export` of a model, with a batch and a length that stay open, gives what the model gives."""

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export

from paribus.model.transformer import Transformer

from .conftest import SWAPS, MakeConfig, swapped
from .test_transformer import ids, model_of, source_of

DAILY = [
    ("ffn", "swiglu"),
    ("norm", "rmsnorm"),
    ("position", "rope"),
    ("position", "t5"),
    ("attention", "gqa"),
]


class InFloat64(nn.Module):
    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model.eval()

    def forward(self, ids_BT: Tensor, source_BS: Tensor | None = None) -> Tensor:
        logits: Tensor = self.model(ids_BT, source_BS=source_BS, dtype=torch.float64)
        return logits


@pytest.mark.parametrize(
    ("slot", "name"),
    [pytest.param(*swap, marks=() if swap in DAILY else pytest.mark.slow) for swap in SWAPS],
)
def test_an_exported_model_takes_batches_of_any_size_and_length(
    make_config: MakeConfig, slot: str, name: str
) -> None:
    model = InFloat64(model_of(make_config(**swapped(slot, name), max_seq_len=300)))
    # From 128 tokens on causal attention would be cut into blocks, and the table has other forms for other lengths.
    shapes = {"ids_BT": {0: Dim("batch", max=9), 1: Dim("length", min=2, max=300)}}
    with torch.no_grad():
        program = export(model, (ids(7),), dynamic_shapes=shapes, strict=False).module()
        for batch, length in ((2, 7), (3, 5), (5, 200)):
            given = ids(length, batch=batch)
            torch.testing.assert_close(program(given), model(given))


@pytest.mark.parametrize("architecture", ["encoder", "encoder_decoder"])
def test_other_architectures_are_exported_too(make_config: MakeConfig, architecture: str) -> None:
    config = make_config(architecture=architecture)
    model, source = InFloat64(model_of(config)), source_of(config)
    open_length = {1: Dim("length", min=2, max=9)}
    shapes = {"ids_BT": open_length, **{name: {1: Dim("source", min=2, max=9)} for name in source}}
    with torch.no_grad():
        program = export(model, (ids(7),), source, dynamic_shapes=shapes, strict=False).module()
        torch.testing.assert_close(program(ids(4), **source), model(ids(4), **source))
