"""Modules, or their parameters, for their shapes alone: on the meta device, where nothing is allocated or need be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

_DRAWS = (Tensor.normal_, nn.init.normal_)


@contextmanager
def shapes_only() -> Iterator[None]:
    """What is built inside stands on the meta device, and normal draws into tensors there are left out.

    Such a draw makes nothing, and the first one of a process would import torch's compiler: a second for no number.
    """
    with torch.device("meta"), _Undrawn():
        yield


@contextmanager
def parameters_as_shapes() -> Iterator[None]:
    """The parameters of what is built inside stand on the meta device, and so does what is computed from them.

    Buffers and other tensors are real. A parameter is made, and given up when its module is; tied ones stay tied. Not for
    two threads.
    """
    stand_ins = WeakTensorKeyDictionary()

    def shape_alone(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or parameter.is_meta:  # the second: tied to one that was here before
            return None
        if parameter not in stand_ins:
            stand_in = nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
            stand_ins[parameter] = stand_in
        kept: nn.Parameter = stand_ins[parameter]
        return kept

    handle = register_module_parameter_registration_hook(shape_alone)  # type: ignore[arg-type]  # it may return one
    try:
        with _Undrawn():
            yield
    finally:
        handle.remove()


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
