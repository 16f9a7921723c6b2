"""Feed-forward oracles: their gradients against numerical ones, and layers by hand and against each other."""

import numpy as np
import pytest

from paribus.oracles import ACTIVATION, FFN, FFN_LAYER, POINTWISE, Array, ffn, ffn_gradients, gradient

DRAW = np.random.default_rng(0)
X = DRAW.standard_normal((2, 3, 4))
GATED = {
    f"{name}.{kind}": DRAW.standard_normal(shape)
    for name, shape in (("gate", (5, 4)), ("value", (5, 4)), ("down", (4, 5)))
    for kind, shape in (("weight", shape), ("bias", shape[:1]))
}
UNGATED = {name.replace("gate", "up"): array for name, array in GATED.items() if not name.startswith("value")}


@pytest.mark.parametrize("name", FFN)
@pytest.mark.parametrize("bias", [False, True])
def test_ffn_gradients_are_the_numerical_ones(name: str, bias: bool) -> None:
    draw = np.random.default_rng(0)
    shapes = {f"{branch}.weight": (4, 3) for branch in FFN[name]} | {"down.weight": (3, 4)}
    if bias:
        shapes |= {key.replace("weight", "bias"): shape[:1] for key, shape in shapes.items()}
    w = {key: draw.standard_normal(shape) for key, shape in shapes.items()}
    x, dy = draw.standard_normal((2, 2, 3))
    gradients = ffn_gradients(name, w, x, dy)
    assert set(gradients) == {"x", *w}
    at = {**w, "x": x}
    for key, closed in gradients.items():
        step = 1e-6 * draw.standard_normal(closed.shape)

        def of_one(value: Array, key: str = key) -> Array:
            moved = {**at, key: value}
            return ffn(name, moved, moved["x"])

        assert gradient(of_one, at[key], dy, step) == pytest.approx((closed * step).sum(), rel=1e-6)


def test_every_activation_makes_a_layer_under_its_own_name() -> None:
    assert set(FFN_LAYER) >= {*ACTIVATION, *FFN}


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise_layers_agree_whichever_way_they_are_asked_for(name: str) -> None:
    expected = ffn(name, UNGATED, X)
    np.testing.assert_allclose(FFN_LAYER["ungated"](UNGATED, X, activation=name), expected, rtol=1e-13)
    np.testing.assert_array_equal(
        FFN_LAYER[name](UNGATED, X), FFN_LAYER["ungated"](UNGATED, X, activation=name)
    )


@pytest.mark.parametrize("name", [name for name, row in FFN.items() if "gate" in row])
def test_products_agree_whichever_way_they_are_asked_for(name: str) -> None:
    np.testing.assert_allclose(
        FFN_LAYER[name](GATED, X), FFN_LAYER["gated"](GATED, X, **FFN[name]), rtol=1e-14, atol=1e-14
    )


def test_the_first_projection_gates() -> None:
    w = {"gate.weight": np.array([[1.0]]), "value.weight": np.array([[3.0]]), "down.weight": np.eye(1)}
    x = np.array([[2.0]])
    sigmoid, tanh = (lambda z: 1 / (1 + np.exp(-z))), np.tanh
    np.testing.assert_allclose(FFN_LAYER["glu"](w, x), [[sigmoid(2) * 6]], rtol=1e-15)
    np.testing.assert_allclose(FFN_LAYER["gtu"](w, x), [[tanh(2) * sigmoid(6)]], rtol=1e-15)
    np.testing.assert_allclose(FFN_LAYER["swiglu"](w, x), [[2 * sigmoid(2) * 6]], rtol=1e-15)
    np.testing.assert_array_equal(FFN_LAYER["bilinear"](w, x), [[12]])


@pytest.mark.parametrize(
    ("gate", "value", "published"), [(1, 0, 0.8457957659), (10, 10, 55.99962502642654), (2, -1, 0)]
)
def test_clamped_swiglu_takes_the_published_values(gate: float, value: float, published: float) -> None:
    w = {"gate.weight": np.eye(1, 2), "value.weight": np.eye(1, 2, 1), "down.weight": np.eye(1)}
    y = FFN_LAYER["swiglu_clamped"](w, np.array([[gate, value]], dtype=float))
    assert y.item() == pytest.approx(published, abs=5e-11)


