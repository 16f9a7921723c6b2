"""A forward pass without numbers through code that asks for some."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.fx.experimental import _config
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


@contextlib.contextmanager
def pretending() -> Iterator[None]:
    """Every number that a tensor does not hold is 0, every truth False, a choice by truths is all there is, and no distribution looks at its own."""
    all_true: Any = _config.patch  # type: ignore[attr-defined]
    checked = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        with _Written(), _Pretend(), all_true(meta_nonzero_assume_all_nonzero=True):
            yield
    finally:
        Distribution.set_default_validate_args(checked)


class _Pretend(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        aten = torch.ops.aten
        if func is aten._local_scalar_dense.default and args[0].is_meta:
            return False if args[0].dtype == torch.bool else 0
        if func is aten.nonzero.default and args[0].is_meta:
            return args[0].new_zeros((1, args[0].dim()), dtype=torch.long)
        given = [each for each in pytree.tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        if len({each.is_meta for each in given}) > 1:
            args, kwargs = pytree.tree_map_only(Tensor, _without_numbers, (args, kwargs))
        return func(*args, **(kwargs or {}))


class _Written(TorchFunctionMode):
    """A number that is written into a text, as in the name of an expert."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__format__ and args[0].is_meta and args[0].dim() == 0:
            return "0"
        return func(*args, **(kwargs or {}))


def _without_numbers(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_meta else torch.empty_like(tensor, device="meta")
