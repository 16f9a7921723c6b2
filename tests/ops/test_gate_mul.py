"""The generated kernels in Triton's interpreter, against the papers' closed forms in float64."""

import numpy as np
import pytest
import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.ops.gate_mul import _gate_mul, _gate_mul_backward, available, gate_mul, why_plain
from paribus.ops.pair import ROWS
from paribus.oracles import round_once_slack

from .interpreted import interpreted
from .pair_cases import exact, over_floor, points

pytest.importorskip("triton")

NAMES = [name for name in ROWS if name != "swish"]  # with beta 1 it is silu; it has tests of its own
#: Every row once as gate and once as value, and then the GLU family.
SOME = [
    *zip(NAMES, NAMES[9:] + NAMES[:9], strict=True),
    *((gate, "identity") for gate in ("sigmoid", "identity", "relu", "gelu", "gelu_tanh", "silu")),
    ("tanh", "sigmoid"),
]
SMOOTH = [("silu", "identity"), ("gelu", "identity"), ("tanh", "sigmoid"), ("mish", "elu")]
BITS = {torch.bfloat16: 8, torch.float16: 11}
HALF = pytest.mark.parametrize("dtype", BITS, ids=str)


def computed(dtype: torch.dtype, gate: str, value: str, **more: dict[str, float]) -> tuple[dict, tuple]:
    """y, dg and dv of the kernels, and what they were computed from."""
    g, v, dy = (points(dtype, seed=seed) for seed in range(3))
    g.requires_grad_(), v.requires_grad_()
    y = gate_mul(g, v, gate=gate, value=value, **more)
    dg, dv = torch.autograd.grad(y, (g, v), dy)
    assert y.dtype == dg.dtype == dv.dtype == dtype
    return {"y": y.detach(), "dg": dg, "dv": dv}, (g, v, dy)


def slack_in_float32(expected: np.ndarray) -> np.ndarray:
    """What evaluation in float32 may cost: more where terms cancel, as at the zero of a derivative."""
    return 2e-6 * np.abs(expected) + 2e-7 * np.abs(expected).max()


def assert_rounded_once(actual: dict[str, Tensor], expected: dict[str, np.ndarray]) -> None:
    for key, result in actual.items():
        error = np.abs(result.double().numpy() - expected[key])
        least = torch.finfo(result.dtype).tiny  # below it lie no more bits
        rounding = round_once_slack(np.maximum(np.abs(expected[key]), least), BITS[result.dtype])
        excess = (error - slack_in_float32(expected[key])) / rounding
        assert (excess <= 1).all(), f"{key}: {excess.max()} of half a last place"
        assert over_floor(result, expected[key]) <= 1.02, key


def assert_float32(actual: dict[str, Tensor], expected: dict[str, np.ndarray]) -> None:
    for key, result in actual.items():
        excess = np.abs(result.double().numpy() - expected[key]) / slack_in_float32(expected[key])
        assert (excess <= 1).all(), f"{key}: {excess.max()} of what float32 may cost"


def assert_right(dtype: torch.dtype, gate: str, value: str) -> None:
    actual, given = computed(dtype, gate, value)
    check = assert_float32 if dtype == torch.float32 else assert_rounded_once
    check(actual, exact(*given, gate, value))


@pytest.mark.parametrize(("gate", "value"), SOME)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@interpreted
def test_result_and_gradients_are_exact_but_for_one_rounding(
    gate: str, value: str, dtype: torch.dtype
) -> None:
    assert_right(dtype, gate, value)


