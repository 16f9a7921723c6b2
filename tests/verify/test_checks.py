"""Every registered part passes against its oracle, with every option it has, and every finding is reported."""

import math

import pytest
import torch
from torch import Tensor, nn

from paribus import registry
from paribus.model.config import GIVEN
from paribus.ops.activations import ACTIVATIONS
from paribus.ops.attention import Mask
from paribus.parts.attention import mha
from paribus.parts.norm.batchnorm import BatchNorm
from paribus.parts.norm.rmsnorm import RMSNorm
from paribus.verify.case import Setting
from paribus.verify.cases import SLOTS, activation, attention, ffn, norm, position
from paribus.verify.checks import Check, check, has_oracle
from paribus.verify.run import chosen

CARDS = [card for cards in registry.catalog().values() for card in cards.values()]
TRIED = {
    "activation": activation.tried,
    "ffn": ffn.tried,
    "norm": norm.tried,
    "position": position.tried,
    "attention": attention.tried,
}


def setting(dtype: torch.dtype = torch.float32, *, compiled: bool = False) -> Setting:
    return Setting(device=torch.device("cpu"), dtype=dtype, compiled=compiled)


def names(card: registry.Card) -> str:
    return f"{card.slot}-{card.name}"


@pytest.mark.parametrize("card", CARDS, ids=names)
def test_every_builtin_has_an_oracle(card: registry.Card) -> None:
    assert has_oracle(card), "write the part's formula in src/paribus/oracles"


@pytest.mark.parametrize("card", CARDS, ids=names)
def test_every_option_is_tried(card: registry.Card) -> None:
    """A new option needs a row in its slot's file of `verify/cases`."""
    options = card.allowed_options() - GIVEN[card.slot]
    if "constants" in options and not ACTIVATIONS[card.options["row"]].constants:
        options -= {"constants"}
    if "activation" in card.options:
        options -= {"activation_options"}  # handed on, as `ungated` is seen to do
    tried = {name for given in TRIED[card.slot](card) for name in given} if options else set()
    assert options <= tried


@pytest.mark.parametrize("card", chosen([]), ids=names)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_part_passes(card: registry.Card, dtype: torch.dtype) -> None:
    checks = check(card, setting(dtype))
    rounded = dtype == torch.bfloat16 and card.slot in ("activation", "norm")
    assert {each.kind for each in checks} == {"output", "gradients", *(("rounding",) if rounded else ())}
    assert all(each.passed for each in checks), [each for each in checks if not each.passed]


def test_layers_see_hidden_features_beyond_every_corner_and_none_near_one() -> None:
    """7 is where gpt-oss clamps, 6 and 3 where ReLU6 and Hardswish bend."""
    layer = setting().place(registry.get("ffn", "swiglu_clamped").build(d_model=6, d_ff=10))
    x = ffn.clear_tokens(layer, setting(), size=6)
    gate, value = (layer.get_submodule(name)(x) for name in ("gate", "value"))
    assert x.shape == (2, 7, 6)
    assert gate.max() > 7 and gate.min() < -7 and value.max() > 7 and value.min() < -7
    for hidden in (gate, value):
        assert ((2 * hidden - (2 * hidden).round()).abs() > 0.03).all()


def test_activations_see_both_sides_of_every_corner_at_different_numbers() -> None:
    x = activation.spread(setting(torch.bfloat16), 7, 12, within=9).double().flatten()
    assert len(x.unique()) == len(x) and x.min() < -8 and x.max() > 8
    assert ((2 * x - (2 * x).round()).abs() > 0.05).all()
    halves = (2 * x).floor()
    assert len(halves.unique()) == 36  # some in every interval


def test_batchnorm_is_held_in_training_and_in_scoring_and_rrelu_in_scoring() -> None:
    cases = {each.case for each in check(registry.get("norm", "batchnorm"), setting())}
    assert {"", "in scoring", "running statistics"} <= cases
    for case in SLOTS["activation"].cases(registry.get("activation", "rrelu"), setting()):
        assert not case.module.training


