"""What a family says it can express is what transformers then computes; what it cannot read it says."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers as tf

import paribus
from paribus.errors import RequestError
from paribus.families.family import MOST_LAYERS, express, families, family_of, interpret
from paribus.families.meaning import differing
from paribus.families.saving import family_for

from . import peers
from .files.checkpoints import refusal
from .peers import FAMILIES, PEERS, SPEAKING, distance, our_logits, their_logits, tokens
from .variations import variations, with_weights

#: Of every family one, and those whose config rules go another way.
BASES = [*FAMILIES, "falcon, new", "falcon, rw", "stablelm, normed", "opt, norms after", "t5, gated"]


def config_of(name: str, folder: Path) -> dict[str, Any]:
    """The config.json of a row, of the class that the row names."""
    getattr(tf, f"{PEERS[name].stem}Config")(**PEERS[name].options).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    return {**config, "architectures": [f"{PEERS[name].stem}{PEERS[name].head}"]}


def assert_expressed(name: str, folder: Path, *, every: int) -> None:
    """Of each n-th variation: if the family accepts it, it has the same logits in transformers."""
    given = config_of(name, folder / "config")
    family = family_of(given)
    changes = variations(interpret(family, given).config, every=every)
    for at, (field, value, config) in enumerate(changes):
        try:
            family_for(config, name=family.model_type)
        except RequestError:
            continue
        model = with_weights(config)
        paribus.save(model, folder / str(at), layout="transformers", family=family.model_type)
        theirs = peers.reloaded_as(getattr(tf, family.transformers_class), folder / str(at))
        found = distance(our_logits(model, tokens()), their_logits(theirs, tokens()))
        assert found < 2e-5, (field, value, found)


@pytest.mark.parametrize("name", BASES)
def test_some_of_what_a_family_accepts_is_what_transformers_computes(name: str, tmp_path: Path) -> None:
    assert_expressed(name, tmp_path, every=23)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPEAKING)
def test_all_that_a_family_accepts_is_what_transformers_computes(name: str, tmp_path: Path) -> None:
    assert_expressed(name, tmp_path, every=1)


@pytest.mark.parametrize("name", PEERS)
def test_a_config_that_was_expressed_means_the_same(name: str, tmp_path: Path) -> None:
    given = config_of(name, tmp_path)
    family = family_of(given)
    reading = interpret(family, given)
    written = express(family, reading.config)
    assert not differing(reading.config, interpret(family, written).config)
    assert reading.evidence.keys() == family.config.keys()


def test_every_family_has_a_row() -> None:
    assert {family.partition(",")[0] for family in FAMILIES} == families().keys()


# --- what cannot be read --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "parts"),
    [
        ("llama", {"num_hidden_layers": 10**9}, ("1,000,000,000 layers",)),
        ("llama", {"num_hidden_layers": MOST_LAYERS + 1}, ("layers cannot be",)),
        (
            "smollm3",
            {"num_hidden_layers": 10**9, "no_rope_layers": None},
            ("layers cannot be",),
        ),
        (
            "qwen2",
            {"num_hidden_layers": 10**9, "layer_types": None},
            ("layers cannot be",),
        ),
        ("t5", {"num_layers": 10**9}, ("layers cannot be",)),
        ("llama", {"num_hidden_layers": 0}, ("0 layers",)),
        ("llama", {"vocab_size": 10**18}, ("vocab_size is at most",)),
        ("llama", {"vocab_size": 10**400}, ("vocab_size is too large a number",)),
        ("llama", {"intermediate_size": 6.7e34}, ("intermediate_size",)),
        ("llama", {"head_dim": 10**18}, ("head_dim is at most",)),
        ("llama", {"head_dim": 10**9}, ("num_heads times head_dim",)),
        ("llama", {"hidden_size": None}, ("has no hidden_size",)),
        ("llama", {"hidden_size": "32"}, ("hidden_size is a whole number; it is '32'",)),
        ("llama", {"hidden_size": True}, ("hidden_size is a whole number",)),
        ("llama", {"rms_norm_eps": float("nan")}, ("rms_norm_eps is a number",)),
        ("llama", {"hidden_act": "gelo"}, ("hidden_act is 'gelo'", "did you mean gelu")),
        ("llama", {"hidden_act": "x" * 100_000}, ("hidden_act",)),
        ("gemma2", {"query_pre_attn_scalar": 0}, ("query_pre_attn_scalar is at least 1",)),
        ("gemma2", {"layer_types": [{}, "\n", None]}, ("layer_types", "it has 3, {} among them")),
        ("gemma2", {"layer_types": ["full_attention"] * 1_000_000}, ("it has 1000000",)),
        ("smollm3", {"no_rope_layers": [1, 0]}, ("for each of the 4 layers",)),
        ("smollm3", {"no_rope_layers": None, "no_rope_layer_interval": 0}, ("is at least 1",)),
        ("t5", {"d_model": 0}, ("d_model",)),
        ("t5", {"feed_forward_proj": "gated-gelo"}, ("feed_forward_proj",)),
        ("falcon, rw", {"hidden_size": 0}, ("hidden_size is at least 1",)),
        ("bert", {"type_vocab_size": 0}, ("type_vocab_size is at least 1",)),
        ("gptj", {"n_embd": 0}, ("n_embd is at least 1",)),
        ("mpt", {"embedding_fraction": [1.0] * 100_000}, ("embedding_fraction",)),
        ("mpt", {"attn_config": {"alibi": False}}, ("attn_config.alibi is False",)),
        ("bert", {"is_decoder": True}, ("is_decoder is True",)),
        ("opt", {"word_embed_proj_dim": 16}, ("embeddings are 16 wide",)),
    ],
)
def test_a_config_that_describes_no_model_is_refused(
    name: str, changes: dict[str, Any], parts: tuple[str, ...], tmp_path: Path
) -> None:
    given = config_of(name, tmp_path) | changes
    said = refusal(interpret, family_of(given), given)
    assert all(part in said for part in parts)


@pytest.mark.parametrize(
    ("model_type", "parts"),
    [
        ("lama", ("'lama'", "did you mean llama")),
        ("x" * 10_000, ("can be inspected and not yet loaded",)),
        (None, ("has no model_type",)),
        (7, ("has no model_type",)),
    ],
)
def test_an_unknown_family_is_refused_with_the_nearest(model_type: Any, parts: tuple[str, ...]) -> None:
    said = refusal(family_of, {"model_type": model_type})
    assert all(part in said for part in parts)


def test_legacy_gelu_of_gemma_is_the_tanh_form(tmp_path: Path) -> None:
    folder = peers.edited(peers.checkpoint("gemma", tmp_path), hidden_act="gelu")
    theirs = peers.reloaded(folder, "gemma")
    assert distance(our_logits(paribus.load(folder), tokens()), their_logits(theirs, tokens())) < 2e-5
