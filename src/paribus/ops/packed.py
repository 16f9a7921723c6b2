"""Linear layers whose weights are laid out once for the kernel that reads them, for many products with few rows.

A product of one row reads the whole weight and does next to nothing with it. On a CPU the usual call first turns the
weight into the blocks its kernel wants, each time; kept in those blocks, the same product has the same numbers in
half the time. The price is a second copy of the weight, so this is for generating, not for training.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from paribus.ops.linear import Linear


class PackedLinear(Linear):
    """A `Linear` over the same parameters that computes, without gradients, from a copy made for its kernel.

    The copy is in `dtype`, in the kernel's own layout where `can_pack(weight, dtype)`, else as it is (and no copy
    where the weight has that dtype already). Later changes of the parameters are not seen. x [..., in] in `dtype`
    gives [..., out]; x in another dtype is computed from the parameters, as `Linear` does.
    """

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None, *, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.weight = weight
        self.register_parameter("bias", bias)
        self.dtype, self.packed = dtype, can_pack(weight, dtype)
        with torch.no_grad():
            held = weight.detach().to(dtype)
            self._held = torch.ops.mkldnn._reorder_linear_weight(held, 1) if self.packed else held
            self._held_bias = None if bias is None else bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != self.dtype:
            return super().forward(x)
        if self.packed:
            return torch.ops.mkldnn._linear_pointwise(x, self._held, self._held_bias, "none", [], "")
        return nn.functional.linear(x, self._held, self._held_bias)


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
