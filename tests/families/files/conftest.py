"""A checkpoint as most are: one config and one file of weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of one file, with two tensors."""
    path = tmp_path / "llama"
    path.mkdir()
    (path / "config.json").write_text('{"hidden_size": 3}')
    tensors = {"model.norm.weight": torch.ones(3), "lm_head.weight": torch.randn(2, 3)}
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    return path
