"""RoPE and its scalings as config files of both forms have them, at and past the trained length."""

from pathlib import Path
from typing import Any

import pytest

import paribus

from .files.checkpoints import refusal
from .peers import checkpoint, distance, edited, our_logits, reloaded, their_logits, tokens

ORIGINAL, LONGEST = 8, 24
KNOWN = {"original_max_position_embeddings": ORIGINAL, "factor": 3.0}
DIVISORS = {
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
    "long_factor": [2.0, 2.1, 3.2, 4.3, 5.0, 9.0],
}
#: A kind and what stands beside it.
SCALINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("default", {}),
    "linear": ("linear", {"factor": 3.0}),
    "dynamic": ("dynamic", {"factor": 3.0}),
    "llama3": ("llama3", {**KNOWN, "low_freq_factor": 1.0, "high_freq_factor": 4.0}),
    "llama3, another ramp": ("llama3", {**KNOWN, "low_freq_factor": 0.5, "high_freq_factor": 1.5}),
    "yarn": ("yarn", KNOWN),
    "yarn, factor on logits": ("yarn", {**KNOWN, "attention_factor": 1.3}),
    "yarn, two mscales": ("yarn", {**KNOWN, "mscale": 2.0, "mscale_all_dim": 0.5}),
    "yarn, one mscale": ("yarn", {**KNOWN, "mscale": 2.0}),
    "yarn, another ramp": ("yarn", {**KNOWN, "beta_fast": 1.2, "beta_slow": 0.2}),
    "yarn, ramp not rounded": (
        "yarn",
        {**KNOWN, "truncate": False, "beta_fast": 1.2, "beta_slow": 0.2},
    ),
    "yarn, shorter than a turn": (
        "yarn",
        {"factor": 3.0, "original_max_position_embeddings": 6, "truncate": False},
    ),
    "yarn, trained on all": ("yarn", {"factor": 3.0}),
    "longrope": ("longrope", {**KNOWN, **DIVISORS}),
    "longrope, no factor": ("longrope", {"original_max_position_embeddings": ORIGINAL, **DIVISORS}),
    "longrope, factor on logits": ("longrope", {**KNOWN, **DIVISORS, "attention_factor": 1.3}),
}
FORMS = {
    "type": lambda kind, rest: {
        "rope_parameters": None,
        "rope_theta": 500.0,
        "rope_scaling": {"type": kind, **rest},
    },
    "rope_type": lambda kind, rest: {
        "rope_parameters": None,
        "rope_theta": 500.0,
        "rope_scaling": {"rope_type": kind, **rest},
    },
    "rope_parameters": lambda kind, rest: {
        "rope_parameters": {"rope_theta": 500.0, "rope_type": kind, **rest}
    },
    "both": lambda kind, rest: {
        "rope_parameters": {"rope_theta": 77.0, "rope_type": "linear", "factor": 2.0},
        "rope_scaling": {"rope_theta": 500.0, "rope_type": kind, **rest},
    },
}


def assert_same(name: str, folder: Path, *lengths: int) -> None:
    ours, theirs = paribus.load(folder), reloaded(folder, name)
    for length in lengths:
        found = distance(our_logits(ours, tokens(length)), their_logits(theirs, tokens(length)))
        assert found < 2e-5, (length, found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_scaling_is_that_of_transformers(scaling: str, form: str, tmp_path: Path) -> None:
    kind, rest = SCALINGS[scaling]
    folder = checkpoint("llama, wide heads", tmp_path / "theirs")
    edited(folder, max_position_embeddings=LONGEST, **FORMS[form](kind, rest))
    assert_same("llama, wide heads", folder, ORIGINAL, LONGEST, 40)
    paribus.save(paribus.load(folder), tmp_path / "ours", layout="transformers")
    assert_same("llama, wide heads", tmp_path / "ours", ORIGINAL, 40)


@pytest.mark.parametrize("kind", ["longrope", "su", "yarn"])
def test_phi3_has_the_length_before_scaling_beside_it(kind: str, tmp_path: Path) -> None:
    divisors = {key: each[:4] for key, each in DIVISORS.items()}
    folder = checkpoint("phi3", tmp_path / "theirs")
    scaling = {"type": kind, "original_max_position_embeddings": 999, **divisors}
    edited(folder, rope_parameters=None, rope_scaling=scaling, original_max_position_embeddings=ORIGINAL)
    assert_same("phi3", folder, ORIGINAL, LONGEST)
    paribus.save(paribus.load(folder), tmp_path / "ours", layout="transformers")
    assert_same("phi3", tmp_path / "ours", ORIGINAL, LONGEST)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("gpt_neox", {"rotary_pct": 0.5, "rotary_emb_base": 77}),
        ("phi", {"partial_rotary_factor": 0.75, "rope_theta": 77.0}),
        ("stablelm", {"partial_rotary_factor": 0.75, "rope_theta": 77.0}),
        ("nemotron", {"partial_rotary_factor": 1.0, "rope_theta": 77.0}),
        ("falcon", {"rope_theta": 77.0}),
        ("smollm3", {"rope_theta": 77.0}),
    ],
)
def test_older_keys_count(name: str, keys: dict[str, Any], tmp_path: Path) -> None:
    folder = edited(checkpoint(name, tmp_path), rope_parameters=None, **keys)
    assert_same(name, folder, LONGEST)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"rope_scaling": {"rope_type": "yarm", "factor": 2.0}}, ("'yarm'", "did you mean yarn?")),
        ({"rope_scaling": "linear"}, ("rope_scaling is an object",)),
        ({"rope_scaling": {"rope_type": "linear"}}, ("has no rope_scaling.factor",)),
        (
            {"rope_scaling": {"type": "longrope", "short_factor": [None] * 4, "long_factor": [1.0] * 4}},
            ("short_factor is a list of numbers", "None is in it"),
        ),
        (
            {"rope_scaling": {"type": "yarn", "factor": 2, "mscale": -9.0, "mscale_all_dim": 1.0}},
            ("mscale", "above zero"),
        ),
        (
            {"rope_scaling": {"type": "yarn", "factor": 2, "original_max_position_embeddings": 0}},
            ("original_max_position_embeddings is at least 1",),
        ),
        ({"partial_rotary_factor": 0.5, "rope_parameters": None}, ("rotate all channels",)),
    ],
)
def test_what_is_no_scaling_is_refused(
    changes: dict[str, Any], parts: tuple[str, ...], tmp_path: Path
) -> None:
    said = refusal(paribus.load, edited(checkpoint("llama", tmp_path), **changes))
    assert all(part in said for part in parts)


def test_phi3_has_no_scaling_but_its_own(tmp_path: Path) -> None:
    said = refusal(
        paribus.load, edited(checkpoint("phi3", tmp_path), rope_scaling={"type": "linear", "factor": 2.0})
    )
    assert "RoPE is scaled by 'linear'" in said and "longrope" in said
