"""Triton source from plain torch: a pair's two functions are traced, and every ATen operation gives a line.

Nothing here knows an activation. A row that uses an operation which the tables below lack is an error that
names the operation; it needs one more entry here and no kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import _disable_current_modes

from paribus.ops.activations.smooth import gelu_tanh_inside, normal_cdf
from paribus.ops.pair import Pair

_ATEN = torch.ops.aten


def _gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    # As the rows' derivatives have it: 1 + erf and 1 + tanh would cancel in the left tail.
    return x * (torch.sigmoid(2 * gelu_tanh_inside(x)[0]) if approximate == "tanh" else normal_cdf(x))


def _logaddexp(x: Tensor, y: Tensor) -> Tensor:
    return torch.where(x > y, x, y) + torch.log1p(torch.exp(-(x - y).abs()))


def _power(x: Tensor, exponent: float) -> Tensor:
    if exponent not in (2, 3):
        raise NotImplementedError(f"no Triton form of a power of {exponent}; known: 2 and 3")
    return x * x if exponent == 2 else x * x * x


#: Composite operations in simpler ones; only what a row calls by its composite name.
_SIMPLER: dict[Any, Callable[..., Tensor]] = {
    _ATEN.gelu.default: _gelu,
    _ATEN.hardtanh.default: lambda x, low=-1, high=1: x.clamp(low, high),
    _ATEN.leaky_relu.default: lambda x, slope=0.01: torch.where(x > 0, x, slope * x),
    _ATEN.logaddexp.default: _logaddexp,
    _ATEN.pow.Tensor_Scalar: _power,
    _ATEN.relu.default: lambda x: x.clamp(min=0),
    _ATEN.silu.default: lambda x: x * torch.sigmoid(x),
}


def _full(x: str, number: str) -> str:
    return f"tl.full({x}.shape, {number}, WIDE)"


def _clamp(x: str, low: str | None = None, high: str | None = None) -> str:
    # Not tl.clamp: where nothing compares, as with nan, x stays, as in torch. Not a bare number in tl.where,
    # which would hold it in float32 whatever WIDE is.
    inner = x if high is None else f"tl.where({x} > {high}, {_full(x, high)}, {x})"
    return inner if low is None else f"tl.where({x} < {low}, {_full(x, low)}, {inner})"


#: ATen operation -> Triton expression of its operands.
_EXPRESSIONS: dict[Any, Callable[..., str]] = {
    _ATEN.abs.default: "tl.abs({})".format,
    _ATEN.add.Tensor: "{} + {}".format,
    _ATEN.bitwise_and.Tensor: "{} & {}".format,
    _ATEN.clamp.default: _clamp,
    _ATEN.div.Tensor: "{} / {}".format,
    _ATEN.erfc.default: "libdevice.erfc({})".format,
    _ATEN.exp.default: "tl.exp({})".format,
    _ATEN.expm1.default: "libdevice.expm1({})".format,
    _ATEN.full_like.default: _full,
    _ATEN.gt.Scalar: "{} > {}".format,
    _ATEN.gt.Tensor: "{} > {}".format,
    _ATEN.log1p.default: "libdevice.log1p({})".format,
    _ATEN.lt.Scalar: "{} < {}".format,
    _ATEN.mul.Tensor: "{} * {}".format,
    _ATEN.neg.default: "-{}".format,
    _ATEN.ones_like.default: lambda x: _full(x, "1.0"),
    _ATEN.rsub.Scalar: "{1} - {0}".format,
    _ATEN.sigmoid.default: "tl.sigmoid({})".format,
    _ATEN.sub.Tensor: "{} - {}".format,
    _ATEN.tanh.default: "libdevice.tanh({})".format,
    _ATEN.where.self: "tl.where({}, {}, {})".format,
    _ATEN.zeros_like.default: lambda x: _full(x, "0.0"),
    _ATEN._to_copy.default: "{}.to(WIDE)".format,
}
#: How a result is laid out, which a register does not know; every number is in WIDE.
_OF_LAYOUT = {"dtype", "device", "layout", "memory_format", "non_blocking", "pin_memory"}

_FORWARD = """
@triton.jit
def {name}({inputs}y_ptr, n, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
{loads}
{body}
    tl.store(y_ptr + at, {results[0]}.to(y_ptr.dtype.element_ty), mask=inside)
"""
_BACKWARD = """
@triton.jit
def {name}_backward({inputs}dg_ptr, dv_ptr, {of_beta}n, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
{loads}
{body}
    tl.store(dg_ptr + at, {results[0]}.to(dg_ptr.dtype.element_ty), mask=inside)
    tl.store(dv_ptr + at, {results[1]}.to(dv_ptr.dtype.element_ty), mask=inside)
"""
# Beyond the end dy is loaded as 0, so that what is summed there is 0.
_PARTIAL = "    tl.store(partial_ptr + tl.program_id(0), tl.sum({}, 0))\n"


def source(pair: Pair) -> str:
    """Text of a module with the pair's two kernels, `kernel_name(pair)` and the same with `_backward`.

    Tensors are contiguous, of n elements in any floating dtype; they are computed in WIDE and rounded once.
    """
    names = ("g", "v", "beta") if pair.learned else ("g", "v")
    name = kernel_name(pair)
    forward = _kernel(_FORWARD, name, pair.forward, names)
    backward = _kernel(_BACKWARD, name, pair.backward, ("dy", *names))
    head = "import triton\nimport triton.language as tl\nfrom triton.language.extra import libdevice\n\n"
    return f"{head}{forward}\n{backward}"


def kernel_name(pair: Pair) -> str:
    """What a profiler shows; constants are not in it."""
    return f"gate_mul_{pair.gate}{'_learned' if pair.learned else ''}_{pair.value}"


def _kernel(template: str, name: str, function: Callable[..., Any], names: Sequence[str]) -> str:
    body, results = lines_of(function, names)
    loads = [
        f"    {each} = tl.load({each}_ptr).to(WIDE)"
        if each == "beta"
        else f"    {each} = tl.load({each}_ptr + at, mask=inside, other=0.0).to(WIDE)"
        for each in names
    ]
    text = template.format(
        name=name,
        inputs="".join(f"{each}_ptr, " for each in names),
        of_beta="partial_ptr, " if len(results) == 3 else "",
        loads="\n".join(loads),
        body="\n".join(f"    {line}" for line in body),
        results=results,
    )
    return text + (_PARTIAL.format(results[2]) if len(results) == 3 else "")


def lines_of(function: Callable[..., Any], names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Statements that compute the function of tensors of these names, and the names of its results."""
    graph = _traced(function, len(names))
    placeholders = iter(names)
    known: dict[fx.Node, str] = {}
    statements: dict[str, str] = {}  # expression -> name: what two rows share is computed once
    for node in graph.nodes:
        if node.op == "placeholder":
            known[node] = next(placeholders)
        elif node.op == "call_function":
            known[node] = statements.setdefault(_expression(node, known), node.name)
        elif node.op == "output":
            results = node.args[0] if isinstance(node.args[0], list | tuple) else (node.args[0],)
    return [f"{name} = {text}" for text, name in statements.items()], [known[each] for each in results]


def _traced(function: Callable[..., Any], count: int) -> fx.Graph:
    """The function's graph over ATen operations that are not composite, without dead ones."""
    examples = [torch.zeros(2, device="cpu") for _ in range(count)]
    with _disable_current_modes():  # somebody may count or fake the caller's operations
        module = make_fx(lambda given: function(*given), decomposition_table=_SIMPLER)(examples)
    module.graph.eliminate_dead_code()
    return module.graph


def _expression(node: fx.Node, known: dict[fx.Node, str]) -> str:
    if node.target not in _EXPRESSIONS:
        raise NotImplementedError(f"no Triton form of {node.target}; give it one in {__name__}")
    extra = node.kwargs.keys() - _OF_LAYOUT
    if extra:
        raise NotImplementedError(f"no Triton form of {node.target} with {', '.join(sorted(extra))}")
    return _EXPRESSIONS[node.target](*(_operand(each, known) for each in node.args))


def _operand(given: Any, known: dict[fx.Node, str]) -> str | None:
    if given is None:
        return None
    if isinstance(given, fx.Node):
        return known[given]
    return repr(float(given)) if math.isfinite(given) else f'float("{float(given)}")'
