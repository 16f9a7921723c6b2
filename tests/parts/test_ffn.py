"""Every registered feed-forward layer: formula, gradients, shapes, dtypes and repeated backward passes."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves
from transformers import GptOssConfig
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssExperts

from paribus import oracles, registry
from paribus.errors import RequestError
from paribus.parts.ffn.gated import GatedFeedForward
from paribus.parts.ffn.ungated import FeedForward

from .comparison import (
    FFNS,
    assert_double_backward,
    assert_ffn_in_float,
    build_ffn,
    run,
    tokens,
    weights_of,
)

ALL = pytest.mark.parametrize("name", FFNS)
EVERY = pytest.mark.parametrize("name", tuple(registry.catalog()["ffn"]))
BIAS = pytest.mark.parametrize("bias", [False, True])


def test_every_registered_layer_has_an_oracle() -> None:
    assert set(registry.catalog()["ffn"]) <= set(oracles.FFN_LAYER), (
        "write the new layer's formula in src/paribus/oracles"
    )


@ALL
@BIAS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_output_and_gradients_equal_the_paper(name: str, bias: bool, dtype: torch.dtype) -> None:
    assert_ffn_in_float(build_ffn(name, bias=bias), name, dtype=dtype)


@EVERY
@BIAS
def test_first_and_second_derivatives_are_the_numerical_ones(name: str, bias: bool) -> None:
    assert_double_backward(build_ffn(name, d_model=2, d_ff=3, bias=bias))


@ALL
def test_biases_are_off_unless_asked_for(name: str) -> None:
    card = registry.get("ffn", name)
    matrices = {f"{branch}.weight" for branch in (*oracles.FFN[name], "down")}
    assert {n for n, _ in card.build(d_model=3, d_ff=4).named_parameters()} == matrices
    biases = {matrix.replace("weight", "bias") for matrix in matrices}
    assert {n for n, _ in card.build(d_model=3, d_ff=4, bias=True).named_parameters()} == matrices | biases


@EVERY
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5), (2, 3, 2, 5), (0, 5), (2, 0, 5), (1, 1, 5)])
def test_leading_axes_are_free(name: str, shape: tuple[int, ...]) -> None:
    layer, x = build_ffn(name), tokens(*shape)
    y = layer(x)
    y.sum().backward()
    assert x.grad is not None and y.shape == x.grad.shape == shape
    np.testing.assert_allclose(
        y.detach().numpy(),
        oracles.FFN_LAYER[name](weights_of(layer), x.detach().numpy()),
        rtol=1e-12,
        atol=1e-12,
    )


@EVERY
def test_a_strided_input_gives_what_its_contiguous_copy_gives(name: str) -> None:
    layer = build_ffn(name)
    x = tokens(5, 3, 4).detach().permute(2, 1, 0).requires_grad_()
    assert not x.is_contiguous()
    copied = x.detach().contiguous().requires_grad_()
    dy = tokens(4, 3, 5, seed=2).detach()
    for strided, contiguous in zip(
        tree_leaves(run(layer, x, dy)),
        tree_leaves(run(layer, copied, dy)),
        strict=True,
    ):
        torch.testing.assert_close(strided, contiguous, rtol=1e-13, atol=1e-13)


@EVERY
@BIAS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_output_and_input_gradient_have_the_dtype_of_the_input(
    name: str, bias: bool, dtype: torch.dtype
) -> None:
    layer, x = build_ffn(name, bias=bias).float(), tokens(3, 5, dtype=dtype)
    y = layer(x)
    y.sum().backward()
    assert x.grad is not None and y.dtype == x.grad.dtype == dtype
    assert {p.grad.dtype for p in layer.parameters() if p.grad is not None} == {torch.float32}


@EVERY
def test_a_second_backward_pass_equals_the_first(name: str) -> None:
    layer, x = build_ffn(name), tokens(3, 5)
    inputs = (x, *layer.parameters())
    loss = layer(x).square().sum()
    first = torch.autograd.grad(loss, inputs, retain_graph=True)
    second = torch.autograd.grad(loss, inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@ALL
def test_frozen_parameters_change_no_other_gradient(name: str) -> None:
    layer, dy = build_ffn(name, bias=True), tokens(3, 5, seed=2).detach()
    _, everything = run(layer, tokens(3, 5), dy)
    matrices = [*oracles.FFN[name], "down"]
    for frozen in itertools.chain.from_iterable(
        itertools.combinations(["x", *matrices], n) for n in range(1, len(matrices) + 2)
    ):
        part, x = copy.deepcopy(layer), tokens(3, 5)
        x.requires_grad_("x" not in frozen)
        for n, p in part.named_parameters():
            p.requires_grad_(n.split(".")[0] not in frozen)
        y = part(x)
        if y.requires_grad:
            y.backward(dy)
        for n, p in (("x", x), *part.named_parameters()):
            if n.split(".")[0] in frozen:
                assert p.grad is None
            else:
                assert p.grad is not None and torch.equal(p.grad, everything[n]), (frozen, n)


@EVERY
def test_without_gradients_the_output_is_the_same(name: str) -> None:
    layer, x = build_ffn(name), tokens(3, 5)
    expected = layer(x).detach()
    with torch.no_grad():
        assert torch.equal(layer(x), expected)
    with torch.inference_mode():
        assert torch.equal(layer(x), expected)
    assert torch.equal(layer.eval()(x), expected)


@ALL
def test_functional_call_uses_the_given_weights_in_both_passes(name: str) -> None:
    layer, x = build_ffn(name), tokens(3, 5)
    given = {n: torch.full_like(p, 0.3).requires_grad_() for n, p in layer.named_parameters()}
    y = torch.func.functional_call(layer, given, (x,))
    gradients = dict(zip(("x", *given), torch.autograd.grad(y.sum(), (x, *given.values())), strict=True))
    w = {n: p.detach().numpy() for n, p in given.items()}
    expected = oracles.ffn_gradients(name, w, x.detach().numpy(), np.ones((3, 5)))
    for key, gradient in gradients.items():
        np.testing.assert_allclose(gradient.numpy(), expected[key], rtol=1e-12, atol=1e-12, err_msg=key)


@ALL
def test_autocast_gives_bf16_near_the_exact_output(name: str) -> None:
    layer, x = build_ffn(name).float(), tokens(3, 5, dtype=torch.float32)
    expected = oracles.ffn(name, weights_of(layer), x.detach().double().numpy())
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    y.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    np.testing.assert_allclose(y.detach().double().numpy(), expected, rtol=0.1, atol=0.1)


def test_any_pair_of_activations_makes_a_gated_layer() -> None:
    layer = GatedFeedForward(d_model=3, d_ff=4, gate="tanh", value="relu").double()
    x = tokens(2, 3)
    expected = (
        torch.tanh(x @ layer.gate.weight.T) * torch.relu(x @ layer.value.weight.T)
    ) @ layer.down.weight.T
    torch.testing.assert_close(layer(x), expected)


def test_defaults_are_swiglu_and_relu() -> None:
    x = tokens(2, 3)
    for layer, name in (
        (GatedFeedForward(d_model=3, d_ff=4), "swiglu"),
        (FeedForward(d_model=3, d_ff=4), "relu"),
    ):
        expected = oracles.ffn(name, weights_of(layer.double()), x.detach().numpy())
        np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "build",
    [
        lambda: GatedFeedForward(d_model=3, d_ff=4, gate="gleu"),
        lambda: GatedFeedForward(d_model=3, d_ff=4, value="gleu"),
        lambda: FeedForward(d_model=3, d_ff=4, activation="gleu"),
    ],
)
def test_unknown_activation_is_refused_with_the_nearest(build: type) -> None:
    with pytest.raises(RequestError, match="gelu"):
        build()


@ALL
def test_counts_are_those_of_the_matrices(name: str) -> None:
    card, matrices = registry.get("ffn", name), len(oracles.FFN[name]) + 1
    assert card.num_params(d_model=5, d_ff=7) == matrices * 5 * 7
    assert card.num_params(d_model=5, d_ff=7, bias=True) == matrices * 5 * 7 + (matrices - 1) * 7 + 5
    assert card.flops(d_model=5, d_ff=7) == 2 * matrices * 5 * 7


# --- layers that are not a product of pointwise functions --------------------------------------------------


@pytest.mark.parametrize("name", ["swiglu_learnable", "prelu", "xielu", "swish_learnable"])
@pytest.mark.parametrize("per", ["layer", "channel"])
def test_what_an_activation_learns_is_one_number_or_one_a_channel(name: str, per: str) -> None:
    if name == "xielu" and per == "channel":
        return
    options = {"per": per} if per == "channel" else {}
    if name.endswith("learnable"):
        options["learnable"] = True
    if name == "swiglu_learnable":
        layer = GatedFeedForward(d_model=5, d_ff=7, gate="swish", gate_options=options)
    else:
        kind = name.removesuffix("_learnable")
        layer = FeedForward(d_model=5, d_ff=7, activation=kind, activation_options=options)
    learned = [p for n, p in layer.named_parameters() if "activation" in n]
    assert learned and {p.numel() for p in learned} == {7 if per == "channel" else 1}
    layer(tokens(3, 5, dtype=torch.float32)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in learned)


def test_a_learned_beta_of_another_forward_pass_does_not_enter_the_replay() -> None:
    layer, x = build_ffn("swish_learnable"), tokens(3, 5)
    expected = torch.autograd.grad(layer(x).sum(), x)[0]
    y = layer(x)
    layer.activation.beta = torch.nn.Parameter(layer.activation.beta.detach() + 1.0)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], expected)


def test_random_slopes_are_those_of_the_forward_pass_in_the_backward_pass() -> None:
    layer = FeedForward(d_model=5, d_ff=7, activation="rrelu").double()
    x = tokens(3, 5)
    torch.manual_seed(0)
    y = layer(x)
    torch.manual_seed(0)
    hidden = layer.up(x).detach()
    (slope,) = layer.activation.arguments(hidden)
    (dx,) = torch.autograd.grad(y.sum(), x)
    derivative = torch.where(hidden > 0, 1.0, slope)
    expected = (derivative * layer.down.weight.sum(0)) @ layer.up.weight
    torch.testing.assert_close(dx, expected, rtol=1e-12, atol=1e-12)
    assert ((slope >= 1 / 8) & (slope <= 1 / 3)).all() and slope.std() > 0.02
    assert not torch.equal(layer(x), layer(x)) and torch.equal(layer.eval()(x), layer(x))


def test_maxout_takes_the_largest_of_its_pieces() -> None:
    layer = FeedForward(d_model=2, d_ff=3, activation="maxout", activation_options={"pieces": 4}).double()
    x = tokens(5, 2)
    hidden = layer.up(x).unflatten(-1, (4, 3)).max(-2).values
    torch.testing.assert_close(layer(x), hidden @ layer.down.weight.T)
    assert layer.up.weight.shape == (12, 2)


@pytest.mark.parametrize("where", ["gate", "value"])
def test_a_gate_of_several_features_is_refused(where: str) -> None:
    with pytest.raises(RequestError, match="maxout"):
        GatedFeedForward(d_model=2, d_ff=3, **{where: "maxout"})


def test_clamped_swiglu_takes_its_published_values() -> None:
    layer = registry.get("ffn", "swiglu_clamped").build(d_model=1, d_ff=1).double()
    published = {(1.0, 0.0): 0.8457957659, (10.0, 10.0): 55.99962502642654, (2.0, -1.0): 0.0}
    for (gate, value), expected in published.items():
        with torch.no_grad():
            layer.gate.weight.fill_(gate)
            layer.value.weight.fill_(value)
            layer.down.weight.fill_(1.0)
        assert layer(torch.ones(1, dtype=torch.float64)).item() == pytest.approx(expected, abs=1e-10)


def test_clamped_swiglu_is_that_of_gpt_oss() -> None:
    peer = GptOssExperts(GptOssConfig(hidden_size=5, intermediate_size=7, num_local_experts=1)).double()
    ours = build_ffn("swiglu_clamped", bias=True)
    gate, value = tokens(4, 7).detach() * 6, tokens(4, 7, seed=2).detach() * 6
    interleaved = torch.stack((gate, value), dim=-1).flatten(-2)
    torch.testing.assert_close(
        ours._mixed(gate, value, (), ()), peer._apply_gate(interleaved), rtol=1e-6, atol=1e-6
    )


def test_glu_of_torch_gates_the_other_half() -> None:
    gate, value = tokens(3, 4).detach(), tokens(3, 4, seed=2).detach()
    ours = GatedFeedForward(d_model=4, d_ff=4, gate="sigmoid")
    mixed = ours._mixed(gate, value, (), ())
    assert torch.allclose(mixed, torch.nn.functional.glu(torch.cat((value, gate), dim=-1)))
    assert not torch.allclose(mixed, torch.nn.functional.glu(torch.cat((gate, value), dim=-1)))


@pytest.mark.parametrize(
    ("name", "f"),
    [("sigmoid", torch.sigmoid), ("gelu", torch.nn.functional.gelu), ("swish", torch.nn.functional.silu)],
)
def test_self_gate_is_the_input_times_one_gate_and_no_glu(name: str, f: object) -> None:
    layer, x = build_ffn(f"self_gate_{name}"), tokens(3, 5)
    torch.testing.assert_close(layer(x), x * f(x @ layer.gate.weight.T))
    assert [n for n, _ in layer.named_parameters()] == ["gate.weight"]


@pytest.mark.parametrize("depth", [1, 3])
def test_layernorm_mlp_has_as_many_hidden_layers_as_asked_for(depth: int) -> None:
    card = registry.get("ffn", "layernorm_mlp")
    layer = card.build(d_model=5, d_ff=7, depth=depth)
    assert card.num_params(d_model=5, d_ff=7, depth=depth) == 2 * 5 * 7 + (depth - 1) * 49 + 2 * 7 * depth
    assert layer(tokens(2, 5, dtype=torch.float32)).shape == (2, 5)
    with pytest.raises(RequestError, match="depth"):
        card.build(d_model=5, d_ff=7, depth=0)


class Cube(torch.nn.Module):
    """Somebody's own activation, a plain module."""

    def __init__(self, *, width: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x**3


def test_a_plain_module_serves_as_an_activation(own_registry: registry.Registry) -> None:
    registry.part("activation", "cube", formula="x^3", paper="here")(Cube)
    x = tokens(3, 5)
    ungated = FeedForward(d_model=5, d_ff=7, activation="cube").double()
    torch.testing.assert_close(ungated(x), ungated.up(x) ** 3 @ ungated.down.weight.T)
    gated = GatedFeedForward(d_model=5, d_ff=7, gate="cube").double()
    torch.testing.assert_close(gated(x), (gated.gate(x) ** 3 * gated.value(x)) @ gated.down.weight.T)
