"""How many parameters a model has, from its config or from its tensors, and which of them a token passes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from paribus.families.inspecting.claims import Claim
from paribus.families.inspecting.kinds import kinds_of, one_of_each
from paribus.families.inspecting.names import Group, Groups
from paribus.families.inspecting.roles import beside, is_expert
from paribus.families.tensors import shapes_of
from paribus.model.config import ModelConfig

#: Formats of which each number is a parameter.
_LEARNED = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ")
#: Formats in which quantised weights are packed; numbers of these are no parameters one by one.
_PACKED = ("U8", "I8", "I32", "F4", "F6_E2M3", "F6_E3M2", "U32", "I16")
_TABLES = ("embedding", "segment_embedding", "position")
_SCALES = ("_scale_inv", "_scale", ".scales", ".qzeros", ".g_idx", "_scales")
_MASKS = (
    "inv_freq",
    "e_score_correction_bias",
    "position_ids",
    ".masked_bias",
    ".attn.bias",
    ".attention.bias",
)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Parameters: all, those that one token uses (`active`), those of tables that are looked up (`embedding`), and
    those of matrices that a token is multiplied with (`matrices`: active, with the head's, without the tables).

    `outside` are those beside the language model, which `total` does not count.
    """

    total: int
    active: int
    embedding: int
    matrices: int
    outside: int = 0


def shapes_by_kind(config: ModelConfig) -> dict[str, torch.Size]:
    """The parameters of a model with one layer of each kind; costs no memory."""
    return shapes_of(one_of_each(config))


def every_shape(config: ModelConfig) -> dict[str, torch.Size]:
    """The parameters of the whole model, each layer as the first of its kind."""
    found: dict[str, torch.Size] = {}
    for name, shape in shapes_by_kind(config).items():
        found.update((each, shape) for each in _in_all_layers(config, name))
    return found


def of_config(config: ModelConfig) -> Counted:
    """Counts of the model that a config describes: one layer of each kind is built, and counts for all of that kind."""
    total = embedding = matrices = 0
    for name, shape in shapes_by_kind(config).items():
        size = math.prod(shape) * _times(config, name)
        total += size
        if name.split(".")[0] in _TABLES or name.split(".")[1] == "position":
            embedding += size
        elif len(shape) == 2 and "norm" not in name:
            matrices += size
    if config.tie_embeddings:
        matrices += config.vocab_size * config.d_model
    return Counted(total=total, active=total, embedding=embedding, matrices=matrices)


def _times(config: ModelConfig, name: str) -> int:
    """How many layers have a parameter that the model with one layer of each kind has."""
    return len(_in_all_layers(config, name))


def _in_all_layers(config: ModelConfig, name: str) -> list[str]:
    """The names of a parameter in all layers of its kind; itself alone if it is in none."""
    stack, *inner = name.split(".")
    if not inner or inner[0] != "blocks":
        return [name]
    layers = kinds_of(config, stack=stack)[int(inner[1])]
    return [".".join((stack, "blocks", str(layer), *inner[2:])) for layer in layers]


def of_tensors(groups: Groups, claims: Mapping[tuple[str, str], Claim]) -> Counted:
    """Counts of the tensors themselves: a head that repeats a tied embedding, and buffers, do not count."""
    experts, active = (_number(claims, name) for name in ("experts", "active_experts"))
    copies = beside(groups, "head") if _is_true(claims.get(("head", "tied"))) else []
    tables = [group for role in ("embedding", "positions", "segments") for group in beside(groups, role)]
    # Some checkpoints keep the one embedding under several names.
    copies += [group for group in beside(groups, "embedding")[1:] if group.shape == tables[0].shape]
    total = used = embedding = matrices = 0
    for group in groups.text:
        if not _is_learned(group) or (group in copies and not group.is_bias):
            continue
        share = active / experts if experts and active and is_expert(group) else 1
        total += group.num_elements
        used += round(group.num_elements * share)
        if group in tables:
            embedding += group.num_elements
        elif len(group.shape) > 1 and not group.is_bias:
            matrices += round(group.num_elements * share)
    if not [group for group in beside(groups, "head") if group not in copies]:
        matrices += sum(group.num_elements for group in beside(groups, "embedding")[:1])
    outside = sum(
        group.num_elements for group in groups.groups if group not in groups.text and _is_learned(group)
    )
    return Counted(total=total, active=used, embedding=embedding, matrices=matrices, outside=outside)


def _is_learned(group: Group) -> bool:
    return group.dtype in _LEARNED and not group.pattern.endswith((*_MASKS, *_SCALES))


def is_packed(groups: Groups) -> bool:
    """Whether matrices are kept in a way that their shapes do not tell how many parameters they are."""
    return any(
        group.dtype in _PACKED and len(group.shape) > 1 and not group.pattern.endswith((*_MASKS, *_SCALES))
        for group in groups.in_layers
    )


def _number(claims: Mapping[tuple[str, str], Claim], name: str) -> int | None:
    claim = claims.get(("ffn", name))
    return claim.value if claim is not None and type(claim.value) is int else None


def _is_true(claim: Claim | None) -> bool:
    return claim is not None and claim.value is True