@pytest.mark.slow
@pytest.mark.parametrize("gate", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@interpreted
def test_every_pair_is_exact_but_for_one_rounding(gate: str, dtype: torch.dtype) -> None:
    for value in NAMES:
        assert_right(dtype, gate, value)


@pytest.mark.parametrize(
    ("gate", "real", "beta"),
    [("swish", "silu", 1.001), ("gelu_tanh", "gelu", None), ("silu", "swish", 1.0), ("elu", "selu", None)],
)
@interpreted
def test_float32_tells_a_wrong_formula(gate: str, real: str, beta: float | None) -> None:
    constants = {} if beta is None or gate != "swish" else {"gate_constants": {"beta": beta}}
    actual, given = computed(torch.float32, gate, "identity", **constants)
    expected = exact(*given, "silu" if real == "swish" else real, "identity")
    if real == "swish":  # the control: silu is swish
        return assert_float32(actual, expected)
    for key in ("y", "dg", "dv"):
        with pytest.raises(AssertionError):
            assert_float32({key: actual[key]}, expected)
    return None


@HALF
@pytest.mark.parametrize(("gate", "real", "beta"), [("swish", "silu", 1.02), ("gelu_tanh", "gelu", None)])
@interpreted
def test_half_precision_tells_a_wrong_formula(
    gate: str, real: str, beta: float | None, dtype: torch.dtype
) -> None:
    constants = {} if beta is None else {"gate_constants": {"beta": beta}}
    actual, given = computed(dtype, gate, "identity", **constants)
    for key in ("y", "dg", "dv"):
        with pytest.raises(AssertionError):
            assert_rounded_once({key: actual[key]}, exact(*given, real, "identity"))


@interpreted
def test_float32_tells_gate_from_value() -> None:
    actual, (g, v, dy) = computed(torch.float32, "silu", "identity")
    expected = exact(v, g, dy, "silu", "identity")
    for key, other in (("y", "y"), ("dg", "dv"), ("dv", "dg")):
        with pytest.raises(AssertionError):
            assert_float32({other: actual[key]}, expected)


@pytest.mark.parametrize("dtype", [torch.float32, *BITS], ids=str)
@interpreted
def test_learned_beta_is_swish_and_gets_its_gradient(dtype: torch.dtype) -> None:
    g, v, dy = (points(dtype, seed=seed) for seed in range(3))
    beta = torch.tensor([0.7], requires_grad=True)
    y = gate_mul(g.requires_grad_(), v.requires_grad_(), gate="swish", beta=beta)
    dg, dv, dbeta = torch.autograd.grad(y, (g, v, beta), dy)
    g64, v64, dy64, b = *(x.detach().double().numpy() for x in (g, v, dy)), float(beta)
    sigmoid, other = 1 / (1 + np.exp(-b * g64)), 1 / (1 + np.exp(b * g64))
    expected = {
        "y": g64 * sigmoid * v64,
        "dg": dy64 * v64 * (sigmoid + b * g64 * sigmoid * other),
        "dv": dy64 * g64 * sigmoid,
    }
    check = assert_float32 if dtype == torch.float32 else assert_rounded_once
    check({"y": y.detach(), "dg": dg, "dv": dv}, expected)
    terms = dy64 * v64 * g64**2 * sigmoid * other
    assert (dbeta.shape, dbeta.dtype) == ((1,), torch.float32)
    assert abs(dbeta.item() - terms.sum()) < 3e-7 * np.abs(terms).sum()


@pytest.mark.parametrize(
    ("gate", "constants"),
    [("leaky_relu", {"slope": 0.3}), ("celu", {"alpha": 0.7}), ("softshrink", {"bound": 0.3})],
)
@interpreted
def test_constants_reach_the_kernels(gate: str, constants: dict[str, float]) -> None:
    g, v, dy = (points(torch.float64, seed=seed, count=99) for seed in range(3))
    g.requires_grad_(), v.requires_grad_()
    both = {"gate": gate, "value": gate, "gate_constants": constants, "value_constants": {}}
    y = gate_mul(g, v, **both)
    plain = ROWS[gate].value(g, **constants) * ROWS[gate].value(v)
    assert (plain - ROWS[gate].value(g) * ROWS[gate].value(v)).abs().max() > 1e-2
    torch.testing.assert_close(y, plain, rtol=1e-14, atol=1e-15)
    for ours, theirs in zip(
        torch.autograd.grad(y, (g, v), dy), torch.autograd.grad(plain, (g, v), dy), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5, 11), (1, 1024), (3, 1025)])
@interpreted
def test_any_shape_is_taken(shape: tuple[int, ...]) -> None:
    g, v = torch.randn(shape), torch.randn(shape)
    y = gate_mul(g, v)
    torch.testing.assert_close(y, torch.nn.functional.silu(g) * v)
    assert y.shape == shape


@pytest.mark.parametrize("learned", [False, True])
@interpreted
def test_empty_tensors_give_empty_gradients(learned: bool) -> None:
    g, v = torch.empty(0, 3, requires_grad=True), torch.empty(0, 3, requires_grad=True)
    beta = torch.ones(1, requires_grad=True) if learned else None
    y = gate_mul(g, v, gate="swish", beta=beta)
    y.sum().backward()
    assert y.shape == g.grad.shape == v.grad.shape == (0, 3)
    assert beta is None or torch.equal(beta.grad, torch.zeros(1))


@interpreted
def test_strides_do_not_matter() -> None:
    wide = torch.randn(6, 4, 10)
    g, v, dy = wide[:, :, :5], wide.transpose(0, 1)[:, :, ::2].transpose(0, 1), torch.randn(4, 6, 5)
    given = (g, v, dy.transpose(0, 1))
    assert not any(each.is_contiguous() for each in given)
    results = []
    for g, v, dy in (given, tuple(each.contiguous() for each in given)):
        g, v = g.detach().requires_grad_(), v.detach().requires_grad_()
        y = gate_mul(g, v, gate="gelu", value="tanh")
        results.append((y.detach(), *torch.autograd.grad(y, (g, v), dy)))
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


