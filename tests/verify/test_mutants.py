"""Parts broken on purpose fail: each mistake by name, with the cases that must tell it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from paribus import registry
from paribus.model.stack import Stack
from paribus.ops.activations import ACTIVATIONS
from paribus.ops.attention import Mask
from paribus.parts.activation import learned
from paribus.parts.activation.learned import RandomReLU
from paribus.parts.attention import mha
from paribus.parts.ffn.gated import ClampedSwiGLU, GatedFeedForward
from paribus.parts.norm.batchnorm import BatchNorm
from paribus.parts.norm.dyt import DynamicTanh
from paribus.parts.norm.layernorm import LayerNorm
from paribus.parts.norm.rmsnorm import RMSNorm
from paribus.parts.norm.scalenorm import ScaleNorm
from paribus.parts.position import alibi, t5
from paribus.parts.position.rope import RotaryPosition
from paribus.parts.position.rope_scaling import DynamicRotaryPosition
from paribus.parts.position.rope_yarn import Llama3RotaryPosition, YarnRotaryPosition
from paribus.parts.position.shaw import ShawPosition
from paribus.parts.position.sinusoidal import SinusoidalPosition
from paribus.parts.residual import deepnorm
from paribus.parts.residual.base import Depth
from paribus.parts.residual.pre import PreNorm
from paribus.verify.checks import Check, check
from paribus.verify.run import chosen

from .test_checks import setting

Patch = pytest.MonkeyPatch


def failures(slot: str, name: str, dtype: torch.dtype = torch.float32) -> list[Check]:
    (card,) = [card for card in chosen([slot]) if card.name == name]
    return [each for each in check(card, setting(dtype)) if not each.passed]


@pytest.mark.parametrize(
    ("name", "field", "wrong", "case"),
    [
        ("silu", "value", lambda x: x * torch.sigmoid(1.001 * x), ""),
        ("gelu", "value", lambda x: F.gelu(x, approximate="tanh"), ""),
        ("relu6", "value", F.relu, "wide"),
        ("hardsigmoid", "value", lambda x: x / 6 + 0.5, "wide"),
        ("hardsigmoid", "value", lambda x: (0.2 * x + 0.5).clamp(0, 1), ""),
        ("leaky_relu", "value", lambda x, slope=0.01: F.leaky_relu(x, 0.01), "slope"),
        ("elu", "value", lambda x, alpha=1.0: F.elu(x), "alpha"),
        ("celu", "value", lambda x, alpha=1.0: F.elu(x, alpha), "alpha"),
        ("hardshrink", "value", lambda x, bound=0.5: F.softshrink(x, bound), ""),
        ("selu", "value", lambda x: 1.0507 * F.elu(x, 1.6733), ""),
        ("mish", "value", lambda x: x * torch.tanh(F.softplus(x)).detach(), "gradients"),
        ("gelu", "first", lambda x: torch.sigmoid(1.702 * x), "first derivative"),
        ("relu2", "second", lambda x: 2 * torch.ones_like(x), "second derivative"),
    ],
)
def test_a_wrong_row_of_activations_fails(
    name: str, field: str, wrong: Callable[..., Tensor], case: str, monkeypatch: Patch
) -> None:
    changes: Mapping[str, Any] = {field: wrong}
    monkeypatch.setitem(ACTIVATIONS, name, replace(ACTIVATIONS[name], **changes))
    assert any(case in each.what for each in failures("activation", name))


def test_a_dropped_derivative_by_a_learned_parameter_fails(monkeypatch: Patch) -> None:
    monkeypatch.setattr(learned, "_two_slopes", lambda x, slope: torch.where(x > 0, x, slope.detach() * x))
    assert {each.kind for each in failures("activation", "prelu")} == {"gradients"}


def test_random_slopes_in_scoring_fail(monkeypatch: Patch) -> None:
    monkeypatch.setattr(RandomReLU, "arguments", lambda self, x: (0.125 + torch.rand_like(x) * 0.2,))
    assert failures("activation", "rrelu")


def _mixed(f: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda self, gate, value, of_gate, of_value: f(gate, value)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("swiglu", lambda g, v: g * torch.sigmoid(1.001 * g) * v),
        ("swiglu", lambda g, v: F.silu(v) * g),
        ("swiglu", lambda g, v: F.silu(g.detach()) * v + 0 * g),
        ("geglu", lambda g, v: F.gelu(g, approximate="tanh") * v),
        ("glu", lambda g, v: torch.sigmoid(v) * g),
        ("gtu", lambda g, v: torch.sigmoid(g) * torch.tanh(v)),
    ],
    ids=["beta 1.001", "halves swapped", "no gradient through the gate", "tanh for erf", "F.glu's", "gtu's"],
)
def test_a_wrong_gate_fails(name: str, wrong: Callable[[Tensor, Tensor], Tensor], monkeypatch: Patch) -> None:
    monkeypatch.setattr(GatedFeedForward, "_mixed", _mixed(wrong))
    assert failures("ffn", name)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda g, v: g * torch.sigmoid(1.702 * g) * (v + 1),
        lambda g, v: g.clamp(-7, 7) * torch.sigmoid(1.702 * g.clamp(-7, 7)) * (v.clamp(-7, 7) + 1),
        lambda g, v: g.clamp(max=7) * torch.sigmoid(1.702 * g.clamp(max=7)) * (v.clamp(max=7) + 1),
    ],
    ids=["no clamps", "gate clamped below", "value not clamped below"],
)
def test_wrong_clamps_fail(wrong: Callable[[Tensor, Tensor], Tensor], monkeypatch: Patch) -> None:
    monkeypatch.setattr(ClampedSwiGLU, "_mixed", _mixed(wrong))
    assert {each.case for each in failures("ffn", "swiglu_clamped")} == {"wide"}


def _mean_square(x: Tensor) -> Tensor:
    return x.square().mean(-1, keepdim=True)


@pytest.mark.parametrize(
    ("name", "part", "wrong"),
    [
        ("rmsnorm", RMSNorm, lambda self, x: x / (_mean_square(x).sqrt() + self.eps) * self.weight),
        ("rmsnorm", RMSNorm, lambda self, x: x * torch.rsqrt(_mean_square(x) + 1e-5) * self.weight),
        (
            "rmsnorm_offset",
            RMSNorm,
            lambda self, x: x * torch.rsqrt(_mean_square(x) + self.eps) * self.weight,
        ),
        (
            "layernorm",
            LayerNorm,
            lambda self, x: (
                (x - x.mean(-1, True)) * torch.rsqrt(x.var(-1, keepdim=True) + self.eps) * self.weight
                + (0 if self.bias is None else self.bias)
            ),
        ),
        ("dyt", DynamicTanh, lambda self, x: torch.tanh(x) * self.weight * self.alpha + 0 * x),
        ("scalenorm", ScaleNorm, lambda self, x: x / (_mean_square(x).sqrt() + self.eps) * self.weight),
    ],
    ids=["eps outside the root", "another eps", "no offset", "unbiased", "alpha outside", "mean, not sum"],
)
def test_a_wrong_norm_fails(name: str, part: type, wrong: Callable[..., Tensor], monkeypatch: Patch) -> None:
    monkeypatch.setattr(part, "forward", wrong)
    assert any(not each.case for each in failures("norm", name))


def test_a_norm_computed_in_half_precision_fails(monkeypatch: Patch) -> None:
    def narrow(self: RMSNorm, x: Tensor) -> Tensor:
        return x * torch.rsqrt(_mean_square(x) + self.eps) * self.weight.to(x.dtype)

    def plain_use(dtype: torch.dtype) -> set[str]:
        return {each.kind for each in failures("norm", "rmsnorm", dtype) if not each.case}

    monkeypatch.setattr(RMSNorm, "forward", narrow)
    assert plain_use(torch.float32) == set() and plain_use(torch.bfloat16) == {"rounding"}


def test_wrong_statistics_of_batchnorm_fail(monkeypatch: Patch) -> None:
    remember, forward = BatchNorm._remember, BatchNorm.forward

    def biased(self: BatchNorm, mean: Tensor, unbiased_var: Tensor) -> None:
        remember(self, mean, unbiased_var * 13 / 14)

    monkeypatch.setattr(BatchNorm, "_remember", biased)
    assert {each.case.split(",")[0] for each in failures("norm", "batchnorm")} == {"running statistics"}
    monkeypatch.setattr(BatchNorm, "_remember", remember)
    monkeypatch.setattr(BatchNorm, "forward", lambda self, x: forward(self.train(), x))
    assert {each.case.split(",")[0] for each in failures("norm", "batchnorm")} == {"in scoring"}


def test_wrong_placements_fail(monkeypatch: Patch) -> None:
    def once(self: PreNorm, x: Tensor, f: Any) -> Tensor:
        return self.norms["ffn"](x + f["ffn"](self.norms["attention"](x)))

    monkeypatch.setattr(PreNorm, "forward", once)
    assert failures("residual", "pre")
    constants = deepnorm.deepnorm_constants

    def of_the_decoder(depth: Depth) -> tuple[float, float]:
        return constants(replace(depth, stack="decoder") if depth.decoder_layers else depth)

    monkeypatch.setattr(deepnorm, "deepnorm_constants", of_the_decoder)
    assert {each.case for each in failures("residual", "deepnorm")} == {"encoder of 2 + 3 layers"}


def test_the_other_layout_fails(monkeypatch: Patch) -> None:
    turn = RotaryPosition._turn

    def interleaved(self: RotaryPosition, x: Tensor, state: dict[str, Tensor]) -> Tensor:
        self.layout = "interleaved"
        return turn(self, x, state)

    monkeypatch.setattr(RotaryPosition, "_turn", interleaved)
    assert failures("position", "rope")


def _times(method: Callable[..., Any], factor: float) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: method(self, *args, **kwargs) * factor


@pytest.mark.parametrize(
    ("name", "owner", "attribute", "wrong"),
    [
        ("rope", RotaryPosition, "frequencies", _times(RotaryPosition.frequencies, 1.0001)),
        ("rope", RotaryPosition, "rotate", lambda self, q, k, state: (self._turn(q, state), k)),
        ("alibi", alibi, "alibi_slopes", lambda heads: [2.0 ** (-8 * h / heads) for h in range(heads)]),
        ("alibi", alibi, "alibi_slopes", lambda heads: [2.0 ** (-8 * (h + 1) / heads) for h in range(heads)]),
        ("alibi", alibi.ALiBi, "bias", lambda self, state: -state["bias"]),
        ("rope_yarn", YarnRotaryPosition, "attention_factor", lambda self, length: 1.0),
        (
            "rope_llama3",
            Llama3RotaryPosition,
            "_kept",
            lambda self, theta: (self._turns_ramp(theta, self.low, self.high) > 0.5).float(),
        ),
        (
            "rope_dynamic",
            DynamicRotaryPosition,
            "frequencies",
            lambda self, length, device: RotaryPosition.frequencies(self, length=length, device=device),
        ),
        (
            "shaw",
            ShawPosition,
            "state",
            lambda self, q, k, length: {"row": (k - q[:, None]).clamp(-9, 9)[None] + self.max_distance},
        ),
        ("sinusoidal", SinusoidalPosition, "embed", lambda self, x, at: x + self.table(at + 1).to(x.dtype)),
    ],
)
def test_a_wrong_position_fails(
    name: str, owner: Any, attribute: str, wrong: Any, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(owner, attribute, wrong)
    assert failures("position", name)


def test_far_buckets_and_the_two_directions_of_t5_are_held(monkeypatch: Patch) -> None:
    buckets = t5.t5_buckets
    monkeypatch.setattr(t5, "t5_buckets", lambda offset, **given: buckets(offset.clamp(min=-30), **given))
    assert all("far" in each.case for each in failures("position", "t5")) and failures("position", "t5")
    monkeypatch.setattr(t5, "t5_buckets", lambda offset, **given: buckets(-offset.abs(), **given))
    cases = {each.case for each in failures("position", "t5")}
    assert "bidirectional" in cases and "causal" not in cases  # there the mask hides later keys


@pytest.mark.parametrize(
    ("changed", "case"),
    [
        (lambda q, k, v, given: (q, k.flip(1), v.flip(1), given), ""),
        (lambda q, k, v, given: (q, k, v, {**given, "scale": given["scale"] * 2}), ""),
        (lambda q, k, v, given: (q, k, v, {**given, "mask": replace(given["mask"], causal=False)}), ""),
        (lambda q, k, v, given: (q, k, v, {**given, "mask": _wider(given["mask"])}), "window 3"),
        (lambda q, k, v, given: (q, k, v, {**given, "softcap": None}), "softcap 2.0"),
        (lambda q, k, v, given: (q, k, v, {**given, "sinks_H": None}), "sinks True"),
        (
            lambda q, k, v, given: (q, k, v, {**given, "mask": replace(given["mask"], document_BS=None)}),
            "documents",
        ),
        (
            lambda q, k, v, given: (q, k, v, {**given, "mask": replace(given["mask"], key_valid_BS=None)}),
            "cross",
        ),
    ],
    ids=[
        "head h reads h mod G",
        "scale",
        "not causal",
        "window",
        "no cap",
        "no sinks",
        "documents",
        "padding",
    ],
)
def test_wrong_attention_fails(changed: Callable[..., Any], case: str, monkeypatch: Patch) -> None:
    attend = mha.attend

    def wrong(q: Tensor, k: Tensor, v: Tensor, **given: Any) -> Tensor:
        q, k, v, given = changed(q, k, v, given)
        return attend(q, k, v, **given)

    monkeypatch.setattr(mha, "attend", wrong)
    assert case in {each.case for each in failures("attention", "gqa")}


def _wider(mask: Mask) -> Mask:
    return mask if mask.window is None else replace(mask, window=mask.window + 1)


def test_a_model_without_its_last_norm_or_blind_to_padding_fails(monkeypatch: Patch) -> None:
    forward = Stack.forward

    def unnormed(self: Stack, *args: Any, **given: Any) -> Any:
        self.final_norm = torch.nn.Identity()
        return forward(self, *args, **given)

    monkeypatch.setattr(Stack, "forward", unnormed)
    assert failures("model", "decoder")
    monkeypatch.setattr(
        Stack, "forward", lambda self, x, **given: forward(self, x, **{**given, "memory_valid_BS": None})
    )
    assert {each.case for each in failures("model", "encoder_decoder")} == {"padding"}


def test_nothing_of_all_this_stays() -> None:
    for slot, name in (
        ("norm", "rmsnorm"),
        ("ffn", "swiglu"),
        ("position", "rope"),
        ("residual", "deepnorm"),
    ):
        assert registry.get(slot, name) and not failures(slot, name)
