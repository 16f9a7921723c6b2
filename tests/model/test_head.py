"""What may stand between the last layer and the logits, and vectors of segments at the other end."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from paribus import oracles
from paribus.errors import RequestError
from paribus.model.cache import Cache
from paribus.model.config import ModelConfig
from paribus.model.count import num_params
from paribus.model.initialise import build, roles
from paribus.model.transformer import Transformer, slot_of

from ..parts.comparison import draw, weights_of
from .conftest import MakeConfig
from .refusal import refusal

V, D, T = 13, 8, 7
SEGMENT = torch.tensor([[0, 0, 2, 2, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0]])
FULL: dict[str, Any] = {"head_bias": True, "head_transform": "gelu", "segments": 3}


def ids() -> torch.Tensor:
    return torch.randint(V, (2, T), generator=torch.Generator().manual_seed(5))


def model_of(config: ModelConfig) -> Transformer:
    model = Transformer(config).double()
    draw(model)
    return model


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("architecture", ["decoder", "encoder"])
@pytest.mark.parametrize(
    "changes",
    [
        {"head_bias": True},
        {"head_transform": "relu"},
        {"head_transform": {"name": "gelu", "bias": False}},
        {"segments": 3},
        FULL,
    ],
)
def test_model_equals_the_oracle(
    make_config: MakeConfig, changes: dict[str, Any], architecture: Any, tied: bool
) -> None:
    config = make_config(
        position="learned", norm="layernorm", architecture=architecture, tie_embeddings=tied, **changes
    )
    model, transform = model_of(config), changes.get("head_transform")
    given = {"segment_BT": SEGMENT} if config.segments else {}
    expected = oracles.transformer(
        weights_of(model),
        ids().numpy(),
        num_heads=config.num_heads,
        num_layers=config.num_layers,
        architecture=architecture,
        parts=config.part_names(),
        segment=SEGMENT.numpy(),
        head_transform=transform["name"] if isinstance(transform, dict) else transform,
    )
    actual = model(ids(), dtype=torch.float64, **given).detach().numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)


def test_without_segments_given_all_tokens_are_of_the_first(make_config: MakeConfig) -> None:
    model = model_of(make_config(segments=2))
    first = torch.zeros_like(ids())
    assert torch.equal(model(ids()), model(ids(), segment_BT=first))
    assert not torch.allclose(model(ids()), model(ids(), segment_BT=first + 1))


def test_segments_and_head_go_with_a_cache(make_config: MakeConfig) -> None:
    model, cache = model_of(make_config(**FULL)), Cache()
    whole = model(ids(), dtype=torch.float64, segment_BT=SEGMENT)
    pieces = [
        model(ids()[:, at], dtype=torch.float64, segment_BT=SEGMENT[:, at], cache=cache)
        for at in (slice(0, 3), slice(3, 4), slice(4, 7))
    ]
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("tied", [False, True])
def test_what_they_add_has_names_of_its_own_and_leaves_every_other_draw(
    make_config: MakeConfig, tied: bool
) -> None:
    plain, full = (
        dict(build(make_config(tie_embeddings=tied, **changes), seed=0).named_parameters())
        for changes in ({}, FULL)
    )
    assert full.keys() - plain.keys() == {
        "segment_embedding.weight",
        "head.bias",
        "head.transform.dense.weight",
        "head.transform.dense.bias",
        "head.transform.norm.weight",
    }
    assert all(torch.equal(plain[name], full[name]) for name in plain)
    assert not full["head.bias"].any() and not full["head.transform.dense.bias"].any()
    assert full["head.transform.dense.weight"].std().item() == pytest.approx(D**-0.5, rel=0.3)
    assert full["segment_embedding.weight"].std().item() == pytest.approx(1, rel=0.5)


def test_counts_are_those_of_the_tables(make_config: MakeConfig) -> None:
    more = num_params(make_config(**FULL)) - num_params(make_config())
    assert more == V + 3 * D + D * D + D + D


def test_the_norm_of_the_head_is_of_the_norm_slot(make_config: MakeConfig) -> None:
    names = [name for name, *_ in roles(Transformer(make_config(norm="dyt", **FULL)))]
    assert {slot_of(name) for name in names if name.startswith("head.transform.norm")} == {"norm"}
    assert {slot_of(name) for name in names if not name.startswith(("decoder", "head.transform.norm"))} == {
        None
    }


@pytest.mark.parametrize("tied", [False, True])
def test_bf16_runs_through_head_and_segments(make_config: MakeConfig, tied: bool) -> None:
    model = build(make_config(tie_embeddings=tied, **FULL), seed=0)
    logits = model(ids(), dtype=torch.bfloat16, segment_BT=SEGMENT)
    F.cross_entropy(logits.flatten(0, 1).float(), ids().flatten()).backward()
    assert logits.dtype == torch.bfloat16
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}
    assert all(p.grad is not None for name, p in model.named_parameters() if "head" in name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head_bias": "yes"}, ("head_bias", "true or false", "'yes'")),
        ({"head_bias": None}, ("head_bias", "None")),
        ({"head_transform": "gelo"}, ("gelo", "gelu")),
        ({"head_transform": {"activation": "gelu"}}, ("head_transform", "name")),
        ({"head_transform": {"name": "gelu", "bias": "no"}}, ("head_transform", "bias", "'no'")),
        ({"head_transform": {"name": "gelu", "slope": 2}}, ("gelu", "slope")),
        ({"segments": -1}, ("segments", "-1")),
        ({"segments": True}, ("segments", "True")),
        ({"segments": 2, "architecture": "encoder_decoder"}, ("segments", "encoder_decoder")),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    sentence = refusal(**changes)
    assert all(word in sentence for word in words), sentence


def test_segments_of_a_model_without_are_refused(make_config: MakeConfig) -> None:
    with pytest.raises(RequestError, match="segments"):
        Transformer(make_config())(ids(), segment_BT=SEGMENT)