def test_both_backends_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with one is found of that one only, by name."""
    attend = mha.attend

    def wrong(*args: Tensor, mask: Mask, scale: float, backend: str, **given: object) -> Tensor:
        return attend(  # type: ignore[arg-type]
            *args, mask=mask, scale=scale * (1.001 if backend == "sdpa" else 1), backend=backend, **given
        )

    monkeypatch.setattr(mha, "attend", wrong)
    checks = check(registry.get("attention", "gqa"), setting())
    assert {each.form for each in checks} == {"plain", "sdpa"}
    assert {each.passed for each in checks if each.form == "plain"} == {True}
    plain_use = [each for each in checks if each.form == "sdpa" and not each.case]
    assert plain_use and not any(each.passed for each in plain_use)


def test_a_part_that_raises_is_a_failed_check_and_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: nn.Module, x: Tensor) -> Tensor:
        raise RuntimeError("no kernel for this device\nand more")

    monkeypatch.setattr(RMSNorm, "forward", broken)
    checks = check(registry.get("norm", "rmsnorm"), setting())
    assert len(checks) > 1 and not any(each.passed for each in checks)
    assert {each.reason for each in checks} == {"RuntimeError: no kernel for this device"}


def test_a_part_that_cannot_be_built_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: nn.Module, *, d_model: int) -> None:
        raise MemoryError

    monkeypatch.setattr(RMSNorm, "__init__", broken)
    (only,) = check(registry.get("norm", "rmsnorm"), setting())
    assert not only.passed and (only.reason, only.what) == ("MemoryError", "is built")


def test_one_case_that_raises_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    remember = BatchNorm._remember

    def broken(self: BatchNorm, mean: Tensor, unbiased_var: Tensor) -> None:
        if self.momentum == 0.3:
            raise ValueError("no")
        remember(self, mean, unbiased_var)

    monkeypatch.setattr(BatchNorm, "_remember", broken)
    checks = check(registry.get("norm", "batchnorm"), setting())
    failed = [each for each in checks if not each.passed]
    assert {each.case for each in failed} == {"momentum 0.3", "running statistics, momentum 0.3"}
    assert checks[-1].passed or len(checks) > len(failed) + 5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda self, x: x.double(), "float64"),
        (lambda self, x: x[..., :1], "[2, 7, 1]"),
        (lambda self, x: x.detach() * self.weight.detach(), "no gradient"),
    ],
)
def test_a_wrong_dtype_or_shape_or_a_lost_gradient_is_a_failed_check(
    wrong: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RMSNorm, "forward", wrong)
    checks = check(registry.get("norm", "rmsnorm"), setting())
    assert checks and all(said in (each.reason or "") and not each.passed for each in checks)


def test_an_output_or_a_gradient_that_is_not_a_number_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = RMSNorm.forward
    monkeypatch.setattr(RMSNorm, "forward", lambda self, x: forward(self, x) * math.nan)
    checks = check(registry.get("norm", "rmsnorm"), setting())
    assert checks and not any(each.passed for each in checks)

    class NanGradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, *dy: Tensor) -> Tensor:
            return dy[0] * math.nan

    monkeypatch.setattr(RMSNorm, "forward", lambda self, x: NanGradient.apply(forward(self, x)))
    checks = check(registry.get("norm", "rmsnorm"), setting())
    assert {each.kind for each in checks if not each.passed} == {"gradients"}


def test_what_a_check_says_of_itself() -> None:
    given = {"slot": "s", "part": "p", "kind": "output", "bound": 1.0}
    one = Check(case="eps 0.1", form="sdpa", error=0.5, **given)
    assert (one.what, one.passed, one.share) == ("eps 0.1: sdpa: output", True, 0.5)
    for error in (math.nan, math.inf, 1.5):
        assert not Check(case="", form="", error=error, **given).passed
    assert Check(case="", form="", error=math.nan, **given).share == math.inf


@pytest.mark.parametrize(
    ("slot", "name"), [("norm", "rmsnorm"), pytest.param("attention", "mha", marks=pytest.mark.slow)]
)
def test_compiled_parts_pass_too(slot: str, name: str, fresh_compiler: None) -> None:
    checks = check(registry.get(slot, name), setting(compiled=True))
    assert all(each.passed for each in checks)
    assert {each.case for each in checks if each.form == "compiled"} == {""}