@interpreted
def test_a_gradient_of_stride_zero_is_read_right() -> None:
    g, v = torch.randn(5, 7, requires_grad=True), torch.randn(5, 7, requires_grad=True)
    row = torch.randn(7)
    spread = torch.autograd.grad(gate_mul(g, v), (g, v), row.expand(5, 7))
    whole = torch.autograd.grad(gate_mul(g, v), (g, v), row.repeat(5, 1))
    assert all(torch.equal(*pair) for pair in zip(spread, whole, strict=True))
    one = torch.autograd.grad(gate_mul(g, v).sum(), v)[0]
    torch.testing.assert_close(one, torch.nn.functional.silu(g.detach()))


@interpreted
def test_nan_comes_through_and_far_tails_do_not_overflow() -> None:
    g = torch.tensor([float("nan"), 200.0, -200.0])
    for gate in ROWS:
        y = gate_mul(g, torch.ones(3), gate=gate)
        torch.testing.assert_close(y, ROWS[gate].value(g), equal_nan=True, msg=f"{gate}: {y}")


@pytest.mark.parametrize(("gate", "value"), SMOOTH)
@interpreted
def test_derivatives_of_first_and_second_order_are_the_numerical_ones(gate: str, value: str) -> None:
    g, v = (points(torch.float64, seed=seed, count=5).requires_grad_() for seed in (3, 4))
    assert torch.autograd.gradcheck(lambda *x: gate_mul(*x, gate=gate, value=value), (g, v))
    assert torch.autograd.gradgradcheck(lambda *x: gate_mul(*x, gate=gate, value=value), (g, v))


@interpreted
def test_learned_beta_has_derivatives_of_first_and_second_order() -> None:
    g, v = (points(torch.float64, seed=seed, count=5).requires_grad_() for seed in (3, 4))
    beta = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)

    def function(g: Tensor, v: Tensor, beta: Tensor) -> Tensor:
        return gate_mul(g, v, gate="swish", value="softplus", beta=beta)

    assert torch.autograd.gradcheck(function, (g, v, beta))
    assert torch.autograd.gradgradcheck(function, (g, v, beta))


@interpreted
def test_second_backward_through_a_kept_graph_gives_the_same() -> None:
    g, v = torch.randn(5, requires_grad=True), torch.randn(5, requires_grad=True)
    y = gate_mul(g, v)
    first = torch.autograd.grad(y.sum(), (g, v), retain_graph=True)
    again = torch.autograd.grad(y.sum(), (g, v))
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))


@interpreted
def test_gradient_of_the_kernel_alone_is_loud_and_not_wrong() -> None:
    g = torch.randn(3, requires_grad=True)
    dg, _, _ = _gate_mul_backward(torch.ones(3), g, torch.ones(3), None, "silu", "identity", [], [])
    with pytest.raises(RuntimeError, match="gate_mul_backward"):
        dg.sum().backward()


@pytest.mark.parametrize("learned", [False, True])
@interpreted
def test_torch_accepts_both_ops(learned: bool) -> None:
    g, v = torch.randn(3, 5, requires_grad=True), torch.randn(3, 5, requires_grad=True)
    beta = torch.ones(1, requires_grad=True) if learned else None
    rows = ("swish", "identity", [] if learned else [1.0], [])
    torch.library.opcheck(_gate_mul, (g, v, beta, *rows))
    given = (each if each is None else each.detach() for each in (g, v, beta))
    torch.library.opcheck(_gate_mul_backward, (torch.randn(3, 5), *given, *rows))


@interpreted
def test_what_cannot_run_is_said_in_words() -> None:
    g, cpu = torch.randn(4), torch.device("cpu")
    assert available(cpu, g) and why_plain(cpu, g) is None
    assert "int64" in why_plain(cpu, g.long())
    reasons = []
    torch.func.grad(lambda x: (reasons.append(why_plain(cpu, x)), x.sum())[1])(g)
    assert "torch.func" in reasons[0]
    for arguments, words in (
        ({"gate": "slu"}, "silu"),
        ({"beta": torch.ones(1)}, "swish"),
        ({"gate": "swish", "beta": torch.ones(4)}, "there are 4"),
        ({"gate_constants": {"slope": 1}}, "it has none"),
    ):
        with pytest.raises(RequestError, match=words):
            gate_mul(g, g, **arguments)
    with pytest.raises(RequestError, match="one shape and dtype"):
        gate_mul(g, g.double())


def test_without_a_gpu_it_says_so() -> None:
    assert why_plain(torch.device("cpu")) == "its kernels run on a GPU, and this is cpu"
    with pytest.raises(RequestError, match="GPU"):
        gate_mul(torch.ones(1), torch.ones(1))
