"""Logits of a checkpoint, here and by transformers."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from paribus.errors import WorkError
from paribus.families import verifying
from paribus.families.loading import load
from paribus.families.verifying import verify_logits
from tests.families.files.checkpoints import refusal
from tests.families.inspecting.checkpoints import config_of, write, write_config


@pytest.mark.parametrize("name", ["llama", "t5", "bert"])
def test_a_checkpoint_that_is_read_rightly_passes(name: str, tmp_path: Path) -> None:
    checks = verify_logits(write(name, tmp_path)[0])
    assert len(checks) == 3
    assert all(check.passed for check in checks)
    assert all(check.error is not None and check.error < 1e-5 for check in checks[:2])


def test_a_text_that_would_be_too_long_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_MOST_TOKENS", 15)
    *_, beyond = verify_logits(write("llama", tmp_path)[0])
    assert (beyond.error, beyond.passed) == (None, True)
    assert beyond.reason == "not run: 16 tokens are more than is tried here"


def test_what_transformers_would_draw_at_random_is_no_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    folder, _ = write("llama", tmp_path)
    missing = (torch.nn.Identity(), {"missing_keys": ["b", "a"]})
    monkeypatch.setattr(transformers.LlamaForCausalLM, "from_pretrained", lambda *_, **__: missing)
    with pytest.raises(WorkError, match="transformers finds no a in the checkpoint"):
        verify_logits(folder)


def test_learned_positions_are_not_tried_past_their_table(tmp_path: Path) -> None:
    *_, beyond = verify_logits(write("gpt2", tmp_path)[0])
    assert (beyond.error, beyond.passed) == (None, True)
    assert "learned positions cover 16 tokens" in beyond.reason


def test_a_model_that_is_read_wrongly_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = write("llama", tmp_path)
    (tmp_path / "other").mkdir()
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = torch.linspace(0.99, 1.01, 32)
    save_file(weights, tmp_path / "other" / "model.safetensors")
    (tmp_path / "other" / "config.json").write_text((folder / "config.json").read_text())
    monkeypatch.setattr(verifying, "load", lambda path, **options: load(tmp_path / "other", **options))
    checks = verify_logits(folder)
    assert not any(check.passed for check in checks)
    assert all(check.error is not None and check.error > 1e-4 for check in checks)


def test_families_that_are_not_loaded_cannot_be_verified(tmp_path: Path) -> None:
    write_config(tmp_path, config_of(model_type="new_type"))
    assert "'new_type' can be inspected and not verified" in refusal(verify_logits, tmp_path)


def test_a_bare_config_has_no_logits(tmp_path: Path) -> None:
    assert "logits are of a folder with config.json and weights" in refusal(
        verify_logits, write_config(tmp_path, config_of())
    )
    folder, _ = write("llama", tmp_path)
    assert "logits are of a folder with config.json and weights" in refusal(
        verify_logits, folder / "model.safetensors"
    )


def test_without_transformers_one_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = write("llama", tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "pip install transformers" in refusal(verify_logits, folder)


def test_a_checkpoint_that_transformers_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    folder, _ = write("llama", tmp_path)

    def refuse(*arguments: object, **options: object) -> None:
        raise ValueError("no such thing\nand more")

    monkeypatch.setattr(transformers.LlamaForCausalLM, "from_pretrained", refuse)
    with pytest.raises(WorkError, match="transformers cannot load the checkpoint: no such thing$"):
        verify_logits(folder)
