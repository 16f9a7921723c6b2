"""What of a model goes by its sizes, when these change."""

import math
from typing import Any

import pytest

from paribus.families.anatomy import continued, resized, retold
from paribus.families.family import family_of, interpret
from paribus.model.config import ModelConfig

from .configs import CONFIGS


def _original(name: str, **more: Any) -> ModelConfig:
    config = {**CONFIGS[name], **more}
    return interpret(family_of(config), config).config


def test_stretched_rope_is_plain_again_and_keeps_its_base() -> None:
    fields = retold(_original("llama"), vocab_size=257, max_seq_len=128)
    assert fields["position"] == {"name": "rope", "base": 500000.0}
    assert retold(_original("gpt2"), vocab_size=257, max_seq_len=128)["position"] == "learned"


@pytest.mark.parametrize(
    ("window", "length", "expected"), [(4096, 128, 64), (4096, 8192, 4096), (100, 128, 100)]
)
def test_a_longer_window_keeps_its_share_of_the_length(window: int, length: int, expected: int) -> None:
    fields = retold(_original("gemma2", sliding_window=window), vocab_size=257, max_seq_len=length)
    assert [spec.get("window") for spec in fields["attention"]] == [expected, None]


def test_the_embedding_scale_follows_the_width() -> None:
    original = _original("gemma2")
    fields = resized(original, original.to_dict(), {"d_model": 256})
    assert fields["embedding_scale"] == pytest.approx(16.0)


def test_logit_scales_follow_the_width_of_a_head() -> None:
    original = _original("gemma2")
    fields = resized(original, original.to_dict(), {"head_dim": 64})
    assert all(spec["scale"] == pytest.approx(1 / math.sqrt(64)) for spec in fields["attention"])
    t5 = _original("t5")
    assert resized(t5, t5.to_dict(), {"head_dim": 16})["attention"]["scale"] == 1.0


@pytest.mark.parametrize(
    ("specs", "layers", "expected"),
    [
        ("ab" * 3, 4, "ab"),
        ("ab" * 3, 3, "aba"),
        ("aaab" + "aa", 5, "aaaba"),
        ("aab" + "aab" + "aa", 6, "aab"),
        ("aaab", 8, "aaaaaabb"),
        ("aaaabbbb", 2, "ab"),
        ("aaaa", 3, "a"),
    ],
)
def test_a_pattern_goes_on_or_is_stretched(specs: str, layers: int, expected: str) -> None:
    found = continued(list(specs), layers)
    found = [found] if isinstance(found, str) else found
    assert "".join(found[at % len(found)] for at in range(layers)) == (expected * layers)[:layers]
