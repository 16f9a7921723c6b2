"""Qualified names: what a parameter is called, whatever stands beside it, and the slot that it is counted to."""

import pytest

from paribus import registry
from paribus.model.transformer import Transformer, slot_of

from .conftest import SWAPS, MakeConfig, swapped

#: The sublayers of the default parts.
SUBLAYERS = [
    f"{owner}.{name}"
    for owner, names in (("attention", "qkvo"), ("ffn", ("gate", "value", "down")))
    for name in names
]


def names_of(make_config: MakeConfig, **changes: object) -> set[str]:
    return {name for name, _ in Transformer(make_config(**changes)).named_parameters()}


def test_names_of_the_default_decoder_are_the_published_ones(make_config: MakeConfig) -> None:
    assert names_of(make_config) == {"embedding.weight", "head.weight", "decoder.final_norm.weight"} | {
        f"decoder.blocks.{layer}.{where}.weight"
        for layer in range(2)
        for where in (*SUBLAYERS, "residual.norms.attention", "residual.norms.ffn")
    }


def test_names_of_an_encoder_decoder_are_those_of_two_stacks(make_config: MakeConfig) -> None:
    names = names_of(make_config, architecture="encoder_decoder", encoder_layers=3)
    decoder, encoder = names_of(make_config), names_of(make_config, architecture="encoder", num_layers=3)
    cross = {
        f"decoder.blocks.{layer}.{where}.weight"
        for layer in range(2)
        for where in (*(f"cross_attention.{n}" for n in "qkvo"), "residual.norms.cross_attention")
    }
    assert names == decoder | encoder | cross
    assert {
        name.replace("encoder.", "decoder.") for name in names_of(make_config, architecture="encoder")
    } == decoder


@pytest.mark.parametrize("architecture", ["decoder", "encoder", "encoder_decoder"])
def test_names_of_all_but_norms_and_scales_do_not_depend_on_the_placement(
    make_config: MakeConfig, architecture: str
) -> None:
    names = set()
    for residual in registry.catalog()["residual"]:
        if residual.startswith("parallel") and architecture == "encoder_decoder":
            continue
        found = names_of(make_config, residual=residual, architecture=architecture)
        names.add(frozenset(name for name in found if slot_of(name) not in ("norm", "residual")))
    assert len(names) == 1


@pytest.mark.parametrize(("slot", "name"), SWAPS)
def test_a_swap_changes_names_of_its_own_slot_only(make_config: MakeConfig, slot: str, name: str) -> None:
    """A placement has its own norms, too."""
    changed = names_of(make_config) ^ names_of(make_config, **swapped(slot, name))
    assert {slot_of(each) for each in changed} <= ({"residual", "norm"} if slot == "residual" else {slot})


@pytest.mark.parametrize(("slot", "name"), SWAPS)
def test_every_parameter_but_embedding_and_head_belongs_to_a_slot(
    make_config: MakeConfig, slot: str, name: str
) -> None:
    names = names_of(make_config, **swapped(slot, name))
    assert {each for each in names if slot_of(each) is None} == {"embedding.weight", "head.weight"}


def test_patterned_positions_are_numbered(make_config: MakeConfig) -> None:
    names = names_of(make_config, position=["t5", "shaw"])
    assert {each for each in names if slot_of(each) == "position"} == {
        "decoder.position.0.weight",
        "decoder.position.1.key_table",
        "decoder.position.1.value_table",
    }


def test_slot_of_reads_where_a_parameter_stands_and_not_what_it_is_called() -> None:
    assert slot_of("embedding.weight") is None and slot_of("head.weight") is None
    assert slot_of("decoder.position.weight") == slot_of("encoder.position.1.weight") == "position"
    assert slot_of("decoder.final_norm.weight") == "norm"
    assert slot_of("encoder.embedding_norm.bias") == "norm"
    assert slot_of("decoder.blocks.1.residual.norms.ffn.weight") == "norm"
    assert slot_of("decoder.blocks.1.residual.norms.shared.weight") == "norm"
    assert slot_of("decoder.blocks.1.residual.output_norms.cross_attention.alpha") == "norm"
    assert slot_of("decoder.blocks.1.residual.scales.ffn") == "residual"
    assert slot_of("decoder.blocks.1.residual.alpha") == "residual"
    assert slot_of("decoder.blocks.1.ffn.gate.weight") == "ffn"
    assert slot_of("decoder.blocks.1.ffn.activation.slope") == "ffn"
    assert slot_of("decoder.blocks.0.attention.q.weight") == "attention"
    assert slot_of("decoder.blocks.0.cross_attention.q.weight") == "attention"
    assert slot_of("decoder.blocks.0.attention.sinks") == "attention"


@pytest.mark.parametrize("name", ["norms.q.weight", "position.weight", "final_norm.weight"])
def test_a_part_of_a_part_belongs_to_the_slot_that_it_stands_in(name: str) -> None:
    """An attention layer with norms of its own (QK-norm) is bigger by them; the norm slot is not."""
    assert slot_of(f"decoder.blocks.0.attention.{name}") == "attention"
    assert slot_of(f"decoder.blocks.0.ffn.{name}") == "ffn"
