"""A model of a known family, or in our own format: its claims, and whether its tensors are all there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from paribus.errors import RequestError
from paribus.families import native
from paribus.families.family import Family, families, interpret
from paribus.families.files import Folder
from paribus.families.inspecting.claims import Claim
from paribus.families.inspecting.counted import every_shape
from paribus.families.inspecting.from_model import claims_of
from paribus.families.keys import KeyRead
from paribus.families.tensors import Shapes, moves, their_shapes
from paribus.families.weights import refuse_spare, tensor_names
from paribus.model.config import ModelConfig


@dataclass(frozen=True, kw_only=True)
class Known:
    """A config as a model of ours; `family` is None for our own format."""

    family: Family | None
    model_type: str
    config: ModelConfig
    evidence: Mapping[str, Sequence[KeyRead]]
    unread: tuple[str, ...]

    def claims(self) -> list[Claim]:
        return claims_of(self.config, self.evidence, known_of=self.model_type, own=self.family is None)


def known_of(config: Mapping[str, Any], warnings: list[str]) -> Known | None:
    """The model that a config describes, if it is of a known family or in our own format.

    A config that its family cannot read is told in `warnings`, and None: it can still be described.
    """
    if native.is_native(config):
        model = native.model_config(config)
        evidence = _own_evidence(config["model"])
        return Known(family=None, model_type=native.MODEL_TYPE, config=model, evidence=evidence, unread=())
    family = families().get(str(config.get("model_type")))
    if family is None:
        return None
    try:
        reading = interpret(family, config)
    except RequestError as error:
        warnings.append(f"paribus.load would refuse it: {error}")
        return None
    return Known(
        family=family,
        model_type=family.model_type,
        config=reading.config,
        evidence=reading.evidence,
        unread=reading.unread,
    )


def _own_evidence(model: Mapping[str, Any]) -> dict[str, Sequence[KeyRead]]:
    """The keys of our own config by the arguments they are; one that is null leaves it to a part."""
    found = {
        name: (KeyRead(key=f"model.{name}", value=value, given=True),)
        for name, value in model.items()
        if value is not None
    }
    left = {"num_kv_heads": "attention", "embedding_norm": "residual", "final_norm": "residual"}
    return {**{name: found[part] for name, part in left.items() if part in found}, **found}


def tensors_of(known: Known, folder: Folder, warnings: list[str]) -> tuple[str, ...] | None:
    """The names of the tensors that the model is made of; None, and a warning, unless all are there as they should be.

    A tensor that stands for two is named once.
    """
    shapes = every_shape(known.config)
    try:
        expected = (
            _native(shapes)
            if known.family is None
            else _of_family(known.family, known.config, shapes, folder)
        )
    except RequestError as error:
        warnings.append(str(error))
        return None
    there = folder.tensors
    for name, shape in expected.items():
        if name not in there:
            warnings.append(f"the checkpoint has not {name}, unlike the model of its config.json")
            return None
        if tuple(shape) != there[name].shape:
            warnings.append(
                f"{name} has the shape {list(there[name].shape)}, and by config.json it would be {list(shape)}"
            )
            return None
    return tuple(expected)


def _native(shapes: Shapes) -> dict[str, torch.Size]:
    return dict(shapes)


def _of_family(family: Family, config: ModelConfig, shapes: Shapes, folder: Folder) -> dict[str, torch.Size]:
    """Shapes by the names that this checkpoint has for them."""
    wanted = moves(family, config, shapes)
    names = set(folder.tensors)
    found = tensor_names(family, wanted, names)
    aside = {name for name in names if family.aside and name.endswith(family.aside)}
    refuse_spare(family, names - set(found.values()) - aside)
    made: dict[tuple[Any, ...], list[torch.Size]] = {}
    expected: dict[str, torch.Size] = {}
    for move in wanted:
        # Layers are alike, so most moves were already worked out.
        kind = (move.layout, *(shapes[name] for name in move.ours))
        if kind not in made:
            made[kind] = their_shapes(move, config, shapes)
        expected.update(zip((found[name] for name in move.theirs), made[kind], strict=True))
    return expected
