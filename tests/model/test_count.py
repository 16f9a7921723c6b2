"""Counts against formulas worked out by hand and against the model that is built."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from paribus import registry
from paribus.model.config import SLOTS
from paribus.model.count import flops_per_token, num_params, slot_params, training_flops
from paribus.model.initialise import build
from paribus.model.transformer import Transformer

from .conftest import SWAPS, MakeConfig, swapped

V, D, F_, L, H, K, MAX = 13, 8, 10, 2, 3, 4, 9  # as in make_config
UNGATED = tuple(registry.catalog()["activation"])
GATED = (
    "glu",
    "gtu",
    "bilinear",
    "reglu",
    "geglu",
    "geglu_tanh",
    "swiglu",
    "swiglu_clamped",
    "swiglu_learnable",
)
#: Elements of a feed-forward layer's matrices, and what it learns beside.
FFN_MATRICES = {
    **dict.fromkeys((*UNGATED, "swish_learnable"), 2 * D * F_),
    **dict.fromkeys(GATED, 3 * D * F_),
    "maxout": 3 * D * F_,
    **dict.fromkeys(("self_gate_sigmoid", "self_gate_gelu", "self_gate_swish"), D * D),
    "layernorm_mlp": 2 * D * F_ + F_ * F_,
}
FFN_BESIDE = {
    "swish_learnable": 1,
    "swiglu_learnable": 1,
    "prelu": 1,
    "xielu": 2,
    "polyrelu": 4,
    "polynorm": 4,
    "layernorm_mlp": 4 * F_,
}
#: Elements of a norm.
NORM = {
    "rmsnorm": D,
    "rmsnorm_offset": D,
    "prmsnorm": D,
    "layernorm": 2 * D,
    "layernorm_offset": 2 * D,
    "batchnorm": 2 * D,
    "dyt": 2 * D + 1,
    "scalenorm": 1,
    "none": 0,
}
#: How many norms a placement has, and numbers of its own.
RESIDUAL = {
    "pre": (2 * L + 1, 0),
    "post": (2 * L, 0),
    "sandwich": (4 * L + 1, 0),
    "peri": (4 * L + 2, 0),
    "post_sublayer": (2 * L + 1, 0),
    "deepnorm": (2 * L, 0),
    "parallel": (L + 1, 0),
    "parallel_separate": (2 * L + 1, 0),
    "rezero": (0, 2 * L),
}
POSITION = {"learned": MAX * D, "t5": 32 * H, "shaw": 2 * 33 * K} | {
    name: 0 for name in ("none", "sinusoidal", "alibi", "rope", "rope_interleaved", "rope_yarn", "xpos")
}
ATTENTION = {"mha": 4 * D * H * K, "mqa": 2 * D * (H + 1) * K}
BY_HAND = [
    *(("ffn", name) for name in FFN_MATRICES),
    *(("norm", name) for name in NORM),
    *(("residual", name) for name in RESIDUAL),
    *(("position", name) for name in POSITION),
    *(("attention", name) for name in ATTENTION),
]


def by_hand(**parts: str) -> dict[str, int]:
    """Parameters of each slot."""
    names = {
        "ffn": "swiglu",
        "norm": "rmsnorm",
        "residual": "pre",
        "position": "rope",
        "attention": "mha",
        **parts,
    }
    norms, own = RESIDUAL[names["residual"]]
    return {
        "ffn": L * (FFN_MATRICES[names["ffn"]] + FFN_BESIDE.get(names["ffn"], 0)),
        "norm": norms * NORM[names["norm"]],
        "residual": own,
        "position": POSITION[names["position"]],
        "attention": L * ATTENTION[names["attention"]],
    }


@pytest.mark.parametrize(("slot", "name"), BY_HAND)
def test_parameters_are_those_of_the_hand_formula(make_config: MakeConfig, slot: str, name: str) -> None:
    for tied in (False, True):
        config = make_config(tie_embeddings=tied, **{slot: name})
        assert {each: slot_params(config, each) for each in SLOTS} == by_hand(**{slot: name})
        assert num_params(config) == sum(by_hand(**{slot: name}).values()) + V * D * (1 if tied else 2)


@pytest.mark.parametrize(("slot", "name"), SWAPS)
def test_parameters_are_those_of_the_built_model(make_config: MakeConfig, slot: str, name: str) -> None:
    """Each belongs to one slot, or is the embedding or the head."""
    config = make_config(**swapped(slot, name))
    total = sum(p.numel() for p in Transformer(config).parameters())
    assert num_params(config) == total == sum(slot_params(config, each) for each in SLOTS) + 2 * V * D


@pytest.mark.parametrize("residual", ["pre", "deepnorm"])
def test_an_encoder_decoder_has_a_third_of_attention_more_than_two_stacks(
    make_config: MakeConfig, residual: str
) -> None:
    """Its decoder's blocks have cross-attention, with a norm of its own."""
    sizes: dict[str, Any] = {"residual": residual, "position": "learned"}
    both = make_config(architecture="encoder_decoder", **sizes)
    one = make_config(**sizes)
    assert slot_params(both, "attention") == 3 * slot_params(one, "attention")
    assert slot_params(both, "ffn") == 2 * slot_params(one, "ffn")
    assert slot_params(both, "position") == 2 * slot_params(one, "position")
    assert slot_params(both, "norm") == 2 * slot_params(one, "norm") + L * D
    deeper = make_config(architecture="encoder_decoder", encoder_layers=5, **sizes)
    assert slot_params(deeper, "ffn") == (5 + L) * slot_params(one, "ffn") // L


