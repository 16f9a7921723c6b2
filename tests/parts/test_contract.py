"""What every part of every slot owes the rest of the package, whoever wrote it."""

import copy
import inspect
import math
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from paribus import registry
from paribus.parts.init import SCHEMES, Role, matrix_roles

PARTS = [(slot, name) for slot, cards in registry.catalog().items() for name in cards]
ALL = pytest.mark.parametrize(("slot", "name"), PARTS)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ffn": {"d_model": 4, "d_ff": 6},
    "norm": {"d_model": 4},
    "residual": {"sublayers": ("ffn",), "num_layers": 2, "norm": nn.Identity},
    "position": {"d_model": 4, "head_dim": 2, "max_seq_len": 5},
    "attention": {"d_model": 4, "num_heads": 3, "head_dim": 2},
}


def build(slot: str, name: str) -> nn.Module:
    return registry.get(slot, name).build(**ARGUMENTS[slot])


@ALL
def test_part_says_the_role_of_each_of_its_own_parameters_and_of_no_other(slot: str, name: str) -> None:
    part = build(slot, name)
    given: dict[str, Role] = getattr(part, "roles", dict)()
    parameters = dict(part.named_parameters())
    assert set(given) == set(parameters)
    for key, role in given.items():
        assert role.kind in ("embedding", "head", "input", "output", "gain", "bias")
        if role.kind in ("input", "output"):  # torch keeps a matrix as [out, in]
            assert (role.fan_out, role.fan_in) == tuple(parameters[key].shape)


@pytest.mark.parametrize(
    ("slot", "name"), [key for key in PARTS if "bias" in registry.get(*key).allowed_options()]
)
def test_bias_has_a_role_too(slot: str, name: str) -> None:
    part = registry.get(slot, name).build(**ARGUMENTS[slot], bias=True)
    roles = {key: role.kind for key, role in part.roles().items()}
    assert set(roles) == {key for key, _ in part.named_parameters()}
    assert all((kind == "bias") == key.endswith("bias") for key, kind in roles.items())
    assert "bias" in roles.values()


@ALL
def test_part_builds_on_meta_without_memory(slot: str, name: str) -> None:
    with torch.device("meta"):
        part = build(slot, name)
    assert all(t.is_meta for t in (*part.parameters(), *part.buffers()))
    assert registry.get(slot, name).num_params(**ARGUMENTS[slot]) == sum(
        p.numel() for p in build(slot, name).parameters()
    )


@ALL
def test_part_is_copied_pickled_and_restored(slot: str, name: str) -> None:
    part = build(slot, name)
    clones = [copy.deepcopy(part), pickle.loads(pickle.dumps(part)), build(slot, name)]
    clones[2].load_state_dict(part.state_dict())
    for clone in clones:
        for key, p in part.named_parameters():
            assert torch.equal(clone.get_parameter(key), p)


@ALL
def test_arguments_are_keyword_only(slot: str, name: str) -> None:
    parameters = inspect.signature(registry.get(slot, name).factory).parameters.values()
    assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}


def test_matrix_roles_says_which_way_each_matrix_maps() -> None:
    roles = matrix_roles(d_model=4, d_hidden=6, inputs=("a", "b"), outputs=("c",), bias=True)
    reads, writes = Role(kind="input", fan_in=4, fan_out=6), Role(kind="output", fan_in=6, fan_out=4)
    assert {key: role for key, role in roles.items() if key.endswith("weight")} == {
        "a.weight": reads,
        "b.weight": reads,
        "c.weight": writes,
    }
    assert {key: role.kind for key, role in roles.items() if key.endswith("bias")} == {
        "a.bias": "bias",
        "b.bias": "bias",
        "c.bias": "bias",
    }
    assert set(matrix_roles(d_model=4, d_hidden=6, inputs=("a",), outputs=(), bias=False)) == {"a.weight"}


@pytest.mark.parametrize("kind", ["head", "input", "output"])
def test_schemes_give_the_deviations_that_they_are_named_for(kind: str) -> None:
    role = Role(kind=kind, fan_in=64, fan_out=16)
    assert SCHEMES["fan_in"](role) == 1 / 8
    assert SCHEMES["fan_in"](Role(kind="embedding", fan_in=64, fan_out=16)) == 1.0
    assert SCHEMES["normal_0.02"](role) == 0.02
    assert math.isclose(SCHEMES["normal_0.02"](Role(kind="embedding", fan_in=64, fan_out=16)), 0.02)
