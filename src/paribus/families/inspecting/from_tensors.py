"""Claims that the names and shapes of tensors prove: one function for each, none of which looks at the config."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from paribus.families.inspecting.claims import Claim, Evidence, by_layer
from paribus.families.inspecting.names import Group, Groups
from paribus.families.inspecting.roles import beside, by_role, is_expert, is_shared

Roles = dict[str, list[Group]]
#: Norms in a layer of which only one placement has names like these; two norms a layer may be anything.
_PLACEMENTS = {
    "sandwich": (
        "input_layernorm",
        "post_attention_layernorm",
        "pre_feedforward_layernorm",
        "post_feedforward_layernorm",
    ),
    "post_sublayer": ("post_attention_layernorm", "post_feedforward_layernorm"),
}
_STANDS = {
    "sandwich": "before each sublayer and on its output",
    "post_sublayer": "on the output of each sublayer, before it is added",
}


def claims_from_tensors(groups: Groups) -> list[Claim]:
    """What the tensors prove of the language model; nothing if it has no layers that can be told."""
    if not groups.in_layers:
        return []
    roles = by_role(groups.in_layers)
    found = [claim for look in (_sizes, _ends) for claim in look(groups, roles)]
    width = next((claim.value for claim in found if claim.name == "d_model"), None)
    found += [claim for look in (_feed_forward, _experts) for claim in look(roles, width)]
    for look in (_norms, _attention):
        found += look(groups, roles)
    return found


def _claim(section: str, name: str, value: Any, groups: Iterable[Group]) -> Claim:
    evidence = tuple(group.evidence for group in groups)
    return Claim(section=section, name=name, value=value, sure="tensors", evidence=evidence)


def _absent(section: str, name: str, value: Any, what: str) -> Claim:
    evidence = (Evidence(source="tensor", what=f"no {what}"),)
    return Claim(section=section, name=name, value=value, sure="tensors", evidence=evidence)


def _sizes(groups: Groups, roles: Roles) -> Iterator[Claim]:
    # The last layers of some checkpoints predict further tokens, and are no layers of the model.
    last = max(group.layers[-1] for group in groups.in_layers)
    deepest = next(group for group in groups.in_layers if group.layers[-1] == last)
    yield _claim("model", "layers", last + 1, [deepest])
    if embedding := beside(groups, "embedding"):
        yield _claim("head", "vocab_size", embedding[0].shape[0], embedding[:1])
        if len(embedding[0].shape) == 2:
            yield _claim("model", "d_model", embedding[0].shape[1], embedding[:1])
    others = {layer for group in roles.get("other", []) for layer in group.layers}
    attending = {
        layer for role in ("q", "qkv", "latent") for group in roles.get(role, []) for layer in group.layers
    }
    if others - attending:
        words = [
            ("attention" if layer in attending else "no attention", (layer,)) for layer in range(last + 1)
        ]
        evidence = (roles["other"][0].evidence,)
        yield from by_layer("model", "layer_kind", words, "tensors", evidence)


def _ends(groups: Groups, roles: Roles) -> Iterator[Claim]:
    """Head, table of positions, segments, and the norm after the embedding."""
    heads = beside(groups, "head")
    matrices = [group for group in heads if not group.is_bias]
    if matrices and not beside(groups, "embedding"):
        yield _claim("head", "vocab_size", matrices[0].shape[0], matrices[:1])
    # One that is there may be a copy, so only its absence says something.
    if not matrices:
        yield _absent("head", "tied", True, "head")
    if biases := [group for group in heads if group.is_bias]:
        yield _claim("head", "bias", True, biases)
    if tables := beside(groups, "positions"):
        yield _claim("position", "kind", "learned", tables[:1])
    if tables := beside(groups, "segments"):
        yield _claim("head", "segments", tables[0].shape[0], tables[:1])
    if norms := beside(groups, "embedding_norm"):
        yield _claim("placement", "embedding_norm", True, norms[:1])


def _feed_forward(roles: Roles, width: int | None) -> Iterator[Claim]:
    """Gated or not, how wide, and whether it has biases, from its matrices."""
    parts = {
        name: [group for group in roles.get(name, []) if not group.is_bias]
        for name in ("gate_up", "gate", "up", "down")
    }
    dense = {
        name: [group for group in groups if not is_expert(group) and not is_shared(group)]
        for name, groups in parts.items()
    }
    expert = {name: [group for group in groups if is_expert(group)] for name, groups in parts.items()}
    shared = {name: [group for group in groups if is_shared(group)] for name, groups in parts.items()}
    gated: bool | None = None
    for matrices, name in ((expert, "expert_d_ff"), (shared, "shared_d_ff"), (dense, "d_ff")):
        told = _gated(matrices, width)
        if told is None:
            continue
        gated, hidden, groups = told
        yield _claim("ffn", name, hidden, groups[-1:])
    if gated is not None:
        yield _claim("ffn", "gated", gated, groups)
        biases = [group for name in parts for group in roles.get(name, []) if group.is_bias]
        yield (
            _claim("ffn", "bias", True, biases[:2])
            if biases
            else _absent("ffn", "bias", False, "bias in the layer")
        )


def _gated(matrices: Roles, width: int | None) -> tuple[bool, int, list[Group]] | None:
    """Whether a layer of these matrices is gated, its hidden width, and the matrices that prove it."""
    first = {name: groups[0] for name, groups in matrices.items() if groups}
    if "down" not in first:
        return None
    hidden = _other(first["down"], width, outgoing=True)
    if "gate" in first and "up" in first:
        return True, hidden, [first["gate"], first["up"], first["down"]]
    into = first.get("gate_up") or first.get("up") or first.get("gate")
    if into is None:
        return None
    rows = _other(into, width, outgoing=False)
    if rows not in (hidden, 2 * hidden):
        return None
    return rows == 2 * hidden, hidden, [into, first["down"]]


def _other(group: Group, width: int | None, *, outgoing: bool) -> int:
    """The side of a matrix that is not d_model, whichever way round it is kept; [out, in] where that does not say."""
    *_, rows, columns = group.shape if len(group.shape) > 1 else (0, *group.shape)
    mine, other = (columns, rows) if outgoing else (rows, columns)
    return other if mine == width else mine


def _experts(roles: Roles, width: int | None) -> Iterator[Claim]:
    experts = [
        group
        for name in ("gate_up", "gate", "up", "down")
        for group in roles.get(name, [])
        if is_expert(group)
    ]
    experts = [group for group in experts if not group.is_bias]
    if not experts:
        yield _absent("ffn", "experts", "none", "experts")
        return
    many = experts[0].experts or experts[0].shape[0]
    yield _claim("ffn", "experts", many, [*experts[:1], *roles.get("router", [])[:1]])
    dense = [group for group in roles.get("down", []) if not is_expert(group) and not is_shared(group)]
    if dense:
        sparse = set(experts[0].layers)
        every = sorted(sparse | {layer for group in dense for layer in group.layers})
        words = [("experts" if layer in sparse else "dense", (layer,)) for layer in every]
        yield from by_layer("ffn", "layer", words, "tensors", (experts[0].evidence, dense[0].evidence))
    if shared := [group for group in roles.get("down", []) if is_shared(group)]:
        yield _claim("ffn", "has_shared_experts", True, shared[:1])


def _norms(groups: Groups, roles: Roles) -> Iterator[Claim]:
    norms = roles.get("norm", [])
    gains = [group for group in norms if not group.is_bias]
    biases = [group for group in norms if group.is_bias]
    yield _claim("norm", "in_a_layer", len({group.module for group in gains}), gains)
    if biases:
        yield _claim("norm", "bias", True, biases[:1])
        # Norms of other kinds have biases too, and more beside them.
        if all(group.inside.endswith((".weight", ".bias")) for group in norms):
            yield _claim("norm", "kind", "layernorm", biases[:1])
    elif gains:
        yield _absent("norm", "bias", False, "bias of a norm")
    names = {group.module.rpartition(".")[2] for group in gains}
    for placement, needed in _PLACEMENTS.items():
        if names == set(needed):
            yield _claim("placement", "residual", placement, gains)
            yield _claim("placement", "norms_stand", _STANDS[placement], gains)


def _attention(groups: Groups, roles: Roles) -> Iterator[Claim]:
    if latent := roles.get("latent"):
        yield _claim("attention", "kind", "mla", latent[:1])
    projections = {name: roles.get(name, []) for name in ("qkv", "q", "k", "v", "o")}
    biased = {name for name, of_role in projections.items() if any(group.is_bias for group in of_role)}
    proof = [group for of_role in projections.values() for group in of_role if group.is_bias]
    if biased:
        inner, outer = bool(biased - {"o"}), "o" in biased
        yield _claim("attention", "bias", True if inner and outer else "qkv" if inner else "o", proof[:2])
    elif any(projections.values()):
        yield _absent("attention", "bias", False, "bias in attention")
    if sinks := roles.get("sinks"):
        yield _claim("attention", "sinks", True, sinks[:1])
    norms = [group for group in roles.get("q_norm", []) if not group.is_bias]
    if norms:
        queries = next((group for group in roles.get("q", []) if not group.is_bias), None)
        if (over := _normed_over(norms, queries)) is not None:
            yield _claim("attention", "qk_norm", over, norms[:1])


def _normed_over(norms: list[Group], queries: Group | None) -> str | None:
    """What a norm of queries goes over, from its shape."""
    if ".norms." in norms[0].inside or len(norms[0].shape) == 2:
        return "one for each head"
    if queries is None or len(queries.shape) != 2:
        return None
    return "over all heads at once" if norms[0].shape[0] == queries.shape[0] else "one for all heads"
