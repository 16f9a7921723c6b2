"""`diff`: what differs, what is the same, and what nobody knows."""

from pathlib import Path

from paribus.families.inspecting.claims import SECTIONS
from paribus.families.inspecting.difference import diff

from .checkpoints import config_of, write_config


def test_what_differs_is_named_with_both_values(tmp_path: Path) -> None:
    a = write_config(tmp_path / "a", config_of())
    b = write_config(tmp_path / "b", config_of(hidden_act="gelu", sliding_window=4, model_type="mistral"))
    found = diff(a, b)
    told = {(each.section, each.name): (each.a, each.b) for each in found.differences}
    assert told["ffn", "activation"] == ({None: "silu"}, {None: "gelu"})
    assert told["attention", "window"] == ({None: "none"}, {None: 4})
    assert ("norm", "kind") not in told
    assert all(each.known for each in found.differences)
    sections = [each.section for each in found.differences]
    assert sections == sorted(sections, key=SECTIONS.index)
    assert {"norm", "placement", "position", "head"} <= set(found.same)
    assert not {"ffn", "attention", "tokenizer"} & set(found.same)


def test_a_model_differs_in_nothing_from_itself(tmp_path: Path) -> None:
    path = write_config(tmp_path, config_of())
    assert diff(path, path).differences == ()


def test_what_one_of_them_does_not_say_is_not_known_to_differ(tmp_path: Path) -> None:
    a = write_config(tmp_path / "a", config_of())
    b = write_config(tmp_path / "b", config_of(model_type="new_type"))
    for found in (diff(a, b), diff(b, a)):
        unknown = {(each.section, each.name) for each in found.differences if not each.known}
        # One is unknown there, and the last is not claimed at all.
        assert {("ffn", "gated"), ("placement", "residual"), ("position", "layout")} <= unknown
        assert ("model", "type") not in unknown


def test_costs_are_told_at_one_context(tmp_path: Path) -> None:
    a = write_config(tmp_path / "a", config_of(max_position_embeddings=64))
    found = diff(a, write_config(tmp_path / "b", config_of()))
    assert (found.a.context, found.b.context) == (16, 16)
    assert "sizes" in found.same
