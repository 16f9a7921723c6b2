"""What is saved is what was loaded, whoever reads it; and a folder is there in full or not at all."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import paribus
from paribus.errors import WorkError
from paribus.families.loading import CheckpointWarning
from paribus.families.meaning import differing
from paribus.model.config import ModelConfig

from .files.checkpoints import refusal
from .peers import (
    FAMILIES,
    PEERS,
    V,
    checkpoint,
    distance,
    edited,
    our_logits,
    peer,
    reloaded,
    their_logits,
    tokens,
)
from .variations import with_weights

pytestmark = pytest.mark.filterwarnings("ignore::paribus.families.loading.CheckpointWarning")
SMALL = ModelConfig(vocab_size=V, d_model=8, d_ff=12, num_layers=2, num_heads=2)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("name", PEERS)
def test_import_and_export_change_nothing(name: str, tmp_path: Path) -> None:
    first = paribus.load(checkpoint(name, tmp_path / "theirs"))
    saved = paribus.save(first, tmp_path / "ours", layout="transformers", shard_bytes=20_000)
    assert saved.family == peer(name).config.model_type
    assert "model.safetensors.index.json" in saved.files and len(saved.files) > 4
    again = paribus.load(tmp_path / "ours")
    assert same_weights(first, again) and not differing(first.config, again.config)
    theirs = reloaded(tmp_path / "ours", name).state_dict()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in peer(name).state_dict().items())


@pytest.mark.parametrize("name", FAMILIES)
def test_one_file_of_ours_has_the_logits_in_transformers(name: str, tmp_path: Path) -> None:
    model = paribus.load(checkpoint(name, tmp_path / "theirs"))
    saved = paribus.save(model, tmp_path / "ours")
    assert saved.files[0] == "model.safetensors" and saved.num_bytes > 10_000
    theirs = reloaded(tmp_path / "ours", name)
    assert distance(our_logits(model, tokens()), their_logits(theirs, tokens())) < 2e-5


def test_shards_stay_within_their_size_and_the_index_says_where_all_is(tmp_path: Path) -> None:
    model = paribus.load(checkpoint("llama", tmp_path / "theirs"))
    paribus.save(model, tmp_path / "ours", shard_bytes=20_000)
    index = json.loads((tmp_path / "ours/model.safetensors.index.json").read_text())
    held = {file: load_file(tmp_path / "ours" / file) for file in set(index["weight_map"].values())}
    assert {key: file for file, tensors in held.items() for key in tensors} == index["weight_map"]
    sizes = [sum(tensor.nbytes for tensor in tensors.values()) for tensors in held.values()]
    assert max(sizes) <= 20_000 and sum(sizes) == index["metadata"]["total_size"]


def test_a_dtype_is_kept_in_both_formats(tmp_path: Path) -> None:
    checkpoint("gpt2", tmp_path / "theirs")
    model = paribus.load(tmp_path / "theirs", dtype=torch.bfloat16)
    for layout in ("transformers", "paribus"):
        paribus.save(model, tmp_path / layout, layout=layout)  # type: ignore[arg-type]
        assert same_weights(model, paribus.load(tmp_path / layout))
        held = load_file(tmp_path / layout / "model.safetensors")
        assert {tensor.dtype for tensor in held.values()} == {torch.bfloat16}


def test_a_trained_model_is_saved_as_it_is_now(tmp_path: Path) -> None:
    model = paribus.load(checkpoint("gpt_neox", tmp_path / "theirs"))
    before = (tmp_path / "theirs/model.safetensors").read_bytes()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.125)
    paribus.save(model, tmp_path / "ours")
    assert same_weights(model, paribus.load(tmp_path / "ours"))
    assert (tmp_path / "theirs/model.safetensors").read_bytes() == before


def test_heads_for_other_tasks_are_written_back(tmp_path: Path) -> None:
    with pytest.warns(CheckpointWarning, match="left out, as they belong to heads for other tasks"):
        model = paribus.load(checkpoint("bert, pre-training", tmp_path / "theirs"))
    paribus.save(model, tmp_path / "ours")
    theirs, ours = (load_file(tmp_path / name / "model.safetensors") for name in ("theirs", "ours"))
    aside = {name for name in theirs if "pooler" in name or "seq_relationship" in name}
    assert len(aside) == 4 and all(torch.equal(theirs[name], ours[name]) for name in aside)


def test_a_tokenizer_and_the_ids_of_its_tokens_go_along(tmp_path: Path) -> None:
    folder = edited(checkpoint("llama", tmp_path / "theirs"), bos_token_id=7, eos_token_id=[8, 9])
    for name in ("tokenizer.json", "merges.txt", "unrelated.txt"):
        (folder / name).write_text(name)
    (folder / "modeling.py").write_text("raise SystemExit")
    edited(folder, auto_map={"AutoModelForCausalLM": "modeling.Mine"})
    with pytest.warns(CheckpointWarning, match="Python code of its own"):
        model = paribus.load(folder)
    saved = paribus.save(model, tmp_path / "ours")
    assert {"tokenizer.json", "merges.txt"} < set(saved.files)
    assert not {"unrelated.txt", "modeling.py"} & set(os.listdir(tmp_path / "ours"))
    config = json.loads((tmp_path / "ours/config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"]) == (7, [8, 9])
    assert "auto_map" not in config


def test_a_link_out_of_the_folder_is_not_carried_along(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("1234")
    model = paribus.load(checkpoint("llama", tmp_path / "theirs"))
    (tmp_path / "theirs/tokenizer.json").symlink_to(tmp_path / "secret")
    assert "'tokenizer.json', a link out of the folder" in refusal(paribus.save, model, tmp_path / "ours")
    assert {each.name for each in tmp_path.iterdir()} == {"secret", "theirs"}


# --- the family -----------------------------------------------------------------------------------------


def test_what_no_family_has_is_kept_in_our_own_format_with_the_reason(tmp_path: Path) -> None:
    model = with_weights(ModelConfig(**{**SMALL.to_dict(), "ffn": "maxout"}))
    saved = paribus.save(model, tmp_path / "ours")
    assert saved.family is None and "no known family has such a model" in (saved.why_not or "")
    assert same_weights(model, paribus.load(tmp_path / "ours"))
    assert "no known family has such a model" in refusal(
        paribus.save, model, tmp_path / "other", layout="transformers"
    )


def test_a_part_with_weights_that_a_family_has_no_name_for_is_not_its(tmp_path: Path) -> None:
    model = with_weights(ModelConfig(**{**SMALL.to_dict(), "ffn": "xielu", "norm": "layernorm_offset"}))
    assert paribus.save(model, tmp_path / "ours").family is None
    assert "nemotron has no tensor for decoder.blocks.0.ffn" in refusal(
        paribus.save, model, tmp_path / "other", family="nemotron"
    )


def test_a_family_can_be_asked_for(tmp_path: Path) -> None:
    model = with_weights(SMALL)
    assert paribus.save(model, tmp_path / "a", family="mistral").family == "mistral"
    said = refusal(paribus.save, model, tmp_path / "b", family="mistrall")
    assert "there is no family 'mistrall'" in said and "did you mean mistral" in said
    assert "gpt2 has no such model" in refusal(paribus.save, model, tmp_path / "b", family="gpt2")
    assert os.listdir(tmp_path) == ["a"]


# --- the folder -----------------------------------------------------------------------------------------


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    model = with_weights(SMALL)
    for target in (tmp_path, tmp_path / "file"):
        assert "is there already" in refusal(paribus.save, model, target)
    assert "cannot be made" in refusal(paribus.save, model, tmp_path / "file" / "below")
    assert {each.name for each in tmp_path.iterdir()} == {"file", "empty"}
    paribus.save(model, tmp_path / "empty")
    assert same_weights(model, paribus.load(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"shard_bytes": 0}, ("shard_bytes",)),
        ({"layout": "gguf"}, ("layout is auto, transformers or paribus",)),
    ],
)
def test_options_that_cannot_be_are_refused(
    options: dict[str, object], parts: tuple[str, ...], tmp_path: Path
) -> None:
    said = refusal(lambda: paribus.save(with_weights(SMALL), tmp_path / "ours", **options))
    assert all(part in said for part in parts)


@pytest.mark.parametrize("layout", ["transformers", "paribus"])
def test_a_full_disk_leaves_nothing(layout: str, tmp_path: Path) -> None:
    """A limit on file size stands for a disk that fills up."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
    try:
        with pytest.raises(
            WorkError, match="could not be written, and nothing is left of it: File too large"
        ):
            paribus.save(with_weights(SMALL), tmp_path / "ours", layout=layout)  # type: ignore[arg-type]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_a_killed_save_leaves_no_folder_of_that_name(tmp_path: Path) -> None:
    """The process is killed by itself in the middle of the weights."""
    code = (
        "import os, signal, sys, paribus\n"
        "from paribus.families import saving\n"
        "from paribus.model.config import ModelConfig\n"
        "from paribus.model.transformer import Transformer\n"
        "write = saving.write_tensors\n"
        "def killed(path, tensors):\n"
        "    write(path, tensors[:3])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "saving.write_tensors = killed\n"
        "model = Transformer(ModelConfig(vocab_size=40, d_model=8, d_ff=12, num_layers=2, num_heads=2))\n"
        "paribus.save(model, sys.argv[1])\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "ours")], check=False)
    assert run.returncode == -signal.SIGKILL
    assert [each.name for each in tmp_path.iterdir() if not each.name.startswith(".")] == []
    paribus.save(with_weights(SMALL), tmp_path / "ours")