#: One layer of each class every day: activations cost no products.
ONE_OF_A_CLASS = set({registry.get("ffn", name).factory: name for name in FFN_MATRICES}.values()) | {"maxout"}
DAILY = [
    name if name in ONE_OF_A_CLASS else pytest.param(name, marks=pytest.mark.slow) for name in FFN_MATRICES
]


@pytest.mark.parametrize("name", DAILY)
@pytest.mark.parametrize("seq_len", [1, 7])
def test_flops_are_three_times_those_of_the_forward_products(
    make_config: MakeConfig, name: str, seq_len: int
) -> None:
    """Each product xW costs 2 FLOPs a weight, and as much again for the gradient of x and for that of W."""
    matrices = V * D + L * (4 * D * H * K + FFN_MATRICES[name])
    attention = L * 2 * seq_len * H * K  # q kᵀ and p v over all keys
    assert flops_per_token(make_config(ffn=name), seq_len=seq_len) == 3 * 2 * (matrices + attention)


@pytest.mark.parametrize("seq_len", [1, 7])
def test_flops_of_an_encoder_decoder_count_a_source_as_long_as_the_text(
    make_config: MakeConfig, seq_len: int
) -> None:
    config = make_config(architecture="encoder_decoder", encoder_layers=1)
    of_ffn, of_attention = FFN_MATRICES["swiglu"], 4 * D * H * K
    matrices = V * D + 1 * (of_attention + of_ffn) + L * (2 * of_attention + of_ffn)
    attention = (1 + 2 * L) * 2 * seq_len * H * K
    assert flops_per_token(config, seq_len=seq_len) == 3 * 2 * (matrices + attention)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_grouped_heads_save_products_of_keys_and_values_only(make_config: MakeConfig, groups: int) -> None:
    whole = flops_per_token(make_config(num_heads=4), seq_len=7)
    grouped = flops_per_token(make_config(num_heads=4, attention="gqa", num_kv_heads=groups), seq_len=7)
    assert whole - grouped == 6 * L * 2 * D * (4 - groups) * K


def test_tied_head_is_a_product_all_the_same(make_config: MakeConfig) -> None:
    untied, tied = (flops_per_token(make_config(tie_embeddings=t), seq_len=4) for t in (False, True))
    assert tied == untied


@pytest.mark.parametrize("position", ["rope", "shaw", "t5", "learned"])
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


@pytest.mark.parametrize("memory", ["half", "none"])
def test_what_is_replayed_to_keep_less_does_not_count(make_config: MakeConfig, memory: str) -> None:
    model = build(make_config(ffn_memory=memory), seed=0)
    assert training_flops(model, seq_len=6) == 6 * flops_per_token(make_config(), seq_len=6)
    assert {block.ffn.memory for block in model.blocks()} == {memory}


def test_counting_a_model_that_no_machine_holds(make_config: MakeConfig) -> None:
    config = make_config(
        vocab_size=100_000, d_model=200_000, d_ff=1_000_000, num_layers=3, num_heads=100, head_dim=2000
    )
    matrices = 200_000 * 100_000 + 3 * (4 * 200_000**2 + 3 * 200_000 * 1_000_000)
    assert num_params(config) == matrices + 200_000 * (100_000 + 7)  # ten terabytes, were they real
    assert slot_params(config, "ffn") == 3 * 3 * 200_000 * 1_000_000
    assert flops_per_token(config, seq_len=2) == 6 * (matrices + 3 * 2 * 2 * 200_000)
