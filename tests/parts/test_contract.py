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
from paribus.parts.init import SCHEMES, Role, constant, matrix_roles
from paribus.parts.residual.base import Depth

from .comparison import draw, tokens
from .running import MAKERS, PARTS, D, T

ALL = pytest.mark.parametrize(("slot", "name"), PARTS)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "activation": {"width": 6},
    "ffn": {"d_model": 4, "d_ff": 6},
    "norm": {"d_model": 4},
    "residual": {
        "sublayers": ("attention", "ffn"),
        "depth": Depth(stack="decoder", encoder_layers=0, decoder_layers=2),
        "norm": nn.Identity,
    },
    "position": {"d_model": 4, "head_dim": 4, "num_heads": 2, "max_seq_len": 5},
    "attention": {"d_model": 4, "num_heads": 4, "head_dim": 2},
}


def arguments(slot: str, name: str) -> dict[str, Any]:
    return {**ARGUMENTS[slot], **({"num_kv_heads": 2} if name == "gqa" else {})}


def build(slot: str, name: str, **options: Any) -> nn.Module:
    return registry.get(slot, name).build(**arguments(slot, name), **options)


@ALL
def test_part_says_the_role_of_each_of_its_own_parameters_and_of_no_other(slot: str, name: str) -> None:
    part = build(slot, name)
    given: dict[str, Role] = getattr(part, "roles", dict)()
    parameters = dict(part.named_parameters())
    assert set(given) == set(parameters)
    for key, role in given.items():
        assert role.kind in ("embedding", "head", "input", "query", "key", "output", "constant")
        if role.kind in ("input", "query", "key", "output"):  # torch keeps a matrix as [out, in]
            assert (role.fan_out, role.fan_in) == tuple(parameters[key].shape)


@pytest.mark.parametrize(
    ("slot", "name"), [key for key in PARTS if "bias" in registry.get(*key).allowed_options()]
)
def test_bias_has_a_role_too_and_starts_at_zero(slot: str, name: str) -> None:
    part = build(slot, name, bias=True)
    starts = {key: role.start for key, role in part.roles().items() if key.endswith("bias")}
    assert set(part.roles()) == {key for key, _ in part.named_parameters()}
    assert starts and set(starts.values()) == {0.0}


@ALL
def test_a_constant_parameter_is_built_where_its_role_says_that_it_starts(slot: str, name: str) -> None:
    """So a part that is used without a model starts as it does in one."""
    part = build(slot, name)
    for key, role in getattr(part, "roles", dict)().items():
        if role.kind == "constant":
            torch.testing.assert_close(
                part.get_parameter(key).detach(), torch.full_like(part.get_parameter(key), role.start)
            )


def test_a_constant_and_no_other_role_says_where_it_starts() -> None:
    assert constant(3, 0.5) == Role(kind="constant", fan_in=3, fan_out=3, start=0.5)
    with pytest.raises(ValueError, match="starts"):
        Role(kind="constant", fan_in=3, fan_out=3)
    with pytest.raises(ValueError, match="starts"):
        Role(kind="input", fan_in=3, fan_out=3, start=1.0)


@ALL
def test_part_builds_on_meta_without_memory(slot: str, name: str) -> None:
    with torch.device("meta"):
        part = build(slot, name)
    assert all(t.is_meta for t in (*part.parameters(), *part.buffers()))
    assert registry.get(slot, name).num_params(**arguments(slot, name)) == sum(
        p.numel() for p in build(slot, name).parameters()
    )


@ALL
def test_part_is_copied_pickled_and_restored(slot: str, name: str) -> None:
    part = build(slot, name)
    clones = [copy.deepcopy(part), pickle.loads(pickle.dumps(part)), build(slot, name)]
    clones[2].load_state_dict(part.state_dict())
    for clone in clones:
        for own, copied in (
            (part.named_parameters(), clone.named_parameters()),
            (part.named_buffers(), clone.named_buffers()),
        ):
            theirs = dict(copied)
            assert all(torch.equal(theirs[key], tensor) for key, tensor in own)


@ALL
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_output_and_gradients_have_the_dtypes_of_input_and_parameters(
    slot: str, name: str, dtype: torch.dtype
) -> None:
    """Parameters stay float32, the pass runs in the dtype of the input."""
    run, module = MAKERS[slot](name)
    draw(module, exact_in=torch.bfloat16)
    x = tokens(2, T, D, dtype=dtype)
    y = run(x)
    y.double().square().sum().backward()
    assert y.dtype == dtype and y.shape[:2] == (2, T) and y.isfinite().all()
    assert x.grad is not None and x.grad.dtype == dtype and x.grad.isfinite().all()
    for key, p in module.named_parameters():
        assert p.dtype == torch.float32 and (p.grad is None or p.grad.dtype == torch.float32), key


@ALL
def test_a_part_says_whether_it_is_another_in_training(slot: str, name: str) -> None:
    """Who runs a model must know of running statistics and random slopes; nothing else may change with the mode."""
    run, module = MAKERS[slot](name)
    draw(module)
    x = tokens(2, T, D, dtype=torch.float32).detach()
    outputs = []
    for training in (False, True):
        module.train(training)
        outputs.append(run(x))
    says = any(getattr(each, "mode_dependent", False) for each in module.modules())
    assert torch.equal(*outputs) != says


@ALL
def test_arguments_are_keyword_only(slot: str, name: str) -> None:
    parameters = inspect.signature(registry.get(slot, name).factory).parameters.values()
    assert {p.kind for p in parameters} <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}


def test_matrix_roles_says_which_way_each_matrix_maps() -> None:
    roles = matrix_roles(d_model=4, d_hidden=6, inputs=("a", "b"), outputs=("c",), bias=True)
    reads, writes = Role(kind="input", fan_in=4, fan_out=6), Role(kind="output", fan_in=6, fan_out=4)
    assert {key: role for key, role in roles.items() if key.endswith("weight")} == {
        "a.weight": reads,
        "b.weight": reads,
        "c.weight": writes,
    }
    assert {key: role.kind for key, role in roles.items() if key.endswith("bias")} == {
        "a.bias": "constant",
        "b.bias": "constant",
        "c.bias": "constant",
    }
    assert set(matrix_roles(d_model=4, d_hidden=6, inputs=("a",), outputs=(), bias=False)) == {"a.weight"}


@pytest.mark.parametrize("kind", ["head", "input", "output"])
def test_schemes_give_the_deviations_that_they_are_named_for(kind: str) -> None:
    role = Role(kind=kind, fan_in=64, fan_out=16)
    assert SCHEMES["fan_in"](role) == 1 / 8
    assert SCHEMES["fan_in"](Role(kind="embedding", fan_in=64, fan_out=16)) == 1.0
    assert SCHEMES["normal_0.02"](role) == 0.02
    assert math.isclose(SCHEMES["normal_0.02"](Role(kind="embedding", fan_in=64, fan_out=16)), 0.02)
