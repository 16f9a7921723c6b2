"""What a feed-forward layer replays is what it saw: with every memory option it is the plain layer, whoever asks."""

import copy
import itertools
import re
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap
from torch.utils.flop_counter import FlopCounterMode

from paribus import oracles, registry
from paribus.errors import RequestError
from paribus.parts.ffn import replay

from .comparison import assert_double_backward, draw, tokens
from .keeping import MEMORIES, saved_bytes

D, F = 5, 7
#: Most ungated layers differ in a formula only, and are left to the exhaustive run.
RARE = set(oracles.POINTWISE) - {"gelu", "relu2"}
EVERY = pytest.mark.parametrize(
    ("name", "memory"),
    [pytest.param(*key, marks=pytest.mark.slow) if key[0] in RARE else key for key in MEMORIES],
)
#: Layers that differ in more than a formula.
SOME = pytest.mark.parametrize(
    ("name", "memory"),
    [
        *(("swiglu_learnable", memory) for memory in ("keep", "half", "none")),
        *(
            (name, memory)
            for name in ("swish_learnable", "rrelu", "self_gate_gelu")
            for memory in ("keep", "none")
        ),
    ],
)
BRANCHES = ("gate", "value", "up")


class Plain(nn.Module):
    """The layer's formula without any replay, over the layer's own parameters."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        if hasattr(layer, "up"):
            return layer.down(layer.activation(layer.up(x)))
        if not hasattr(layer, "down"):
            return x * layer.activation(layer.gate(x))
        gate, value = layer.gate(x), layer.value(x)
        if type(layer).__name__ == "ClampedSwiGLU":
            return layer.down(layer._mixed(gate, value, (), ()))
        return layer.down(layer.gate_activation(gate) * layer.value_activation(value))


def make(name: str, memory: str, *, bias: bool = True) -> nn.Module:
    return draw(registry.get("ffn", name).build(d_model=D, d_ff=F, bias=bias, memory=memory).double())


def gradients(run: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor, dy: Tensor) -> list[Tensor]:
    """Output and gradients by the input and by every parameter, after drawing from a fresh seed."""
    torch.manual_seed(0)
    y = run(x)
    return [y, *torch.autograd.grad(y, (x, *module.parameters()), dy)]


def assert_equal(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_output_and_gradients_are_those_of_the_plain_form(name: str, memory: str, dtype: torch.dtype) -> None:
    """To the bit, in training: random slopes are those that were drawn."""
    layer = make(name, memory).float() if dtype == torch.bfloat16 else make(name, memory)
    x, dy = tokens(2, 3, D, dtype=dtype), tokens(2, 3, D, seed=2, dtype=dtype).detach()
    assert_equal(gradients(layer, layer, x, dy), gradients(Plain(layer), layer, x, dy))


@SOME
def test_first_and_second_derivatives_are_the_numerical_ones(name: str, memory: str) -> None:
    layer = draw(registry.get("ffn", name).build(d_model=2, d_ff=3, memory=memory).double()).eval()
    assert_double_backward(layer)


@pytest.mark.slow
@EVERY
def test_derivatives_of_every_layer_are_the_numerical_ones(name: str, memory: str) -> None:
    layer = draw(registry.get("ffn", name).build(d_model=2, d_ff=3, bias=True, memory=memory).double()).eval()
    assert_double_backward(layer)


@EVERY
def test_a_second_backward_pass_gives_the_same_gradients(name: str, memory: str) -> None:
    layer, x = make(name, memory), tokens(3, D)
    inputs = (x, *layer.parameters())
    loss = layer(x).square().sum()
    first = torch.autograd.grad(loss, inputs, retain_graph=True)
    assert_equal(list(torch.autograd.grad(loss, inputs)), list(first))


@EVERY
def test_gradients_may_come_in_any_strides(name: str, memory: str) -> None:
    layer, x = make(name, memory).eval(), tokens(2, 3, D)
    whole = tokens(D, 3, 2, seed=2).detach()
    strided = {
        "zero": torch.ones((), dtype=torch.float64).expand(2, 3, D),
        "reversed": whole.permute(2, 1, 0),
        "every second": tokens(2, 3, 2 * D, seed=3).detach()[..., ::2],
    }
    for dy in strided.values():
        assert not dy.is_contiguous()
        for one, other in zip(
            gradients(layer, layer, x, dy), gradients(layer, layer, x, dy.contiguous()), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)


@EVERY
def test_a_replay_runs_under_the_autocast_of_the_forward_pass(name: str, memory: str) -> None:
    layer = make(name, memory).float().eval()
    x, dy = tokens(3, D, dtype=torch.float32), tokens(3, D, seed=2, dtype=torch.float32).detach()

    def run(form: nn.Module) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            y = form(x)
        return [y, *torch.autograd.grad(y, (x, *layer.parameters()), dy.to(y.dtype))]

    found = run(layer)
    assert_equal(found, run(Plain(layer)))
    assert name.startswith("self_gate") or found[0].dtype == torch.bfloat16


@pytest.mark.usefixtures("fresh_compiler")
@SOME
def test_compiled_output_and_gradients_are_those_of_the_plain_form(name: str, memory: str) -> None:
    """With the graph cut as for Inductor, so that what is replayed is."""
    layer = make(name, memory).eval()
    x, dy = tokens(2, 3, D), tokens(2, 3, D, seed=2).detach()
    compiled = torch.compile(layer, backend="aot_eager_decomp_partition", fullgraph=True)
    found, expected = gradients(compiled, layer, x, dy), gradients(Plain(layer), layer, x, dy)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@SOME
def test_a_replay_uses_the_weights_of_a_functional_call(name: str, memory: str) -> None:
    layer, x, dy = make(name, memory), tokens(3, D), tokens(3, D, seed=2).detach()
    given = {n: (p.detach() * 0.3).requires_grad_() for n, p in layer.named_parameters()}
    changed = copy.deepcopy(layer)
    changed.load_state_dict({n: p.detach() for n, p in given.items()})
    torch.manual_seed(0)
    y = functional_call(layer, given, (x,))
    found = torch.autograd.grad(y, (x, *given.values()), dy)
    assert_equal([y, *found], gradients(changed, changed, x, dy))


# --- frozen parts ------------------------------------------------------------------------------------------


def frozen_subsets(layer: nn.Module) -> Iterator[frozenset[str]]:
    """Every set of the input and the matrices of a layer, but that of all."""
    names = ["x", *(name for name, _ in layer.named_children() if "activation" not in name)]
    for count in range(len(names)):
        yield from map(frozenset, itertools.combinations(names, count))


def backward_products(run: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """FLOPs of the backward pass, in products of d_model by d_ff."""
    y = run(x)
    with FlopCounterMode(display=False) as counter:
        y.backward(torch.ones_like(y))
    return counter.get_total_flops() // (2 * x.shape[0] * D * F)


@pytest.mark.parametrize(
    ("name", "memory"),
    [(n, m) for n, m in MEMORIES if n in ("swiglu", "swiglu_learnable", "bilinear", "gelu", "prelu")],
)
def test_frozen_parts_get_nothing_and_change_nothing(name: str, memory: str) -> None:
    """For every subset: gradients to the bit, no product of the backward pass that nobody needs, and no more kept."""
    whole, dy = make(name, memory, bias=False), tokens(3, D, seed=2).detach()
    for frozen in frozen_subsets(whole):
        layer, x = copy.deepcopy(whole), tokens(3, D).requires_grad_("x" not in frozen)
        for n, p in layer.named_parameters():
            p.requires_grad_(n.split(".")[0] not in frozen)
        learning = {"x": x, **dict(layer.named_parameters())}
        learning = {n: t for n, t in learning.items() if t.requires_grad}
        found = torch.autograd.grad(layer(x), list(learning.values()), dy)
        expected = torch.autograd.grad(Plain(layer)(x), list(learning.values()), dy)
        assert_equal(list(found), list(expected))
        y = layer(x)
        y.backward(dy)
        assert all(t.grad is None for n, t in layer.named_parameters() if n not in learning)
        assert (x.grad is None) == ("x" in frozen)
        replays = {"keep": 0, "half": 1, "none": 2 if hasattr(layer, "gate") else 1}[memory]
        only_down = {"x", *BRANCHES} & {n.split(".")[0] for n in learning} == set() and not any(
            "activation" in n for n in learning
        )
        if only_down and memory != "none":
            replays = 0
        products = backward_products(Plain(layer), x)
        assert backward_products(layer, x) <= products + replays, frozen
        if only_down:
            assert backward_products(layer, x) == products + replays


@pytest.mark.parametrize("memory", ["keep", "half"])
def test_if_down_alone_learns_its_input_is_all_that_is_kept(memory: str) -> None:
    layer = registry.get("ffn", "swiglu").build(d_model=6, d_ff=40, memory=memory)
    for name in ("gate", "value"):
        layer.get_submodule(name).requires_grad_(False)
    grown = [saved_bytes(layer, count, torch.bfloat16, frozen_input=True) for count in (24, 8)]
    assert (grown[0] - grown[1]) / 16 / 40 == 2


# --- torch.func --------------------------------------------------------------------------------------------


@pytest.fixture
def not_yet_said() -> Iterator[None]:
    replay._warn_once.cache_clear()
    yield
    replay._warn_once.cache_clear()


def loss(layer: nn.Module) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
    return lambda parameters, x: functional_call(layer, parameters, (x,)).square().sum()


def by_autograd(layer: nn.Module, x: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*layer.named_parameters(), strict=True)
    return dict(
        zip(
            names,
            torch.autograd.grad(loss(layer)(dict(layer.named_parameters()), x), parameters),
            strict=True,
        )
    )


@SOME
def test_transforms_of_torch_func_give_the_gradients_of_autograd(
    name: str, memory: str, not_yet_said: None
) -> None:
    layer, x = make(name, memory).eval(), tokens(3, D).detach()
    parameters = dict(layer.named_parameters())
    with pytest.warns(UserWarning, match="torch.func"):
        found = grad(loss(layer))(parameters, x)
    expected = by_autograd(layer, x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for_each = vmap(grad(loss(layer)), in_dims=(None, 0))(parameters, x)
    torch.testing.assert_close({n: t.sum(0) for n, t in for_each.items()}, expected, rtol=1e-12, atol=1e-12)
    jacobian = jacrev(lambda p: functional_call(layer, p, (x,)))(parameters)
    y = layer(x).detach()
    torch.testing.assert_close(
        {n: 2 * torch.tensordot(y, t, dims=2) for n, t in jacobian.items()}, expected, rtol=1e-12, atol=1e-12
    )


def test_that_all_is_kept_under_a_transform_is_said_once(not_yet_said: None) -> None:
    layer, x = make("swiglu", "none"), tokens(3, D).detach()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        by_autograd(layer, x)
        with torch.no_grad():
            vmap(layer)(x)
        assert not said
        for _ in range(2):
            grad(loss(layer))(dict(layer.named_parameters()), x)
    assert len(said) == 1 and "memory" in str(said[0].message)


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("memory", ["keep", "none"])
def test_a_compiled_transform_is_one_graph_and_says_so_too(memory: str, not_yet_said: None) -> None:
    layer, x = make("swiglu_learnable", memory), tokens(3, D).detach()
    parameters = dict(layer.named_parameters())
    with pytest.warns(UserWarning, match="torch.func"):
        found = torch.compile(grad(loss(layer)), backend="aot_eager", fullgraph=True)(parameters, x)
    torch.testing.assert_close(found, by_autograd(layer, x), rtol=1e-12, atol=1e-12)


# --- requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "memory", "words"),
    [
        ("swiglu", "hlaf", ("keep", "half", "none", "'hlaf'")),
        ("swiglu", None, ("keep", "half", "none", "None")),
        ("relu", "half", ("keep", "none", "without a gate")),
        ("self_gate_gelu", "half", ("keep", "none", "'half'")),
    ],
)
def test_an_amount_that_cannot_be_kept_is_refused(name: str, memory: str, words: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as error:
        registry.get("ffn", name).build(d_model=2, d_ff=3, memory=memory)
    assert all(re.search(re.escape(word), str(error.value)) for word in words), str(error.value)


def test_what_an_activation_is_given_instead_of_a_hidden_vector_has_no_numbers_and_no_memory() -> None:
    x = torch.ones(2, 3, D, dtype=torch.bfloat16)
    like = replay.stand_in(x, 1000)
    assert like.shape == (2, 3, 1000) and like.dtype == x.dtype and like.isnan().all()
    assert like.untyped_storage().nbytes() == 2
