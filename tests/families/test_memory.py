"""Loading costs the weights and little beside them, saving next to nothing."""

from pathlib import Path

import pytest
import torch

import paribus
from paribus.model.config import ModelConfig

from .files.checkpoints import peak_growth
from .variations import with_weights

BASE = {"vocab_size": 500, "d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8, "max_seq_len": 64}
GPT = {"norm": "layernorm", "attention": {"name": "mha", "bias": True}}
#: GPT-2 keeps its matrices transposed, GPT-NeoX those of attention in one.
MODELS = {
    "gpt2": {**BASE, **GPT, "ffn": {"name": "gelu_tanh", "bias": True}, "position": "learned"},
    "llama": BASE,
    "gpt_neox": {
        **BASE,
        **GPT,
        "ffn": {"name": "gelu", "bias": True},
        "position": {"name": "rope", "fraction": 0.25},
    },
}
READY = "import sys, torch, paribus; from paribus.families import loading; torch.set_num_threads(1)"
READY += "; paribus.save(paribus.load(sys.argv[2]), sys.argv[3])"
LOAD = "model = paribus.load(sys.argv[1], dtype={dtype})"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", MODELS)
def test_loading_and_saving_cost_little_more_than_the_weights(
    family: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    sizes = {**MODELS[family], "num_heads": 2, "d_model": 16, "d_ff": 16}
    small, large = str(tmp_path / "small"), str(tmp_path / "large")
    paribus.save(with_weights(ModelConfig(**sizes)), small, family=family)  # type: ignore[arg-type]
    model = with_weights(ModelConfig(**MODELS[family]))  # type: ignore[arg-type]
    paribus.save(model, large, family=family)
    weights = sum(parameter.numel() for parameter in model.parameters()) * dtype.itemsize
    load = LOAD.format(dtype=dtype)
    assert peak_growth(READY, load, large, small, f"{small}.first") < 1.25 * weights
    both = f"{load}; paribus.save(model, sys.argv[1] + '.again')"
    assert peak_growth(READY, both, large, small, f"{small}.second") < 1.4 * weights
