"""Our own format keeps a model of any parts, and runs no code unasked."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import paribus
from paribus import registry
from paribus.families.meaning import differing
from paribus.model.config import ModelConfig
from paribus.registry import Registry

from .files.checkpoints import refusal
from .peers import V, edited, our_logits, tokens
from .variations import with_weights

SIZES: dict[str, Any] = {"vocab_size": V, "d_model": 16, "d_ff": 20, "num_layers": 2, "num_heads": 2}
PARTS = [
    (slot, name) for slot in ("ffn", "norm", "position", "residual") for name in registry.catalog()[slot]
]


def assert_kept(config: ModelConfig, folder: Path) -> None:
    model = with_weights(config)
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            buffer.add_(0.25)  # such as the statistics of a batch norm after training
    assert paribus.save(model, folder, layout="paribus").family is None
    again = paribus.load(folder)
    assert not differing(config, again.config)
    assert model.state_dict().keys() == again.state_dict().keys()
    assert all(torch.equal(each, again.state_dict()[name]) for name, each in model.state_dict().items())
    assert torch.equal(our_logits(model, tokens()), our_logits(again, tokens()))


@pytest.mark.parametrize(("slot", "name"), PARTS)
def test_a_model_with_any_part_is_kept(slot: str, name: str, tmp_path: Path) -> None:
    assert_kept(ModelConfig(**{**SIZES, slot: {"name": name}}), tmp_path / "ours")


@pytest.mark.parametrize(
    "changes",
    [
        {
            "ffn": ["swiglu", {"name": "relu", "bias": True}],
            "attention": ["mha", {"name": "mha", "window": 3}],
        },
        {"position": ["rope", "none"], "attention": "mqa"},
        {"architecture": "encoder_decoder", "encoder_layers": 4, "position": "t5", "tie_embeddings": True},
        {"architecture": "encoder", "segments": 3, "head_bias": True, "head_transform": "gelu"},
        {"norm": "batchnorm", "embedding_norm": True, "logit_softcap": 3.0, "embedding_scale": 2.0},
    ],
)
def test_patterns_and_options_are_kept(changes: dict[str, Any], tmp_path: Path) -> None:
    assert_kept(ModelConfig(**{**SIZES, **changes}), tmp_path / "ours")


def test_another_dtype_leaves_whole_numbers_alone(tmp_path: Path) -> None:
    model = with_weights(ModelConfig(**{**SIZES, "norm": "batchnorm"}))
    paribus.save(model, tmp_path / "ours", layout="paribus")
    again = paribus.load(tmp_path / "ours", dtype=torch.bfloat16).state_dict()
    for name, each in model.state_dict().items():
        expected = each.bfloat16() if each.is_floating_point() else each
        assert again[name].dtype == expected.dtype and torch.equal(again[name], expected)


OWN = """
from torch import nn
from paribus.registry import part

@part("norm", "mine", formula="x", paper="none", shapes="any")
class Mine(nn.Module):
    def __init__(self, *, d_model: int) -> None:
        super().__init__()
        open({ran!r}, "w").close()

    def forward(self, x):
        return x
"""


def test_a_part_from_a_file_is_run_only_if_asked(tmp_path: Path, own_registry: Registry) -> None:
    paribus.save(with_weights(ModelConfig(**{**SIZES, "norm": "none"})), tmp_path / "ours", layout="paribus")
    (tmp_path / "mine.py").write_text(OWN.format(ran=str(tmp_path / "ran")))
    config = json.loads((tmp_path / "ours/config.json").read_text())
    config["model"]["norm"] = f"{tmp_path / 'mine.py'}:Mine"
    edited(tmp_path / "ours", **config)
    said = refusal(paribus.load, tmp_path / "ours")
    assert "a part from a file" in said and "own_parts=True" in said
    assert not (tmp_path / "ran").exists()
    paribus.load(tmp_path / "ours", own_parts=True)
    assert (tmp_path / "ran").exists()


BUFFERED = """
import torch
from torch import nn
from paribus.parts.init import Role

class Mine(nn.Module):
    def __init__(self, *, d_model):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(d_model).normal_(std=0.02))
        self.register_buffer("kept", torch.empty(d_model).normal_())
        self.register_buffer("made", torch.arange(1.0, 1.0 + d_model), persistent=False)

    def roles(self):
        return {"weight": Role(kind="constant", fan_in=1, fan_out=1, start=1.0)}

    def forward(self, x):
        return x * self.weight * self.made + self.kept
"""


def test_a_part_that_draws_and_has_buffers_of_its_own_is_kept(tmp_path: Path, own_registry: Registry) -> None:
    (tmp_path / "mine.py").write_text(BUFFERED)
    model = with_weights(ModelConfig(**{**SIZES, "norm": f"{tmp_path / 'mine.py'}:Mine"}))
    paribus.save(model, tmp_path / "ours", layout="paribus")
    again = paribus.load(tmp_path / "ours", own_parts=True)
    assert torch.equal(our_logits(model, tokens()), our_logits(again, tokens()))


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"format": 2}, ("format 2", "reads format 1")),
        ({"format": "x" * 5_000}, ("reads format 1",)),
        ({"model": {**SIZES, "num_layers": 10**9}}, ("1,000,000,000 layers cannot be",)),
        ({"model": {**SIZES, "encoder_layers": 10**9}}, ("1,000,000,000 layers cannot be",)),
        ({"model": [1]}, ("format 1",)),
        ({"model": {}}, ("describes no model of this version",)),
        ({"model": {**SIZES, "colour": "red"}}, ("colour",)),
        ({"model": {**SIZES, "d_model": 10**18}}, ("d_model is at most",)),
        ({"model": {**SIZES, "ffn": "swiglo"}}, ("swiglu",)),
        ({"model": {**SIZES, "d_ff": 24}}, ("has the shape",)),
        ({"model": {**SIZES, "head_bias": True}}, ("has not head.bias",)),
    ],
)
def test_what_is_not_our_format_is_refused(
    changes: dict[str, Any], parts: tuple[str, ...], tmp_path: Path
) -> None:
    paribus.save(with_weights(ModelConfig(**SIZES)), tmp_path / "ours", layout="paribus")
    said = refusal(paribus.load, edited(tmp_path / "ours", **changes))
    assert all(part in said for part in parts)


def test_a_tensor_too_many_is_named(tmp_path: Path) -> None:
    paribus.save(with_weights(ModelConfig(**SIZES)), tmp_path / "ours", layout="paribus")
    file = tmp_path / "ours/model.safetensors"
    save_file({**load_file(file), "spare": torch.ones(1)}, file)
    assert "has a tensor spare" in refusal(paribus.load, tmp_path / "ours")
