"""What is verified by which request."""

from pathlib import Path

import pytest
import torch
from torch import nn

from paribus import registry
from paribus.errors import RequestError
from paribus.verify.run import chosen, setting_of, verify


def described(names: list[str]) -> list[tuple[str, str]]:
    return [(card.slot, card.name) for card in chosen(names)]


def test_names_choose_slots_parts_and_models() -> None:
    assert {card.slot for card in chosen([])} == {*registry.catalog(), "model"}
    assert {slot for slot, _ in described(["norm"])} == {"norm"}
    assert set(described(["gelu"])) == {("activation", "gelu"), ("ffn", "gelu")}
    models = [("model", "decoder"), ("model", "encoder"), ("model", "encoder_decoder")]
    assert described(["model", "rope"]) == [*models, ("position", "rope")]
    assert described(["nope"]) == [("position", "none")]  # an alias


@pytest.mark.parametrize(
    ("name", "near"), [("nrom", "norm"), ("swigul", "swiglu"), ("rope_yern", "rope_yarn")]
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(RequestError, match=near):
        chosen([name])


@pytest.mark.parametrize(
    ("device", "dtype", "said"),
    [
        ("cpu", "float23", "float32"),
        ("tpu9", "float32", "tpu9"),
        ("meta", "float32", "meta"),
        ("cuda:77", "float32", "cuda:77"),
    ],
)
def test_impossible_settings_are_refused(device: str, dtype: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        setting_of(device, dtype, compiled=False)


def test_the_device_is_a_gpu_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert setting_of(None, "float32", compiled=False).device.type == expected


def test_a_part_of_the_users_own_has_no_oracle(own_registry: registry.Registry) -> None:
    class Mine(nn.Identity):
        pass

    registry.part("ffn", "mine", formula="x", paper="here")(Mine)
    registry.part("mixer", "mine", formula="x", paper="here")(Mine)
    cards = [registry.get("ffn", "mine"), registry.get("mixer", "mine")]
    seen: list[str] = []
    checks, without = verify(
        cards, setting_of("cpu", "float32", compiled=False), progress=lambda card: seen.append(card.slot)
    )
    assert not checks and without == cards and seen == ["ffn", "mixer"]


def test_a_class_of_a_users_own_file_is_found_whether_it_is_registered_or_not(
    own_registry: registry.Registry, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\nfrom paribus.registry import part\n"
        "class Plain(nn.Identity): pass\n"
        "@part('norm', 'my_norm', formula='x', paper='here')\nclass Mine(nn.Identity): pass\n"
    )
    assert described([f"{file}:Mine"]) == [("norm", "my_norm")]
    (plain,) = chosen([f"{file}:Plain"])
    assert plain.name == "Plain"
    with pytest.raises(RequestError, match="Plain"):
        chosen([f"{file}:Plane"])
    with pytest.raises(RequestError, match="no such file"):
        chosen([f"{tmp_path / 'other.py'}:Plain"])
