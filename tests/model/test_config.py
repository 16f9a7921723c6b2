"""ModelConfig: what it fills in, and the sentence with which it refuses."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from paribus.errors import RequestError
from paribus.model.config import SLOTS, ModelConfig
from paribus.model.transformer import Transformer

from .conftest import SWAPS, MakeConfig, swapped
from .refusal import SIZES, refusal


def test_head_dim_defaults_to_an_even_share() -> None:
    assert ModelConfig(**SIZES).head_dim == 4
    assert ModelConfig(**SIZES, head_dim=6).head_dim == 6
    assert ModelConfig(**{**SIZES, "num_heads": 3}, head_dim=2).head_dim == 2


def test_default_parts_are_those_of_llama() -> None:
    assert ModelConfig(**SIZES).part_names() == {
        "ffn": "swiglu",
        "norm": "rmsnorm",
        "residual": "pre",
        "position": "rope",
        "attention": "mha",
    }


def test_config_is_frozen_and_keyword_only() -> None:
    config = ModelConfig(**SIZES)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.d_model = 9  # type: ignore[misc]
    with pytest.raises(TypeError):
        ModelConfig(11, 8, 10, 1, 2)  # type: ignore[misc]


@pytest.mark.parametrize(
    "name", ["vocab_size", "d_model", "d_ff", "num_layers", "num_heads", "head_dim", "max_seq_len"]
)
@pytest.mark.parametrize("value", [0, -3])
def test_impossible_size_is_refused_by_name_and_value(name: str, value: int) -> None:
    sentence = refusal(**{name: value})
    assert name in sentence and str(value) in sentence


@pytest.mark.parametrize("value", [8.5, "8", None])
def test_a_size_that_is_no_whole_number_is_refused(value: object) -> None:
    assert "d_ff" in refusal(d_ff=value)


def test_indivisible_width_is_refused_with_the_way_out() -> None:
    sentence = refusal(num_heads=3)
    assert "d_model 8" in sentence and "num_heads 3" in sentence and "head_dim" in sentence


@pytest.mark.parametrize(
    ("slot", "typo", "meant"),
    [
        ("ffn", "swigluu", "swiglu"),
        ("ffn", "SwiGLU", "swiglu"),
        ("norm", "rmsnrm", "rmsnorm"),
        ("residual", "pree", "pre"),
        ("position", "ropee", "rope"),
        ("attention", "mah", "mha"),
    ],
)
@pytest.mark.parametrize("mapping", [False, True])
def test_unknown_part_offers_the_nearest(slot: str, typo: str, meant: str, mapping: bool) -> None:
    sentence = refusal(**{slot: {"name": typo} if mapping else typo})
    assert slot in sentence and typo in sentence and meant in sentence.split("did you mean", 1)[1]


def test_unknown_part_without_a_near_name_lists_all() -> None:
    sentence = refusal(norm="zzz")
    assert "layernorm" in sentence and "rmsnorm" in sentence


@pytest.mark.parametrize(
    ("slot", "spec", "words"),
    [
        ("norm", {"name": "rmsnorm", "epsilon": 1e-3}, ("epsilon", "eps")),
        ("position", {"name": "rope", "bse": 5.0}, ("bse", "base")),
        ("ffn", {"name": "swiglu", "gate": "relu"}, ("gate", "bias")),
        ("ffn", {"name": "swiglu", "d_ff": 3}, ("d_ff",)),
        ("attention", {"name": "mha", "num_heads": 3}, ("num_heads",)),
        ("residual", {"name": "pre", "alpha": 3}, ("alpha", "none")),
        ("ffn", {"nam": "swiglu"}, ("ffn", "name")),
        ("ffn", {"name": 3}, ("ffn", "name")),
        ("ffn", {}, ("ffn", "name")),
    ],
)
def test_unknown_option_is_refused(slot: str, spec: dict[str, Any], words: tuple[str, ...]) -> None:
    sentence = refusal(**{slot: spec})
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"position": "rope", "head_dim": 3}, ("even", "3")),
        ({"position": {"name": "rope", "fraction": 0.3}}, ("even", "0.3")),
        ({"position": "sinusoidal", "d_model": 7, "head_dim": 2}, ("even", "7")),
        ({"position": "rope_ntk", "head_dim": 2}, ("4", "2")),
        ({"position": "xpos", "architecture": "encoder"}, ("xpos", "causal")),
        ({"position": {"name": "t5", "num_buckets": 6}, "architecture": "encoder_decoder"}, ("4", "6")),
        ({"position": {"name": "shaw", "max_distance": 0}}, ("max_distance", "0")),
        ({"attention": "gqa"}, ("num_kv_heads",)),
        ({"attention": "mha", "num_kv_heads": 1}, ("gqa", "1")),
        ({"attention": "gqa", "num_kv_heads": 4}, ("2", "4")),
        ({"attention": "mqa", "num_kv_heads": 1}, ("mqa", "num_kv_heads")),
        ({"attention": ["mha", "gqa"], "num_layers": 2, "num_kv_heads": 1}, ("mha", "gqa")),
        ({"attention": {"name": "mha", "window": 0}}, ("window", "0")),
        ({"attention": {"name": "mha", "qk_norm": "rsmnorm"}}, ("rsmnorm", "rmsnorm")),
        ({"attention": ["mha", {"name": "mha", "softcap": -1}], "num_layers": 2}, ("softcap", "-1")),
        ({"residual": "parallel", "architecture": "encoder_decoder"}, ("cross-attention",)),
        ({"norm": {"name": "layernorm", "eps": -1.0}}, ("eps", "-1.0")),
        ({"ffn": {"name": "ungated", "activation": "rleu"}}, ("rleu", "relu")),
        ({"ffn": {"name": "ungated", "activation": "elu", "activation_options": {"alhpa": 2}}}, ("alhpa",)),
        ({"ffn": {"name": "layernorm_mlp", "depth": 0}}, ("depth", "0")),
        ({"ffn": {"name": "swiglu", "memory": "hlaf"}}, ("memory", "hlaf", "keep", "half", "none")),
        ({"ffn": {"name": "relu", "memory": "half"}}, ("memory", "half", "keep", "none", "without a gate")),
        ({"ffn": {"name": "self_gate_gelu", "memory": "half"}}, ("memory", "half", "keep", "none")),
    ],
)
def test_parts_that_cannot_be_are_refused_with_their_own_reason_before_anything_is_built(
    changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    sentence = refusal(**changes)
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "decodr"}, ("decodr", "decoder")),
        ({"architecture": "prefix"}, ("prefix", "decoder", "encoder", "encoder_decoder")),
        ({"encoder_layers": 2}, ("encoder_layers", "decoder", "num_layers")),
        ({"encoder_layers": 2, "architecture": "encoder"}, ("encoder_layers", "encoder", "num_layers")),
        ({"encoder_layers": 0, "architecture": "encoder_decoder"}, ("encoder_layers", "0")),
        ({"num_kv_heads": 0}, ("num_kv_heads", "0")),
        ({"num_kv_heads": 1.5}, ("num_kv_heads", "1.5")),
        ({"num_layers": True}, ("num_layers", "True")),
        ({"embedding_scale": 0.0}, ("embedding_scale", "0.0")),
        ({"embedding_scale": None}, ("embedding_scale", "None")),
        ({"logit_scale": -1.0}, ("logit_scale", "-1.0")),
        ({"logit_scale": "2"}, ("logit_scale", "'2'")),
        ({"logit_scale": math.inf}, ("logit_scale", "inf")),
        ({"logit_softcap": math.nan}, ("logit_softcap", "nan")),
        ({"logit_softcap": 0}, ("logit_softcap", "0")),
        ({"embedding_norm": "layernorm"}, ("embedding_norm", "layernorm")),
        ({"final_norm": 1}, ("final_norm", "1")),
        ({"tie_embeddings": None}, ("tie_embeddings", "None")),
        ({"ffn_memory": "hlaf"}, ("ffn_memory", "hlaf", "keep", "half", "none")),
        ({"ffn_memory": None}, ("ffn_memory", "None")),
        ({"ffn_memory": "none", "ffn": "layernorm_mlp"}, ("ffn_memory", "none", "layernorm_mlp", "keep")),
        (
            {"ffn_memory": "half", "ffn": ["swiglu", "relu"], "num_layers": 2},
            ("half", "keep", "without a gate"),
        ),
    ],
)
def test_impossible_settings_of_the_model_are_refused(
    changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    sentence = refusal(**changes)
    assert all(word in sentence for word in words), sentence


def test_making_a_config_draws_nothing_and_allocates_nothing() -> None:
    before = torch.get_rng_state()
    ModelConfig(
        vocab_size=10**6,
        d_model=10**6,
        d_ff=10**7,
        num_layers=100,
        num_heads=100,
        max_seq_len=10**7,
        position="learned",
    )
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("slot", "name"), SWAPS)
def test_every_part_makes_a_config_that_plain_data_makes_again(
    make_config: MakeConfig, slot: str, name: str
) -> None:
    config = make_config(**swapped(slot, name))
    assert config.part_names()[slot] == name
    assert ModelConfig(**json.loads(json.dumps(config.to_dict()))) == config


def test_options_reach_the_part(make_config: MakeConfig) -> None:
    model = Transformer(
        make_config(
            norm={"name": "layernorm", "bias": False, "eps": 0.25},
            ffn={"name": "silu", "bias": True},
            position={"name": "rope", "base": 77.0},
            attention={"name": "mha", "bias": True},
        )
    )
    names = {name for name, _ in model.named_parameters()}
    assert "decoder.blocks.1.residual.norms.ffn.bias" not in names
    assert {"decoder.blocks.1.ffn.up.bias", "decoder.blocks.1.attention.q.bias"} <= names
    assert model.decoder.position.base == 77.0
    assert {m.eps for m in model.modules() if hasattr(m, "eps")} == {0.25}


def test_every_ffn_is_given_the_memory_of_the_model_that_has_not_its_own(make_config: MakeConfig) -> None:
    pattern = ["swiglu", {"name": "relu", "memory": "keep"}]
    model = Transformer(make_config(ffn=pattern, ffn_memory="none"))
    assert [block.ffn.memory for block in model.blocks()] == ["none", "keep"]
    assert [block.ffn.memory for block in Transformer(make_config(ffn=pattern)).blocks()] == ["keep"] * 2
    make_config(ffn="layernorm_mlp")


def test_alias_becomes_the_canonical_name(make_config: MakeConfig) -> None:
    config = make_config(position={"name": "nope"})
    assert config.part_names()["position"] == "none"


def test_plain_data_makes_the_same_config_again(make_config: MakeConfig) -> None:
    config = make_config(ffn={"name": "silu", "bias": True}, norm="layernorm", tie_embeddings=True)
    assert ModelConfig(**config.to_dict()) == config
    assert set(SLOTS) <= set(config.to_dict())


def test_a_user_file_is_a_part_name(make_config: MakeConfig, tmp_path: Path) -> None:
    file = tmp_path / "my_norm.py"
    file.write_text(
        "from torch import nn\n"
        "class Centre(nn.Module):\n"
        "    '''x - mean.'''\n"
        "    def __init__(self, *, d_model, scale=1.0):\n"
        "        super().__init__(); self.scale = scale\n"
        "    def forward(self, x): return self.scale * (x - x.mean(-1, keepdim=True))\n"
    )
    config = make_config(norm={"name": f"{file}:Centre", "scale": 3.0})
    model = Transformer(config)
    assert config.part_names()["norm"] == "Centre"
    assert model(torch.zeros(1, 4, dtype=torch.long)).shape == (1, 4, 13)
    assert {m.scale for m in model.modules() if type(m).__name__ == "Centre"} == {3.0}
    with pytest.raises(RequestError, match="scale"):
        make_config(norm={"name": f"{file}:Centre", "scael": 3.0})


@pytest.mark.parametrize(
    ("signature", "word"), [("self, *, d_model", "d_ff"), ("self, *, d_model, d_ff, extra", "extra")]
)
def test_a_user_part_with_the_wrong_signature_is_refused(tmp_path: Path, signature: str, word: str) -> None:
    """The model gives d_model and d_ff to a feed-forward layer; a traceback is no answer."""
    file = tmp_path / "odd.py"
    file.write_text(
        f"from torch import nn\nclass Odd(nn.Module):\n    def __init__({signature}): super().__init__()\n"
    )
    with pytest.raises(RequestError, match=word):
        Transformer(ModelConfig(**SIZES, ffn=f"{file}:Odd"))
