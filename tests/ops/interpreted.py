"""Test bodies that run in Triton's interpreter, in a process of its own.

Triton reads TRITON_INTERPRET where it is imported, and other tests of this process may import it without. One
more process serves all such tests of a worker. Two gaps of the interpreter are filled there: it has no
libdevice, and it cuts float32 to bfloat16 where a GPU rounds to nearest even.
"""

import functools
import importlib
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from scipy import special

LIBDEVICE = {"erfc": special.erfc, "expm1": np.expm1, "log1p": np.log1p, "tanh": np.tanh}


def interpreted(test: Callable[..., None]) -> Callable[..., None]:
    """The test, with its body run in the interpreter's process; its arguments must be picklable."""

    @functools.wraps(test)
    def elsewhere(**arguments: Any) -> None:
        _process().submit(_run, test.__module__, test.__name__, arguments).result()

    return elsewhere


@functools.cache
def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin)


def _run(module: str, name: str, arguments: dict[str, Any]) -> None:
    getattr(importlib.import_module(module), name).__wrapped__(**arguments)


def _begin() -> None:
    os.environ["TRITON_INTERPRET"] = "1"
    torch.set_num_threads(1)
    np.seterr(over="ignore")  # e^x overflows where a sigmoid is 0, as on a GPU
    from triton.language.extra import libdevice
    from triton.runtime import interpreter

    for name, function in LIBDEVICE.items():
        setattr(libdevice, name, _elementwise(function))
    interpreter._convert_float = _rounding(interpreter._convert_float)


def _elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    import triton.language as tl
    from triton.runtime.interpreter import TensorHandle

    return lambda x: tl.tensor(TensorHandle(function(x.handle.data), x.handle.dtype), x.type)


def _rounding(convert: Callable[..., Any]) -> Callable[..., Any]:
    import triton.language as tl

    def converted(given: Any, source: Any, target: Any, mode: Any) -> Any:
        if (source, target) != (tl.float32, tl.bfloat16):
            return convert(given, source, target, mode)
        return torch.tensor(given).to(torch.bfloat16).view(torch.uint16).numpy()

    return converted
