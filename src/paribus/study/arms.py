"""What the arms of a study are: a name each, and the settings in which it differs from all others.

Parts of one slot, whole sets of settings, and grids all become the same thing here: dotted keys with values.
What follows from them (widths, tokens) is worked out in `plan`.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from paribus import registry
from paribus.errors import RequestError, nearest
from paribus.model.config import SLOTS, ModelConfig
from paribus.study.settings import DECIDED, StudySettings
from paribus.train.config import TrainConfig

#: Slots whose parts `--arms` may name; an activation is that of the two-matrix feed-forward layer.
ARM_SLOTS = (*SLOTS, "activation", "tokenizer")
Overrides = dict[str, Any]

# What every arm must share, and why.
_SHARED = {
    "train.objective": "bits per byte compare models under one objective",
    "train.heldout_tokens": "every arm is scored on the same bytes",
    "train.init_scheme": "it is a factor of the whole study: give schemes=[fan_in, normal_0.02]",
    "model.architecture": "bits per byte compare models under one objective",
}


def named_arms(settings: StudySettings) -> dict[str, Overrides]:
    """What each arm sets, by its name, the parts of `arms` crossed with the grid of `vary`.

    Raises `RequestError` for unknown slots and settings, names that stand twice, and arms that contradict
    themselves or the study.
    """
    if settings.slot not in ARM_SLOTS:
        raise RequestError(
            f"there is no slot {settings.slot!r} to compare; {nearest(settings.slot, ARM_SLOTS)}"
        )
    arms = {}
    for combination in itertools.product(*_axes(settings)):
        name = ", ".join(name for name, _ in combination)
        overrides: Overrides = {}
        for _, part in combination:
            for key, value in part.items():
                if key in overrides and overrides[key] != value:
                    raise RequestError(f"the arm {name!r} sets {key} twice: {overrides[key]!r} and {value!r}")
                overrides[key] = value
        if name in arms:
            raise RequestError(f"the arm {name!r} is named twice")
        arms[name] = overrides
    return arms


def baseline_name(settings: StudySettings, arms: Mapping[str, Overrides]) -> str:
    """The arm that `settings.baseline` names, by canonical name or alias; the first where it names none."""
    if settings.baseline is None:
        return next(iter(arms))
    name = settings.baseline
    if name not in arms and not settings.vary:
        name = _part_name(settings.slot, name)
    if name not in arms:
        raise RequestError(f"the baseline {settings.baseline!r} is not among the arms; {nearest(name, arms)}")
    return name


def varied(arms: Mapping[str, Overrides]) -> tuple[str, ...]:
    """The settings in which at least two arms differ, in order of first mention; a missing one is its default."""
    keys = dict.fromkeys(key for overrides in arms.values() for key in overrides)
    return tuple(
        key
        for key in keys
        if len({json.dumps(overrides.get(key, "\0default"), sort_keys=True) for overrides in arms.values()})
        > 1
    )


def laid_over(
    overrides: Overrides, section: Mapping[str, Any], train: TrainConfig
) -> tuple[dict[str, Any], TrainConfig]:
    """The model's section and the training settings of an arm."""
    of_model, of_train = (
        {key.removeprefix(prefix): value for key, value in overrides.items() if key.startswith(prefix)}
        for prefix in ("model.", "train.")
    )
    try:
        return {**section, **of_model}, dataclasses.replace(train, **of_train)
    except TypeError as error:  # a value of the wrong type, which dataclasses do not look at
        raise RequestError(f"an arm sets {', '.join(of_train)} to what cannot be: {error}") from error


def _axes(settings: StudySettings) -> Iterator[list[tuple[str, Overrides]]]:
    """One list of (name, overrides) for each thing that varies."""
    if settings.arms is not None:
        named = [_arm(settings, spec) for spec in settings.arms]
        names = [name for name, _ in named]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise RequestError(f"the arm {twice!r} is named twice")
        if settings.baseline is not None and not settings.vary:
            joining = _arm(settings, settings.baseline) if settings.baseline not in names else None
            if joining is not None and joining[0] not in names:
                named = [joining, *named]
        yield named
    for key, values in settings.vary.items():
        yield [_value(key, value) for value in values]
    if settings.arms is None and not settings.vary:
        raise RequestError(
            "nothing is compared: give arms=[relu, swiglu] or vary={norm: [rmsnorm, layernorm]}"
        )


def _arm(settings: StudySettings, spec: Any) -> tuple[str, Overrides]:
    if isinstance(spec, Mapping) and "set" in spec:
        name, given = spec.get("name"), spec["set"]
        if not isinstance(name, str) or not isinstance(given, Mapping) or set(spec) != {"name", "set"}:
            raise RequestError(
                f"an arm of settings is {{name: …, set: {{key: value}}}}; this one is {spec!r}"
            )
        overrides: Overrides = {}
        for key, value in given.items():
            overrides |= _value(key, value)[1]
        return name, overrides
    given = spec.get("name") if isinstance(spec, Mapping) else spec
    if not isinstance(given, str):
        raise RequestError(f"an arm is a name or a mapping with a name; this one is {spec!r}")
    return _value(settings.slot, spec)


def _value(key: str, value: Any) -> tuple[str, Overrides]:
    """The name of one value of one setting, and what it sets."""
    if key == "activation":
        options = dict(value) if isinstance(value, Mapping) else {"name": value}
        name = registry.get("activation", options.pop("name")).name if "name" in options else str(value)
        ffn = {"name": "ungated", "activation": name if ".py:" not in str(value) else value}
        return _shown(name, options), {
            "model.ffn": ffn | ({"activation_options": options} if options else {})
        }
    if key == "tokenizer":
        return str(value), {key: str(value)}
    full = f"model.{key}" if key in SLOTS else key
    _check_key(full)
    field = full.partition(".")[2]
    if full.startswith("model.") and field in SLOTS:
        return _spec_name(field, value), {full: value}
    return f"{field}={_plain(value)}", {full: value}


def _check_key(key: str) -> None:
    model = [f"model.{field.name}" for field in dataclasses.fields(ModelConfig) if field.name not in DECIDED]
    train = [f"train.{field.name}" for field in dataclasses.fields(TrainConfig)]
    if key not in (*model, *train):
        raise RequestError(f"no arm can set {key!r}; {nearest(key, [*SLOTS, 'activation', *model, *train])}")
    if key in _SHARED:
        raise RequestError(f"arms cannot differ in {key}: {_SHARED[key]}")


def _spec_name(slot: str, spec: Any) -> str:
    """A part's canonical name with its options; of a pattern, the names of its parts."""
    if isinstance(spec, str):
        return _part_name(slot, spec)
    if isinstance(spec, Mapping) and isinstance(spec.get("name"), str):
        options = {key: value for key, value in spec.items() if key != "name"}
        return _shown(_part_name(slot, spec["name"]), options)
    if isinstance(spec, Sequence):
        return "+".join(_spec_name(slot, each) for each in spec)
    raise RequestError(f"an arm is a name or a mapping with a name; this one is {spec!r}")


def _part_name(slot: str, name: str) -> str:
    return registry.get(slot, name).name


def _shown(name: str, options: Mapping[str, Any]) -> str:
    inside = ", ".join(f"{key}={_plain(value)}" for key, value in options.items())
    return f"{name}({inside})" if inside else name


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
