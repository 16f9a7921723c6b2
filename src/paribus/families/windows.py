"""Attention that slides a window in some layers and sees everything in the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from paribus.errors import RequestError, shown
from paribus.families.keys import Keys
from paribus.families.rules import Always, ByLayer, Key, Part, Rule, Written
from paribus.model.config import ModelConfig

_SLIDING, _FULL = "sliding_attention", "full_attention"


def windowed(
    options: Mapping[str, Rule],
    *,
    window: Rule,
    slides: Callable[[Keys, int], bool],
    switch: Rule | None = None,
) -> ByLayer:
    """Attention whose layers slide where `layer_types` says so, or without that key where `slides` does.

    `switch` is a key that allows windows at all.
    """
    return ByLayer(
        usual=Part("mha", options),
        other=Part("mha", {**options, "window": window}),
        where=_Where(slides, switch or Always(True)),
        is_other=lambda part: part.options["window"] is not None,
    )


def late_windows(options: Mapping[str, Rule]) -> ByLayer:
    """Windows as Qwen has them: off unless switched on, and then in the layers from `max_window_layers` on."""
    return windowed(
        options,
        window=Key("sliding_window", 4096, nullable=True),
        slides=lambda keys, layer: layer >= keys.get("max_window_layers", 28, int),
        switch=Key("use_sliding_window", False, bool),
    )


@dataclass(frozen=True)
class _Where:
    """For each layer whether it slides."""

    slides: Callable[[Keys, int], bool]
    switch: Rule

    def read(self, keys: Keys) -> list[bool]:
        keys.known("layer_types", "sliding_window", "max_window_layers")
        layers = keys.count("num_hidden_layers")
        if not self.switch.read(keys):
            return [False] * layers
        types = keys.get("layer_types", None, list)
        if types is None:
            return [self.slides(keys, layer) for layer in range(layers)]
        strange = [each for each in types if each not in (_SLIDING, _FULL)]
        if len(types) != layers or strange:
            other = f", {shown(repr(strange[0]), at_most=60)} among them" if strange else ""
            raise RequestError(
                f"config.json: layer_types has one of {_SLIDING} and {_FULL} for each of the {layers} layers; it has "
                f"{len(types)}{other}"
            )
        return [each == _SLIDING for each in types]

    def write(self, value: list[bool], config: ModelConfig) -> Written:
        types = [_SLIDING if slides else _FULL for slides in value]
        return {**self.switch.write(any(value), config), "layer_types": types}
