"""Counts against formulas worked out by hand and against the model that is built."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from paribus import registry
from paribus.model.config import SLOTS
from paribus.model.count import flops_per_token, num_params, slot_params, training_flops
from paribus.model.initialise import build
from paribus.model.transformer import Transformer, slot_of

from paribus.oracles import FFN
from .conftest import MakeConfig

FFNS = tuple(registry.catalog()["ffn"])
PARTS = [(slot, name) for slot, cards in registry.catalog().items() for name in cards]
V, D, F_, L, H, K, MAX = 13, 8, 10, 2, 3, 4, 9  # as in make_config


def by_hand(
    *,
    ffn: str = "swiglu",
    norm: str = "rmsnorm",
    residual: str = "pre",
    position: str = "rope",
    tied: bool = False,
) -> dict[str | None, int]:
    """Parameters by slot."""
    norms = 2 * L + (residual == "pre")
    return {
        "attention": L * 4 * D * H * K,
        "ffn": L * (len(FFN[ffn]) + 1) * D * F_,
        "norm": norms * D * {"rmsnorm": 1, "layernorm": 2}[norm],
        "position": MAX * D if position == "learned" else 0,
        "residual": 0,
        None: V * D * (1 if tied else 2),
    }


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("slot", "name"), PARTS)
def test_parameters_are_those_of_the_hand_formula_and_of_the_built_model(
    make_config: MakeConfig, slot: str, name: str, tied: bool
) -> None:
    config = make_config(tie_embeddings=tied, **{slot: name})
    expected = by_hand(tied=tied, **{slot: name} if slot != "attention" else {})
    assert num_params(config) == sum(expected.values())
    assert num_params(config) == sum(p.numel() for p in Transformer(config).parameters())
    assert {s: slot_params(config, s) for s in SLOTS} == {s: expected[s] for s in SLOTS}


@pytest.mark.parametrize("name", FFNS)
@pytest.mark.parametrize("seq_len", [1, 7])
def test_flops_are_three_times_those_of_the_forward_products(
    make_config: MakeConfig, name: str, seq_len: int
) -> None:
    """Each product xW costs 2 FLOPs a weight, and as much again for the gradient of x and for that of W."""
    matrices = V * D + L * (4 * D * H * K + (len(FFN[name]) + 1) * D * F_)
    attention = L * 2 * seq_len * H * K  # q kᵀ and p v over all keys
    assert flops_per_token(make_config(ffn=name), seq_len=seq_len) == 3 * 2 * (matrices + attention)


def test_tied_head_is_a_product_all_the_same(make_config: MakeConfig) -> None:
    untied, tied = (flops_per_token(make_config(tie_embeddings=t), seq_len=4) for t in (False, True))
    assert tied == untied


@pytest.mark.parametrize("position", registry.catalog()["position"])
def test_flops_from_the_config_are_those_of_a_real_pass(make_config: MakeConfig, position: str) -> None:
    config = make_config(position=position)
    model, ids = build(config, seed=0), torch.arange(6)[None] % V
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
    assert (
        counter.get_total_flops()
        == training_flops(model, seq_len=6)
        == 6 * flops_per_token(config, seq_len=6)
    )


def test_counting_a_model_that_no_machine_holds(make_config: MakeConfig) -> None:
    config = make_config(
        vocab_size=100_000, d_model=200_000, d_ff=1_000_000, num_layers=3, num_heads=100, head_dim=2000
    )
    matrices = 200_000 * 100_000 + 3 * (4 * 200_000**2 + 3 * 200_000 * 1_000_000)
    assert num_params(config) == matrices + 200_000 * (100_000 + 7)  # ten terabytes, were they real
    assert slot_params(config, "ffn") == 3 * 3 * 200_000 * 1_000_000
    assert flops_per_token(config, seq_len=2) == 6 * (matrices + 3 * 2 * 2 * 200_000)


def test_slot_of_reads_where_a_parameter_stands_and_not_what_it_is_called() -> None:
    assert slot_of("embedding.weight") is None and slot_of("head.weight") is None
    assert slot_of("decoder.position.weight") == "position"
    assert slot_of("decoder.final_norm.weight") == "norm"
    assert slot_of("decoder.blocks.1.residual.norms.ffn.weight") == "norm"
    assert slot_of("decoder.blocks.1.residual.alpha") == "residual"
    assert slot_of("decoder.blocks.1.ffn.gate.weight") == "ffn"
    assert slot_of("decoder.blocks.0.attention.q.weight") == "attention"


@pytest.mark.parametrize("name", ["norms.q.weight", "position.weight", "final_norm.weight"])
def test_a_part_of_a_part_belongs_to_the_slot_that_it_stands_in(name: str) -> None:
    """An attention layer with norms of its own (QK-norm) is bigger by them; the norm slot is not."""
    assert slot_of(f"decoder.blocks.0.attention.{name}") == "attention"
    assert slot_of(f"decoder.blocks.0.ffn.{name}") == "ffn"
