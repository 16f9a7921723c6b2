"""The closed form against the built layer, against known integrals, and what it does without one."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from paribus import registry
from paribus.errors import RequestError
from paribus.model import hidden_rms as module
from paribus.model.config import ModelConfig
from paribus.model.hidden_rms import MatrixInputs, hidden_rms, output_matrices
from paribus.parts.ffn.ungated import FeedForward
from paribus.parts.init import SCHEMES
from paribus.registry import Registry, part

SIZES: dict[str, Any] = {"vocab_size": 11, "d_model": 64, "d_ff": 512, "num_layers": 2, "num_heads": 2}
WITH_MATRIX_BACK = [name for name in registry.catalog()["ffn"] if not name.startswith("self_gate")]
#: Root of E f(z)², z ~ N(0, 1): by symmetry, and from moments of the normal distribution.
KNOWN = {"identity": 1.0, "relu": math.sqrt(1 / 2), "relu2": math.sqrt(3 / 2), "bilinear": 1.0}


def config(ffn: Any = "relu", **changes: Any) -> ModelConfig:
    return ModelConfig(**{**SIZES, "ffn": ffn, **changes})


def drawn(config: ModelConfig, *, scheme: str, seed: int) -> nn.Module:
    """The config's layer with its matrices drawn and its constants where they start."""
    torch.manual_seed(seed)
    layer = config.build_ffn()
    roles: Callable[[], Any] = layer.roles  # type: ignore[assignment]
    for name, role in roles().items():
        with torch.no_grad():
            start = role.start
            each = layer.get_parameter(name)
            each.fill_(start) if start is not None else each.normal_(std=SCHEMES[scheme](role))
    return layer


def measured(config: ModelConfig, *, scheme: str) -> float:
    """Read off the layer itself: with the identity as the matrix back, it puts its hidden vector out."""
    squares = []
    for seed in range(20):
        layer = drawn(config, scheme=scheme, seed=seed)
        layer.down.weight = nn.Parameter(torch.eye(config.d_ff))
        x = torch.randn(256, config.d_model)
        with torch.no_grad():
            squares.append(layer(x / x.square().mean(-1, keepdim=True).sqrt()).double().square().mean())
    return float(torch.stack(squares).mean().sqrt())


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", WITH_MATRIX_BACK)
def test_it_is_what_the_built_layer_has(name: str, scheme: str) -> None:
    own = config(name)
    assert hidden_rms(own, scheme=scheme) == pytest.approx(measured(own, scheme=scheme), rel=0.015)


@pytest.mark.parametrize(("name", "expected"), KNOWN.items())
def test_known_integrals(name: str, expected: float) -> None:
    assert hidden_rms(config(name), scheme="fan_in") == pytest.approx(expected, rel=1e-6)


def test_the_spread_over_layers_at_unit_input() -> None:
    assert hidden_rms(config("gtu"), scheme="fan_in") == pytest.approx(0.340, abs=5e-4)
    assert hidden_rms(config("relu2"), scheme="fan_in") == pytest.approx(1.225, abs=5e-4)


def test_it_scales_with_the_scheme_where_the_activation_does() -> None:
    ratio = 0.02 * math.sqrt(SIZES["d_model"])
    for name, degree in (("relu", 1), ("relu2", 2), ("reglu", 2)):
        small, unit = (hidden_rms(config(name), scheme=scheme) for scheme in ("normal_0.02", "fan_in"))
        assert small == pytest.approx(unit * ratio**degree, rel=1e-6)


def test_options_count() -> None:
    assert hidden_rms(config({"name": "leaky_relu"}), scheme="fan_in") < hidden_rms(
        config({"name": "ungated", "activation": "prelu", "activation_options": {"slope": 0.9}}),
        scheme="fan_in",
    )


@pytest.mark.parametrize("names", [["relu", "relu2"], ["relu", "softmax"]])
def test_it_is_that_of_the_layer_asked_for(names: list[str]) -> None:
    both = [hidden_rms(config(names), scheme="fan_in", layer=layer) for layer in (0, 1)]
    assert both == [hidden_rms(config(name), scheme="fan_in") for name in names]


def test_the_random_state_stays_and_nothing_depends_on_it() -> None:
    for name in ("swiglu", "rrelu", "softmax"):
        torch.manual_seed(3)
        before = torch.get_rng_state()
        first = hidden_rms(config(name), scheme="fan_in")
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(4)
        assert hidden_rms(config(name), scheme="fan_in") == first


def test_quadrature_agrees_with_the_measurement_that_stands_in_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact = hidden_rms(config("swiglu"), scheme="fan_in")
    monkeypatch.setattr(module, "_MATRICES", {})
    assert hidden_rms(config("swiglu"), scheme="fan_in") == pytest.approx(exact, rel=0.015)


class _Halved(FeedForward):
    def forward(self, x: Tensor) -> Tensor:
        return self.down(0.5 * self.activation(self.up(x)))


def test_a_users_own_layer_is_measured(own_registry: Registry) -> None:
    part("ffn", "halved", formula="x", paper="here")(_Halved)
    rms = hidden_rms(config("halved"), scheme="fan_in")
    assert rms == pytest.approx(0.5 * hidden_rms(config("relu"), scheme="fan_in"), rel=0.015)


def test_a_layer_without_a_matrix_back_is_refused() -> None:
    with pytest.raises(RequestError, match="'self_gate_gelu' has no hidden vector"):
        hidden_rms(config("self_gate_gelu"), scheme="fan_in")


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(RequestError, match="no initial scheme 'fan-in'; did you mean fan_in"):
        hidden_rms(config(), scheme="fan-in")


@pytest.mark.parametrize("name", ["relu", "swiglu", "layernorm_mlp"])
def test_matrix_inputs_sees_what_enters_the_matrix_back(name: str) -> None:
    layer = drawn(config(name), scheme="fan_in", seed=0)
    matrices = output_matrices(layer)
    assert [id(matrix) for matrix in matrices] == [id(layer.down.weight)]
    seen: list[Tensor] = []
    with MatrixInputs(matrices, lambda index, hidden: seen.append(hidden)):
        out = layer(torch.randn(3, SIZES["d_model"]))
    out.sum().backward()  # the replay of the backward pass is not seen again
    assert len(seen) == 1
    torch.testing.assert_close(seen[0] @ layer.down.weight.T, out)