def test_clamped_swiglu_clamps_the_gate_above_only_and_the_value_on_both_sides() -> None:
    w = {"gate.weight": np.eye(1, 2), "value.weight": np.eye(1, 2, 1), "down.weight": np.eye(1)}

    def f(gate: float, value: float) -> float:
        return FFN_LAYER["swiglu_clamped"](w, np.array([[gate, value]])).item()

    assert f(1, -9) == f(1, -7) != f(1, -6) and f(9, 1) == f(7, 1)
    assert f(-9, 1) == pytest.approx(-9 / (1 + np.exp(9 * 1.702)) * 2, rel=1e-12)


def test_learned_parameters_are_found_under_their_activation() -> None:
    beta = {"beta": np.array([1.702])}
    np.testing.assert_allclose(
        FFN_LAYER["swiglu_learnable"]({**GATED, "gate_activation.beta": beta["beta"]}, X),
        FFN_LAYER["gated"](GATED, X, gate="gelu_quick"),
    )
    np.testing.assert_allclose(
        FFN_LAYER["swish_learnable"]({**UNGATED, "activation.beta": beta["beta"]}, X),
        FFN_LAYER["gelu_quick"](UNGATED, X),
    )
    np.testing.assert_allclose(
        FFN_LAYER["prelu"]({**UNGATED, "activation.slope": np.array([0.01])}, X),
        FFN_LAYER["leaky_relu"](UNGATED, X),
    )


def test_maxout_reads_as_many_projections_as_it_has_pieces() -> None:
    up = np.array([[1.0], [-1.0], [2.0], [-3.0]])
    w = {"up.weight": up, "down.weight": np.array([[1.0, 10.0]])}
    np.testing.assert_array_equal(FFN_LAYER["maxout"](w, np.array([[1.0]])), [[2 - 10]])
    w = {"up.weight": up, "down.weight": np.array([[1.0]])}
    np.testing.assert_array_equal(FFN_LAYER["maxout"](w, np.array([[1.0]]), pieces=4), [[2]])


@pytest.mark.parametrize(
    ("name", "act"),
    [("self_gate_sigmoid", "sigmoid"), ("self_gate_gelu", "gelu"), ("self_gate_swish", "silu")],
)
def test_a_self_gate_multiplies_its_own_input(name: str, act: str) -> None:
    w = {"gate.weight": 2 * np.eye(4), "gate.bias": np.ones(4)}
    np.testing.assert_allclose(FFN_LAYER[name](w, X), X * POINTWISE[act].value(2 * X + 1), rtol=1e-14)


def test_layernorm_mlp_norms_before_each_relu() -> None:
    w = {f"norms.{i}.{kind}": np.full(4, v) for i in (0, 1) for kind, v in (("weight", 1.0), ("bias", 0.0))}
    w |= {"hidden.0.weight": np.eye(4), "hidden.1.weight": np.eye(4), "down.weight": np.eye(4)}
    h = X
    for _ in range(2):
        h = np.maximum((h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5), 0)
    np.testing.assert_allclose(FFN_LAYER["layernorm_mlp"](w, X, depth=2), h, rtol=1e-12)
    with pytest.raises(ValueError, match="2 hidden layers"):
        FFN_LAYER["layernorm_mlp"](w, X, depth=3)


def test_constants_of_an_activation_reach_it_through_its_layer() -> None:
    options = {"constants": {"slope": 1.0}}
    expected = FFN_LAYER["identity"](UNGATED, X)
    y = FFN_LAYER["leaky_relu"](UNGATED, X, activation_options=options)
    np.testing.assert_allclose(y, expected, rtol=1e-14)
    y = FFN_LAYER["gated"](GATED, X, gate="leaky_relu", gate_options=options)
    np.testing.assert_allclose(y, FFN_LAYER["bilinear"](GATED, X), rtol=1e-12)


def test_options_of_the_activation_reach_a_self_gate() -> None:
    w = {"gate.weight": np.eye(4)}
    y = FFN_LAYER["self_gate_swish"](w, X, activation_options={"beta": 0.0})
    np.testing.assert_allclose(y, X * X / 2, rtol=1e-14)
