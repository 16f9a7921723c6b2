"""Names and cards: what is offered, what is refused, and how a user's own file gets in."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from paribus import registry
from paribus.errors import RequestError
from paribus.registry import Card, Registry, part

PARTS = [(slot, name) for slot, cards in registry.catalog().items() for name in cards]
ALL = pytest.mark.parametrize(("slot", "name"), PARTS)

MINE = """
from torch import nn
from paribus.registry import part

class Plain(nn.Module):
    '''A plain layer.

    More about it.
    '''
    def __init__(self, *, d_model, d_ff):
        super().__init__()
        self.up, self.down = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
    def forward(self, x): return self.down(self.up(x))

@part("ffn", "mine", aliases=("my_own",), formula="x", paper="none", options={"scale": 2.0})
class Registered(Plain):
    '''A registered layer.'''
    def __init__(self, *, d_model, d_ff, scale):
        super().__init__(d_model=d_model, d_ff=d_ff)
        self.scale = scale
"""


@pytest.fixture
def my_file(tmp_path: Path, own_registry: Registry) -> Path:
    file = tmp_path / "my_file.py"
    file.write_text(MINE)
    return file


def refusal(*request: str) -> str:
    with pytest.raises(RequestError) as caught:
        registry.get(*request) if len(request) == 2 else registry.search(*request)
    sentence = str(caught.value)
    assert sentence and "\n" not in sentence
    return sentence


# --- cards -----------------------------------------------------------------------------------------------


@ALL
def test_card_of_a_builtin_is_complete(slot: str, name: str) -> None:
    card = registry.get(slot, name)
    assert (card.slot, card.name) == (slot, name)
    for text in (card.formula, card.summary, card.paper):
        assert text.strip() == text != ""
    assert re.search(r"arXiv:\d{4}\.\d{5}|\b(19|20)\d\d\b|blog", card.paper), (
        "the paper needs an address or a year"
    )
    assert "\n" not in card.summary and card.summary != name
    assert card.formula.count("{") == card.formula.count("}")
    assert all(trap.strip() for trap in card.traps) and isinstance(card.traps, tuple)


def test_every_builtin_names_a_trap() -> None:
    assert [key for key in PARTS if not registry.get(*key).traps] == []


def test_the_offered_parts_are_these() -> None:
    offered = {slot: set(cards) for slot, cards in registry.catalog().items()}
    assert offered["ffn"] >= {
        "relu", "gelu", "silu", "relu2", "glu", "gtu", "bilinear", "reglu", "geglu", "swiglu",
    }  # fmt: skip
    assert offered["norm"] >= {"rmsnorm", "layernorm"}
    assert offered["residual"] >= {"pre", "post"}
    assert offered["position"] >= {"rope", "sinusoidal", "learned", "none"}
    assert offered["attention"] >= {"mha"}


@pytest.mark.parametrize(("slot", "alias", "name"), [("position", "nope", "none")])
def test_alias_gives_the_card_itself(slot: str, alias: str, name: str) -> None:
    assert registry.get(slot, alias) is registry.get(slot, name)
    assert alias in registry.get(slot, name).aliases
    assert registry.search(alias)[0] is registry.get(slot, name)
    assert alias not in registry.catalog()[slot]


@pytest.mark.parametrize(("slot", "name"), [("ffn", "swiglu"), ("norm", "layernorm"), ("attention", "mha")])
def test_counting_allocates_nothing_and_leaves_the_default_device(slot: str, name: str) -> None:
    card, big = registry.get(slot, name), {"d_model": 200_000}
    if slot == "ffn":
        big["d_ff"] = 1_000_000
    if slot == "attention":
        big |= {"num_heads": 1000, "head_dim": 200}
    expected = {
        "swiglu": 3 * 200_000 * 1_000_000,
        "layernorm": 400_000,
        "mha": 4 * 200_000**2,
    }[name]
    assert card.num_params(**big) == expected  # up to 2.4 TB of weights, were they real
    if slot != "attention":
        assert card.flops(**big) == (2 * expected if slot == "ffn" else 0)
    assert torch.empty(1).device.type == "cpu"


def test_arguments_that_a_name_fixes_cannot_be_given_again() -> None:
    card = registry.get("ffn", "swiglu")
    with pytest.raises(RequestError, match="gate"):
        card.build(d_model=2, d_ff=2, gate="relu")
    assert card.allowed_options() == {"d_model", "d_ff", "bias", "memory"}


def test_a_card_and_the_catalog_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        registry.get("ffn", "swiglu").name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        registry.catalog()["ffn"]["other"] = registry.get("ffn", "swiglu")  # type: ignore[index]


class _Parent(nn.Module):
    def __init__(self, *, width: int, depth: int = 2) -> None:
        super().__init__()
        self.sizes = (width, depth)


class _Child(_Parent):
    """A class that hands on what it does not use itself."""

    def __init__(self, *, scale: float = 1.0, **sizes: int) -> None:
        super().__init__(**sizes)
        self.scale = scale


def test_arguments_that_a_class_hands_on_are_its_parents(own_registry: Registry) -> None:
    part("thing", "child", formula="x", paper="none", options={"depth": 5})(_Child)
    card = registry.get("thing", "child")
    assert card.allowed_options() == {"scale", "width"}
    assert card.parameters_of_build()["scale"].default == 1.0
    assert card.build(width=3).sizes == (3, 5)
    with pytest.raises(RequestError, match="width"):
        card.build(scale=2.0)
    with pytest.raises(RequestError, match="height"):
        card.build(width=3, height=1)


# --- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "typo", "meant"),
    [
        ("ffn", "swigluu", "swiglu"),
        ("ffn", "SWISH", "swish"),
        ("norm", "layer_norm", "layernorm"),
        ("position", "roppe", "rope"),
    ],
)
def test_unknown_name_offers_the_nearest(slot: str, typo: str, meant: str) -> None:
    for sentence in (refusal(slot, typo), refusal(typo)):
        assert meant in sentence.split("did you mean", 1)[1]


def test_name_of_another_slot_is_not_taken() -> None:
    assert "ffn" in refusal("ffn", "rmsnorm")
    assert [card.slot for card in registry.search("rmsnorm")] == ["norm"]


def test_unknown_slot_offers_the_nearest() -> None:
    assert "ffn" in refusal("fnn", "swiglu").split("fnn", 1)[1]
    assert "norm" in refusal("norms", "rmsnorm")


def test_search_finds_a_name_in_every_slot(own_registry: Registry) -> None:
    part("norm", "relu", formula="x", paper="none")(nn.Identity)
    assert {card.slot for card in registry.search("relu")} == {"activation", "ffn", "norm"}


# --- registration ----------------------------------------------------------------------------------------


def test_decorator_returns_the_class_and_takes_the_first_line_of_its_docstring(
    own_registry: Registry,
) -> None:
    class Layer(nn.Module):
        """One line.

        And more.
        """

    assert part("ffn", "new", formula="x", paper="none", aliases=("fresh",))(Layer) is Layer
    card = registry.get("ffn", "fresh")
    assert (card.name, card.summary, card.factory) == ("new", "One line.", Layer)
    assert "new" in registry.catalog()["ffn"]


def test_one_class_takes_several_names(own_registry: Registry) -> None:
    for name, features in (("two", 2), ("three", 3)):
        part("thing", name, formula="x", paper="none", options={"out_features": features})(nn.Linear)
    assert registry.get("thing", "three").build(in_features=1).out_features == 3
    assert registry.get("thing", "two").num_params(in_features=5, bias=False) == 10


@pytest.mark.parametrize(
    ("name", "aliases"), [("swiglu", ()), ("new", ("swiglu",)), ("swish", ()), ("new", ("swish",))]
)
def test_a_taken_name_is_refused_and_nothing_of_it_stays(
    own_registry: Registry, name: str, aliases: tuple[str, ...]
) -> None:
    before = own_registry.names("ffn"), dict(own_registry.cards("ffn"))
    with pytest.raises(RequestError, match="swiglu|swish"):
        part("ffn", name, aliases=aliases, formula="x", paper="none")(nn.Identity)
    assert (own_registry.names("ffn"), dict(own_registry.cards("ffn"))) == before


def test_the_same_name_in_another_slot_is_free(own_registry: Registry) -> None:
    part("norm", "swiglu", formula="x", paper="none")(nn.Identity)
    assert registry.get("norm", "swiglu").factory is nn.Identity
    assert registry.get("ffn", "swiglu").factory is not nn.Identity


# --- a user's own file -----------------------------------------------------------------------------------


def test_plain_class_of_a_file_is_a_part(my_file: Path) -> None:
    card = registry.get("ffn", f"{my_file}:Plain")
    assert isinstance(card, Card)
    assert (card.slot, card.name, card.summary) == ("ffn", "Plain", "A plain layer.")
    assert card.num_params(d_model=3, d_ff=4) == 3 * 4 * 2 + 4 + 3
    assert card.flops(d_model=3, d_ff=4) == 2 * 3 * 4 * 2
    assert card.allowed_options() == {"d_model", "d_ff"}


def test_decorated_class_of_a_file_comes_with_its_card_and_then_by_name(my_file: Path) -> None:
    card = registry.get("ffn", f"{my_file}:Registered")
    assert (card.name, card.summary, dict(card.options)) == ("mine", "A registered layer.", {"scale": 2.0})
    assert card.build(d_model=3, d_ff=4).scale == 2.0
    assert registry.get("ffn", "my_own") is registry.get("ffn", f"{my_file}:Registered") is card
    assert registry.search(f"{my_file}:Registered") == [card]


def test_decorated_class_serves_in_another_slot_as_a_plain_one(my_file: Path) -> None:
    card = registry.get("norm", f"{my_file}:Registered")
    assert (card.slot, card.name, dict(card.options)) == ("norm", "Registered", {})


def test_a_file_is_run_once(my_file: Path) -> None:
    first = registry.get("ffn", f"{my_file}:Plain").factory
    assert registry.get("ffn", f"{my_file.parent}/./my_file.py:Plain").factory is first


def test_relative_path_and_home_are_understood(my_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(my_file.parent)
    assert registry.get("ffn", "my_file.py:Plain").summary == "A plain layer."
    monkeypatch.setenv("HOME", str(my_file.parent))
    assert registry.get("ffn", "~/my_file.py:Plain").summary == "A plain layer."


def test_search_tells_that_a_plain_class_has_no_card(my_file: Path) -> None:
    assert "@part" in refusal(f"{my_file}:Plain")


def test_missing_class_offers_those_of_the_file(my_file: Path) -> None:
    sentence = refusal("ffn", f"{my_file}:Plane")
    assert "my_file.py" in sentence and "'Plane'" in sentence and "Plain?" in sentence
    assert "nn" not in refusal("ffn", f"{my_file}:Zzz").split("known:", 1)[1].split(", ")


def test_missing_file_is_named() -> None:
    sentence = refusal("ffn", "nowhere/my_file.py:Plain")
    assert "nowhere/my_file.py" in sentence and "no such file" in sentence


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("class Mine(:\n", "SyntaxError"),
        ("import a_module_that_is_not_there\n", "a_module_that_is_not_there"),
        ("raise ValueError('at import')\n", "at import"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_sentence(
    tmp_path: Path, own_registry: Registry, text: str, word: str
) -> None:
    file = tmp_path / "broken.py"
    file.write_text(text)
    sentence = refusal("ffn", f"{file}:Mine")
    assert "broken.py" in sentence and word in sentence


def test_a_mended_file_is_read_again(tmp_path: Path, own_registry: Registry) -> None:
    file = tmp_path / "mended.py"
    file.write_text(MINE + "\nclass Last(:\n")
    refusal("ffn", f"{file}:Plain")
    file.write_text(MINE)
    assert registry.get("ffn", f"{file}:Plain").summary == "A plain layer."


def test_a_file_that_failed_half_way_leaves_nothing_registered(
    tmp_path: Path, own_registry: Registry
) -> None:
    file = tmp_path / "half.py"
    file.write_text(MINE + "\nraise ValueError('later')\n")
    refusal("ffn", f"{file}:Registered")
    assert "mine" not in own_registry.names("ffn")
    file.write_text(MINE)
    assert registry.get("ffn", f"{file}:Registered").name == "mine"


def test_a_name_that_is_no_class_is_refused(tmp_path: Path, own_registry: Registry) -> None:
    file = tmp_path / "constant.py"
    file.write_text("Mine = 3\n")
    assert "Mine" in refusal("ffn", f"{file}:Mine")


def test_a_file_that_takes_a_builtin_name_is_refused(tmp_path: Path, own_registry: Registry) -> None:
    file = tmp_path / "thief.py"
    file.write_text(MINE.replace('"mine"', '"swiglu"'))
    assert "'swiglu' is registered twice" in refusal("ffn", f"{file}:Registered")
    assert registry.get("ffn", "swiglu").factory.__name__ == "GatedFeedForward"
