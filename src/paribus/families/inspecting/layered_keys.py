"""Keys of a config that speak of single layers, or of positions: windows, layers without positions, RoPE, experts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from paribus.families.inspecting.claims import Claim, Evidence, by_layer, keys_as_evidence
from paribus.families.keys import KeyRead, Keys

_SLIDING, _FULL = "sliding_attention", "full_attention"
#: What a layer has in place of attention over all tokens, by its word in `layer_types`.
_WITHOUT_CACHE = ("linear_attention", "mamba", "mamba2", "conv", "recurrent", "ssm")


def claims_by_layer(keys: Keys, *, layers: int | None) -> list[Claim]:
    """Claims about windows, kinds of layers, experts and positions; `layers` is how many the model has."""
    return [*_windows(keys, layers), *_sparse(keys, layers), *_positions(keys, layers)]


def only_where_it_attends(claims: Iterable[Claim]) -> list[Claim]:
    """The claims, with the kind of attention told of the layers that attend, where some do not."""
    claims = list(claims)
    attending = tuple(
        layer
        for claim in claims
        if claim.key == ("model", "layer_kind") and claim.value == "attention"
        for layer in claim.layers or ()
    )
    return [
        dataclasses.replace(each, layers=attending)
        if attending and each.key == ("attention", "kind") and each.layers is None
        else each
        for each in claims
    ]


def _list(keys: Keys, name: str, layers: int | None) -> list[Any] | None:
    """A list with a value for each layer, if the key holds one."""
    value = keys.get(name, None)
    good = (
        isinstance(value, list)
        and len(value) == layers
        and all(isinstance(each, (str, int)) for each in value)
    )
    return value if good else None


def _windows(keys: Keys, layers: int | None) -> list[Claim]:
    with keys.seen() as seen:
        types = _list(keys, "layer_types", layers)
        window = _whole(keys, "sliding_window", "attention_window_size", "window_size")
        used = keys.get("use_sliding_window", None)
        every = _whole(keys, "sliding_window_pattern")
    said = keys_as_evidence(seen)
    if types is not None:
        found = []
        if any(each in _WITHOUT_CACHE for each in types):
            kinds = [
                (each if each in _WITHOUT_CACHE else "attention", (at,)) for at, each in enumerate(types)
            ]
            found += by_layer("model", "layer_kind", kinds, "config", said)
        windows = [
            ((window or "some") if each == _SLIDING else "none", (at,)) for at, each in enumerate(types)
        ]
        return found + by_layer("attention", "window", windows, "config", said)
    if used is not False and window is None and "sliding_window" in keys.config:
        with keys.seen() as seen:
            keys.is_null("sliding_window")
        return by_layer("attention", "window", [("none", ())], "config", keys_as_evidence(seen))
    if used is False:
        return by_layer("attention", "window", [("none", ())], "config", said)
    if window is None:
        return []
    if every and layers:
        # Every so many layers one sees everything; the others slide.
        windows = [("none" if (at + 1) % every == 0 else window, (at,)) for at in range(layers)]
        return by_layer("attention", "window", windows, "config", said)
    return by_layer("attention", "window", [(window, ())], "config", said)


def _sparse(keys: Keys, layers: int | None) -> list[Claim]:
    """Which layers have experts, where the first ones or some of them have none."""
    with keys.seen() as seen:
        dense_first = _whole(keys, "first_k_dense_replace")
        step = _whole(keys, "decoder_sparse_step")
        dense = keys.get("mlp_only_layers", None)
    if not layers or not (dense_first or (step or 0) > 1 or dense):
        return []
    without = set(dense) if isinstance(dense, list) and all(type(each) is int for each in dense) else set()
    sparse = [
        layer >= (dense_first or 0) and (layer + 1) % (step or 1) == 0 and layer not in without
        for layer in range(layers)
    ]
    values = [("experts" if each else "dense", (at,)) for at, each in enumerate(sparse)]
    return by_layer("ffn", "layer", values, "config", keys_as_evidence(seen))


def _positions(keys: Keys, layers: int | None) -> list[Claim]:
    with keys.seen() as seen:
        alibi = keys.get("alibi", keys.get("attn_config.alibi", None))
        kind = keys.get("position_embedding_type", None)
    said = keys_as_evidence(seen)
    if alibi is True:
        return by_layer("position", "kind", [("alibi", ())], "config", said)
    if isinstance(kind, str) and not kind.startswith("rope"):
        word = {"absolute": "learned", "learned_absolute": "learned"}.get(kind, kind)
        return by_layer("position", "kind", [(word, ())], "config", said)
    return _rope(keys, layers)


def _rope(keys: Keys, layers: int | None) -> list[Claim]:
    found: list[Claim] = []
    given = keys.get("rope_parameters", keys.get("rope_scaling", None))
    types = _list(keys, "layer_types", layers)
    by_type = _by_type(given)
    if by_type:
        for kind, parameters in by_type.items():
            at = None if types is None else tuple(layer for layer, each in enumerate(types) if each == kind)
            if at is not None and len(at) == layers:
                at = None
            if at != () and parameters is not None:
                found += _one_rope(parameters, f"rope_parameters.{kind}", {}, layers=at)
    else:
        outside = {
            name: read
            for name, theirs in (
                ("base", ("rope_theta", "rotary_emb_base")),
                ("local", ("rope_local_base_freq",)),
                ("fraction", ("partial_rotary_factor", "rotary_pct")),
            )
            if (read := _number(keys, *theirs)) is not None
        }
        scaling = given if isinstance(given, Mapping) else {}
        if not outside and not scaling:
            return []
        where = "rope_parameters" if "rope_parameters" in keys else "rope_scaling"
        found += _one_rope(scaling, where, outside)
    return found + _where_rope(keys, found, types, by_type, layers)


def _by_type(given: Any) -> Mapping[str, Mapping[str, Any] | None]:
    """What is given for each type of layer, null for one without RoPE; empty if it is not given by type."""
    if not isinstance(given, Mapping) or not any(isinstance(each, Mapping) for each in given.values()):
        return {}
    return given if all(each is None or isinstance(each, Mapping) for each in given.values()) else {}


def _where_rope(
    keys: Keys,
    found: list[Claim],
    types: list[Any] | None,
    by_type: Mapping[str, Any],
    layers: int | None,
) -> list[Claim]:
    """Which layers have RoPE. Nothing is claimed if layers attend in different ways and no key says which have it."""
    without = _list(keys, "no_rope_layers", layers)
    if without is not None:
        said = (Evidence(source="config", what="no_rope_layers", value=without),)
        kinds = [("rope" if has else "none", (layer,)) for layer, has in enumerate(without)]
        return by_layer("position", "kind", kinds, "config", said)
    if not found:
        return []
    attending = {each for each in types or () if each not in _WITHOUT_CACHE}
    if by_type and types is not None and attending <= by_type.keys():
        kinds = [("none" if by_type.get(each) is None else "rope", (at,)) for at, each in enumerate(types)]
        return by_layer("position", "kind", kinds, "config", found[0].evidence)
    return [] if len(attending) > 1 else [_claim("kind", "rope", found[0].evidence)]


def _one_rope(
    scaling: Mapping[str, Any],
    where: str,
    outside: Mapping[str, KeyRead],
    *,
    layers: tuple[int, ...] | None = None,
) -> list[Claim]:
    """Base, fraction and scaling as one object gives them, or keys beside it."""
    found = []
    for name, inside in (("base", "rope_theta"), ("fraction", "partial_rotary_factor"), ("local", "")):
        if inside in scaling:
            said = Evidence(source="config", what=f"{where}.{inside}", value=scaling[inside])
        elif name in outside:
            said = Evidence(source="config", what=outside[name].key, value=outside[name].value)
        else:
            continue
        found.append(_claim("base_in_windows" if name == "local" else name, said.value, (said,), layers))
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    numbers = ", ".join(
        f"{key} {value:g}"
        for key, value in scaling.items()
        if key not in ("rope_theta", "partial_rotary_factor")
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
    )
    text = "none" if kind in ("default", None) else f"{kind} ({numbers})" if numbers else str(kind)
    if not scaling and not found:
        return []
    said = Evidence(source="config", what=f"{where}.rope_type", value=kind)
    return [*found, _claim("scaling", text, (said,) if scaling else found[0].evidence, layers)]


def _claim(
    name: str, value: Any, evidence: tuple[Evidence, ...], layers: tuple[int, ...] | None = None
) -> Claim:
    return Claim(section="position", name=name, value=value, sure="config", evidence=evidence, layers=layers)


def _whole(keys: Keys, *names: str) -> int | None:
    for name in names:
        if type(value := keys.get(name, None)) is int:
            return int(value)
    return None


def _number(keys: Keys, *names: str) -> KeyRead | None:
    for name in names:
        value = keys.get(name, None)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return KeyRead(key=name, value=value, given=True)
    return None
