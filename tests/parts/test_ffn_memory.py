"""What a feed-forward layer keeps for its backward pass, counted where autograd saves it."""

import pytest
import torch
from torch import Tensor, nn

from paribus.oracles import FFN

from .comparison import FFNS, build_ffn, tokens

D, F = 6, 40


def saved_bytes(layer: nn.Module, num_tokens: int, dtype: torch.dtype) -> int:
    """Bytes of all storages saved in the forward pass but that of the input."""
    x = tokens(num_tokens, D, dtype=dtype)
    saved: dict[int, Tensor] = {}  # holds the tensors, so that no address is used twice

    def pack(t: Tensor) -> Tensor:
        saved[t.untyped_storage().data_ptr()] = t
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = layer(x)
    saved.pop(x.untyped_storage().data_ptr(), None)
    y.sum().backward()
    return sum(t.untyped_storage().nbytes() for t in saved.values())


def bytes_per_element(layer: nn.Module, dtype: torch.dtype) -> float:
    """Saved bytes for each token and element of d_ff; weights do not grow with tokens, so they drop out."""
    return (saved_bytes(layer, 24, dtype) - saved_bytes(layer, 8, dtype)) / 16 / F


class Plain(nn.Module):
    """The usual code, which keeps every intermediate."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        gate, value, down = (self.layer.get_submodule(n) for n in ("gate", "value", "down"))
        return down(nn.functional.silu(gate(x)) * value(x))


@pytest.mark.parametrize("name", FFNS)
@pytest.mark.parametrize(("dtype", "size"), [(torch.bfloat16, 2), (torch.float32, 4)])
def test_one_tensor_of_width_d_ff_is_kept_for_each_branch(name: str, dtype: torch.dtype, size: int) -> None:
    layer = build_ffn(name, d_model=D, d_ff=F).float()
    assert bytes_per_element(layer, dtype) == size * len(FFN[name])


def test_the_usual_code_keeps_twice_as_much() -> None:
    assert bytes_per_element(Plain(build_ffn("swiglu", d_model=D, d_ff=F).float()), torch.bfloat16) == 8
