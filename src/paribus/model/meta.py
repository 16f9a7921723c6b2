"""Modules for their shapes alone: on the meta device, where nothing is allocated and nothing need be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_DRAWS = (Tensor.normal_, nn.init.normal_)


@contextmanager
def shapes_only() -> Iterator[None]:
    """What is built inside stands on the meta device, and normal draws into tensors there are left out.

    Such a draw makes nothing, and the first one of a process would import torch's compiler: a second for no number.
    """
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)
