"""Linear layers whose weights are laid out once for the kernel that reads them, for many products with few rows.

A product of one row reads the whole weight and does next to nothing with it. On a CPU the usual call first turns the
weight into the blocks its kernel wants, each time; kept in those blocks, the same product has the same numbers in
half the time. The price is a second copy of the weight, so this is for generating, not for training.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from paribus.ops.linear import Linear


class Packed:
    """x ↦ x Wᵀ + b, without gradients, from a copy of the weights of one or several layers side by side.

    The copy is in `dtype`, in the kernel's own layout where `can_pack` says so, else as it is (and no copy where a
    single weight has that dtype already). Later changes of the weights are not seen. x [..., in] in `dtype` gives
    [..., out], the sum of the layers' widths.
    """

    def __init__(self, layers: Sequence[Linear], *, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.widths = [layer.out_features for layer in layers]
        self.packed = all(can_pack(layer.weight, dtype) for layer in layers)
        with torch.no_grad():
            weight = _joined([layer.weight.detach().to(dtype) for layer in layers])
            biases = [layer.bias.detach().to(dtype) for layer in layers if layer.bias is not None]
            assert len(biases) in (0, len(layers)), "either all of the layers have a bias or none"
            self.bias = _joined(biases) if biases else None
            self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, 1) if self.packed else weight
        own = weight.data_ptr() != layers[0].weight.data_ptr()
        self.nbytes = weight.nbytes if self.packed or own else 0

    def __call__(self, x: Tensor) -> Tensor:
        if self.packed:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return nn.functional.linear(x, self.weight, self.bias)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The output of each layer."""
        return self(x).split_with_sizes(self.widths, dim=-1)


class PackedLinear(Linear):
    """A `Linear` over the same parameters that computes from a `Packed` copy; x in another dtype as `Linear` does."""

    def __init__(self, layer: Linear, *, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = layer.out_features, layer.in_features
        self.weight = layer.weight
        self.register_parameter("bias", layer.bias)
        self.held = Packed([layer], dtype=dtype)
        self.training = False

    def forward(self, x: Tensor) -> Tensor:
        return self.held(x) if x.dtype == self.held.dtype else super().forward(x)


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def can_pack(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether a kernel here has a layout of its own for this weight in this dtype: oneDNN's, on CPUs."""
    return weight.device.type == "cpu" and dtype in _packed_dtypes()


@functools.cache
def _packed_dtypes() -> frozenset[torch.dtype]:
    """What oneDNN packs on this machine: tried once, since it depends on the processor."""
    if not torch.backends.mkldnn.is_available():
        return frozenset()
    return frozenset(dtype for dtype in (torch.float32, torch.bfloat16, torch.float16) if _packs(dtype))


def _packs(dtype: torch.dtype) -> bool:
    weight = torch.eye(16, dtype=dtype)
    try:
        with torch.inference_mode():
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, 1)
            given = torch.ops.mkldnn._linear_pointwise(weight[:1], packed, None, "none", [], "")
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return torch.equal(given, weight[:1])
