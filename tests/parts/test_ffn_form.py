"""Which form of its pointwise part a gated layer runs, and that the kernels' form is the same layer."""

from typing import Any

import pytest
import torch
from torch import Tensor, fx

from paribus import registry
from paribus.parts.ffn.gated import GatedFeedForward

from ..ops.interpreted import interpreted
from .comparison import FFNS, assert_double_backward, assert_ffn_in_float, build_ffn, tokens

GLU_FAMILY = ("glu", "gtu", "bilinear", "reglu", "geglu", "geglu_tanh", "swiglu", "swiglu_learnable", "gated")
#: What the kernels do not know: a gate that is no row, one beta a channel, a learned value, another product.
PLAIN: list[tuple[str, dict[str, Any]]] = [
    ("gated", {"gate": "polynorm"}),
    ("gated", {"gate": "prelu"}),
    ("gated", {"value": "softmax"}),
    ("gated", {"gate": "swish", "gate_options": {"learnable": True, "per": "channel"}}),
    ("gated", {"value": "swish", "value_options": {"learnable": True}}),
    ("swiglu_clamped", {}),
]


class Doubled(GatedFeedForward):
    def _mixed(self, *arguments: Any) -> Tensor:
        return 2 * super()._mixed(*arguments)


def layer(name: str, **options: Any) -> Any:
    return registry.get("ffn", name).build(d_model=4, d_ff=6, **options)


def gradients(module: torch.nn.Module) -> list[Tensor]:
    x = tokens(3, 4, dtype=torch.float32)
    learned = [x, *(p for p in module.parameters() if p.requires_grad)]
    return list(torch.autograd.grad(module(x).square().sum(), learned))


@pytest.mark.parametrize("name", GLU_FAMILY)
def test_form_is_plain_where_there_is_no_gpu(name: str) -> None:
    assert layer(name).form == layer(name).to("meta").form == "plain"


pytest.importorskip("triton")


@pytest.mark.parametrize("name", [name for name in GLU_FAMILY if name in FFNS])
@interpreted
def test_layer_by_the_kernels_is_the_paper_s(name: str) -> None:
    for dtype in (torch.float64, torch.float32):
        assert build_ffn(name).form == "triton"
        assert_ffn_in_float(build_ffn(name), name, dtype=dtype)


@interpreted
def test_the_kernels_keep_4_bytes_an_element() -> None:
    module, kept = layer("swiglu"), {}

    def keep(saved: Tensor) -> Tensor:
        kept[saved.untyped_storage().data_ptr()] = saved
        return saved

    x = torch.randn(4096, 4, dtype=torch.bfloat16)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        module(x).sum()
    wide = [saved for saved in kept.values() if saved.shape == (4096, 6)]
    assert sum(saved.nbytes for saved in wide) == 4 * 4096 * 6


@pytest.mark.parametrize("name", ["gtu", "geglu", "swiglu_learnable"])
@interpreted
def test_layer_by_the_kernels_can_be_derived_twice(name: str) -> None:
    assert_double_backward(build_ffn(name, d_model=2, d_ff=3))


@interpreted
def test_any_pair_of_rows_runs_by_the_kernels() -> None:
    options = {"gate": "celu", "gate_options": {"constants": {"alpha": 0.5}}, "value": "swish"}
    module = layer("gated", **options, value_options={"beta": 1.5})
    assert module.form == "triton"
    x = torch.randn(5, 4)
    g, v = module.gate(x), module.value(x)
    expected = module.down(torch.celu(g, 0.5) * v * torch.sigmoid(1.5 * v))
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize(("name", "options"), PLAIN)
@interpreted
def test_what_the_kernels_do_not_know_is_plain_and_says_so(name: str, options: dict[str, Any]) -> None:
    module = layer(name, **options)
    assert module.form == "plain"
    module(torch.randn(3, 4)).sum().backward()


@interpreted
def test_a_layer_with_its_own_product_is_plain() -> None:
    assert Doubled(d_model=4, d_ff=6).form == "plain"


@pytest.mark.parametrize("frozen", ["gate.weight", "value.weight", "gate_activation.beta"])
@interpreted
def test_frozen_parameters_get_no_gradient_and_change_no_other(frozen: str) -> None:
    module = layer("swiglu_learnable")
    names = ["x", *(name for name, _ in module.named_parameters())]
    whole = dict(zip(names, gradients(module), strict=True))
    module.get_parameter(frozen).requires_grad_(False)
    rest = dict(zip([name for name in names if name != frozen], gradients(module), strict=True))
    assert all(torch.equal(whole[name], gradient) for name, gradient in rest.items())


@interpreted
def test_a_compiled_graph_holds_the_plain_form_and_no_break() -> None:
    module, graphs = layer("swiglu"), []

    def keep(graph: fx.GraphModule, inputs: list[Tensor]) -> fx.GraphModule:
        graphs.append(graph.print_readable(print_output=False))
        return graph

    x = torch.randn(3, 4)
    torch.testing.assert_close(torch.compile(module, fullgraph=True, backend=keep)(x), module(x))
    assert len(graphs) == 1 and "silu" in graphs[0] and "gate_mul" not in graphs[0]
