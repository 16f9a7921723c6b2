"""Every registered part passes against its oracle, and broken ones do not."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paribus import registry
from paribus.errors import RequestError
from paribus.parts.activation import learned
from paribus.parts.ffn.gated import GatedFeedForward
from paribus.parts.norm.rmsnorm import RMSNorm
from paribus.parts.position import alibi
from paribus.parts.position.rope import RotaryPosition
from paribus.parts.residual.pre import PreNorm
from paribus.verify.checks import check, has_oracle
from paribus.verify.comparison import Check, Setting
from paribus.verify.run import chosen, setting_of, verify

CARDS = [card for cards in registry.catalog().values() for card in cards.values()]
CPU = torch.device("cpu")


def setting(dtype: torch.dtype = torch.float32) -> Setting:
    return Setting(device=CPU, dtype=dtype)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.slot}-{card.name}")
def test_every_builtin_has_an_oracle(card: registry.Card) -> None:
    assert has_oracle(card), "write the part's formula in src/paribus/oracles"


@pytest.mark.parametrize("card", chosen([]), ids=lambda card: f"{card.slot}-{card.name}")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_part_passes(card: registry.Card, dtype: torch.dtype) -> None:
    checks = check(card, setting(dtype))
    assert checks and {each.what.rpartition(": ")[2] for each in checks} >= {"output"}
    assert all(each.passed for each in checks), [each for each in checks if not each.passed]


def failures(slot: str, name: str, dtype: torch.dtype = torch.float32) -> list[Check]:
    return [each for each in check(registry.get(slot, name), setting(dtype)) if not each.passed]


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
    ],
    ids=["beta 1.001", "halves swapped", "no gradient through the gate", "tanh for erf", "F.glu's halves"],
)
def test_a_wrong_gate_fails(
    name: str, wrong: Callable[[Tensor, Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not failures("ffn", name)
    monkeypatch.setattr(GatedFeedForward, "_mixed", _mixed(wrong))
    assert failures("ffn", name)


def test_a_dropped_derivative_by_a_learned_parameter_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "_two_slopes", lambda x, slope: torch.where(x > 0, x, slope.detach() * x))
    assert {each.what for each in failures("activation", "prelu")} == {"gradients"}


def test_eps_outside_the_root_and_a_norm_in_the_wrong_place_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        RMSNorm, "forward", lambda self, x: x / (x.square().mean(-1, True).sqrt() + 1e-3) * self.weight
    )
    assert failures("norm", "rmsnorm")
    monkeypatch.setattr(
        PreNorm, "forward", lambda self, x, f: self.norms["ffn"](x + f["ffn"](self.norms["attention"](x)))
    )
    assert failures("residual", "pre")


def test_the_other_layout_and_other_slopes_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = RotaryPosition._turn

    def interleaved(self: RotaryPosition, x: Tensor, state: dict[str, Tensor]) -> Tensor:
        self.layout = "interleaved"
        return turn(self, x, state)

    monkeypatch.setattr(RotaryPosition, "_turn", interleaved)
    assert failures("position", "rope")
    monkeypatch.setattr(alibi, "alibi_slopes", lambda heads: [2.0 ** (-8 * h / heads) for h in range(heads)])
    assert failures("position", "alibi")


def test_a_part_that_raises_is_a_failed_check_and_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: nn.Module, x: Tensor) -> Tensor:
        raise RuntimeError("no kernel for this device\nand more")

    monkeypatch.setattr(RMSNorm, "forward", broken)
    (only,) = check(registry.get("norm", "rmsnorm"), setting())
    assert not only.passed and only.reason == "RuntimeError: no kernel for this device"


def test_the_wrong_dtype_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RMSNorm, "forward", lambda self, x: x.double())
    (only,) = check(registry.get("norm", "rmsnorm"), setting())
    assert not only.passed and "float64" in (only.reason or "")


def test_an_error_that_is_not_a_number_does_not_pass() -> None:
    assert not Check(slot="s", part="p", what="output", error=float("nan"), bound=1.0).passed


def test_a_part_of_the_users_own_has_no_oracle(own_registry: registry.Registry) -> None:
    class Mine(nn.Identity):
        pass

    registry.part("ffn", "mine", formula="x", paper="here")(Mine)
    checks, without = verify([registry.get("ffn", "mine")], setting(), progress=lambda card: None)
    assert not checks and [card.name for card in without] == ["mine"]


def test_names_choose_slots_parts_and_models() -> None:
    assert {card.slot for card in chosen([])} == {*registry.catalog(), "model"}
    assert {card.slot for card in chosen(["norm"])} == {"norm"}
    assert {(card.slot, card.name) for card in chosen(["gelu"])} == {("activation", "gelu"), ("ffn", "gelu")}
    assert [card.name for card in chosen(["model", "rope"])] == [
        "decoder",
        "encoder",
        "encoder_decoder",
        "rope",
    ]
    with pytest.raises(RequestError, match="norm"):
        chosen(["nrom"])


@pytest.mark.parametrize(
    ("device", "dtype", "said"), [("cpu", "float23", "float32"), ("tpu9", "float32", "tpu9")]
)
def test_impossible_settings_are_refused(device: str, dtype: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        setting_of(device, dtype, compiled=False)


def test_compiled_parts_pass_too(fresh_compiler: None) -> None:
    compiled = Setting(device=CPU, dtype=torch.float32, compiled=True)
    assert all(each.passed for each in check(registry.get("norm", "rmsnorm"), compiled))
