"""How one argument of a `ModelConfig` stands in a family's `config.json`: a rule reads it from there and writes it back.

A family is a table of such rules. Reading is what defines a family; writing is held to it: what was written is
read again and must mean the same, so a rule that cannot express a model need not notice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from paribus.errors import RequestError, nearest, shown
from paribus.families.keys import REQUIRED, Keys
from paribus.families.meaning import ResolvedPart
from paribus.model.config import ModelConfig, PartSpec

#: Activations of config files by our names. The first name of ours is the one written.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "quick_gelu": "gelu_quick",
    "hardswish": "hardswish",
    "leaky_relu": "leaky_relu",
    "linear": "identity",
    "mish": "mish",
    "relu": "relu",
    "relu2": "relu2",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
    "xielu": "xielu",
}
#: Gated layers that have a name of their own, by the activation of the gate.
GATED = {
    "gelu": "geglu",
    "gelu_tanh": "geglu_tanh",
    "identity": "bilinear",
    "relu": "reglu",
    "sigmoid": "glu",
    "silu": "swiglu",
}

Written = dict[str, Any]


class Rule(Protocol):
    """Reads an argument from a config, and gives the keys that say it."""

    def read(self, keys: Keys) -> Any: ...

    def write(self, value: Any, config: ModelConfig) -> Written: ...


@dataclass(frozen=True)
class Key:
    """An argument that is a key, or one of the other names in `also`.

    `default` holds where the key is absent; a function works it out from other keys. Null is the same as absent,
    unless the key is `nullable`: then it stands for None.
    """

    name: str
    default: Any = REQUIRED
    kind: type = int
    nullable: bool = False
    also: tuple[str, ...] = ()

    def read(self, keys: Keys) -> Any:
        if self.nullable and keys.is_null(self.name):
            return None
        for name in self.also:
            if self.name not in keys and name in keys:
                return keys.get(name, kind=self.kind)
        default = self.default(keys) if callable(self.default) else self.default
        return keys.get(self.name, default, self.kind)

    def write(self, value: Any, config: ModelConfig) -> Written:
        return nested(self.name, value)


@dataclass(frozen=True)
class Always:
    """An argument that is the same in every model of the family, and has no key."""

    value: Any

    def read(self, keys: Keys) -> Any:
        return self.value

    def write(self, value: Any, config: ModelConfig) -> Written:
        return {}


@dataclass(frozen=True)
class Turned:
    """A key that says an argument in other terms: `ours` and `theirs` turn one into the other."""

    key: Key
    ours: Callable[[Any], Any]
    theirs: Callable[[Any], Any]

    def read(self, keys: Keys) -> Any:
        return self.ours(self.key.read(keys))

    def write(self, value: Any, config: ModelConfig) -> Written:
        return self.key.write(self.theirs(value), config)


@dataclass(frozen=True)
class Choice:
    """A key whose values are names for values of ours."""

    key: Key
    values: Mapping[Any, Any]

    def read(self, keys: Keys) -> Any:
        given = self.key.read(keys)
        if given not in self.values:
            raise RequestError(
                f"config.json: {self.key.name} is {shown(given, at_most=60)!r}, which is not known here; "
                f"{nearest(str(given), [str(value) for value in self.values])}"
            )
        return self.values[given]

    def write(self, value: Any, config: ModelConfig) -> Written:
        usual = self.key.default if isinstance(self.key.default, (str, bool)) else None
        theirs = [
            name for name in (usual, *self.values) if name in self.values and self.values[name] == value
        ]
        return self.key.write(theirs[0], config) if theirs else {}


@dataclass(frozen=True)
class Worked:
    """An argument worked out from several keys. `back` gives those that no other argument writes."""

    out: Callable[[Keys], Any]
    back: Callable[[Any, ModelConfig], Written] = lambda value, config: {}

    def read(self, keys: Keys) -> Any:
        return self.out(keys)

    def write(self, value: Any, config: ModelConfig) -> Written:
        return self.back(value, config)


@dataclass(frozen=True)
class Part:
    """A part by its name, with rules for those of its options that the family sets."""

    name: str | Rule
    options: Mapping[str, Rule] = field(default_factory=dict)

    def read(self, keys: Keys) -> PartSpec:
        name = self.name if isinstance(self.name, str) else self.name.read(keys)
        options = {option: rule.read(keys) for option, rule in self.options.items()}
        options = {option: value for option, value in options.items() if value is not None}
        return {"name": name, **options} if options else name

    def write(self, value: tuple[ResolvedPart, ...], config: ModelConfig) -> Written:
        written = {} if isinstance(self.name, str) else self.name.write(value[0].name, config)
        for option, rule in self.options.items():
            written = merged(written, rule.write(value[0].options.get(option), config))
        return written


@dataclass(frozen=True)
class Normed:
    """An option that is a norm of its own, such as that of queries and keys, where `when` says so."""

    name: str
    options: Mapping[str, Rule]
    when: Rule = Always(True)

    def read(self, keys: Keys) -> Any:
        if not self.when.read(keys):
            return None
        return {"name": self.name, **{option: rule.read(keys) for option, rule in self.options.items()}}

    def write(self, value: ResolvedPart | None, config: ModelConfig) -> Written:
        written = self.when.write(value is not None, config)
        if value is None:
            return written
        for option, rule in self.options.items():
            written = merged(written, rule.write(value.options.get(option), config))
        return written


def activation(name: str, default: Any = REQUIRED) -> Choice:
    """A key that names an activation."""
    return Choice(Key(name, default, str), ACTIVATIONS)


@dataclass(frozen=True)
class FeedForward:
    """A gated or an ungated layer over the activation that a key names."""

    activation: Rule
    gated: bool
    bias: Rule = field(default_factory=lambda: Always(False))

    def read(self, keys: Keys) -> PartSpec:
        name = self.activation.read(keys)
        spec: dict[str, Any] = {"name": name}
        if self.gated:
            spec = {"name": GATED[name]} if name in GATED else {"name": "gated", "gate": name}
        if self.bias.read(keys):
            spec["bias"] = True
        return spec if len(spec) > 1 else spec["name"]

    def write(self, value: tuple[ResolvedPart, ...], config: ModelConfig) -> Written:
        options = value[0].options
        name = options.get("gate" if self.gated else "activation")
        return merged(self.activation.write(name, config), self.bias.write(options.get("bias"), config))


@dataclass(frozen=True)
class ByLayer:
    """Parts of two kinds over the layers: `usual` and `other`, which stands where `where` says so.

    `where` reads one truth value for each layer and is written from such a list.
    """

    usual: Rule
    other: Rule
    where: Rule
    is_other: Callable[[ResolvedPart], bool]

    def read(self, keys: Keys) -> Any:
        usual, other = self.usual.read(keys), self.other.read(keys)
        return pattern([other if there else usual for there in self.where.read(keys)])

    def write(self, value: tuple[ResolvedPart, ...], config: ModelConfig) -> Written:
        there = [self.is_other(each) for each in value]
        written = self.where.write(there, config)
        for rule, parts in (
            (self.usual, tuple(each for each, is_other in zip(value, there, strict=True) if not is_other)),
            (self.other, tuple(each for each, is_other in zip(value, there, strict=True) if is_other)),
        ):
            written = merged(written, rule.write(parts, config)) if parts else written
        return written


def pattern(specs: list[Any]) -> Any:
    """The shortest list that repeats to this one; its only element where all are alike."""
    for length in range(1, len(specs) + 1):
        if len(specs) % length == 0 and specs == specs[:length] * (len(specs) // length):
            return specs[0] if length == 1 else specs[:length]
    raise RequestError("a model has at least one layer")


def nested(name: str, value: Any) -> Written:
    """A key with dots in its name as objects in objects."""
    *outer, last = name.split(".")
    written: Written = {last: value}
    for word in reversed(outer):
        written = {word: written}
    return written


def merged(a: Written, b: Written) -> Written:
    """Both, objects inside merged too."""
    joined = dict(a)
    for key, value in b.items():
        joined[key] = merged(joined[key], value) if isinstance(value, dict) and key in joined else value
    return joined
