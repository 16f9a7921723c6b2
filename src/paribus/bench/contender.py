"""What a benchmark compares: contenders of one suite that all do the same work."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from paribus.errors import RequestError, nearest
from paribus.ops.precision import fast_dtype

Kind = Literal["floor", "ours", "peer"]

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def place() -> torch.device:
    """Where contenders run: the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Missing(Exception):
    """A contender cannot run here; the message says what it would need."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One contender, built: `step` does the work once. `forward`, where there is one, gives what backward starts
    from, so that what is kept for backward can be counted; `owned` are tensors that exist anyway."""

    step: Callable[[], object]
    forward: Callable[[], Any] | None = None
    owned: Sequence[Any] = ()


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A line of the table. `make` builds it; it raises ImportError if its library is not installed, or `Missing`."""

    name: str
    kind: Kind
    make: Callable[[], Case]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A benchmark: its options with their defaults, and the contenders for given options.

    `shapes` are options by name, of which the first is the default; `tokens` says how many tokens a step takes, or how
    many of another `unit`. An option `dtype` is bfloat16, float32, or "auto": what the machine multiplies fast.
    """

    name: str
    summary: str
    shapes: Mapping[str, Mapping[str, Any]]
    contenders: Callable[[Mapping[str, Any]], list[Contender]]
    tokens: Callable[[Mapping[str, Any]], int]
    unit: str = "tokens"
    threads: int | None = None  # None: all cores
    reference: str = "ours"  # whose time the others' is divided by
    peak: bool = False  # whether it is memory that is measured

    def options(self, shape: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a shape, changed by those given, with its dtype settled for this machine.

        Raises `RequestError` for unknown names or types.
        """
        shape = shape or next(iter(self.shapes))
        if shape not in self.shapes:
            known = nearest(shape, self.shapes, in_order=True)
            raise RequestError(f"bench {self.name} has no shape {shape!r}; {known}")
        options = dict(self.shapes[shape])
        for name, value in given.items():
            if name not in options:
                raise RequestError(f"bench {self.name} has no option {name!r}; {nearest(name, options)}")
            if type(value) is not type(options[name]) or (not isinstance(value, str) and value < 1):
                kind = "a whole number of at least 1" if isinstance(options[name], int) else "a word"
                raise RequestError(f"bench {self.name}'s {name} is {kind}; it is {value!r}")
            options[name] = value
        if "dtype" in options:
            options["dtype"] = self._settled(options["dtype"])
        return options

    def _settled(self, dtype: str) -> str:
        if dtype == "auto":
            return fast_dtype(place().type)
        if dtype not in DTYPES:
            raise RequestError(f"bench {self.name}'s dtype is auto, {', '.join(DTYPES)}; it is {dtype!r}")
        return dtype


@dataclass(kw_only=True)
class Measured:
    """What one contender gave: seconds of a step by round (by the clock, and of all cores of a process together), and bytes where they were counted."""

    name: str
    kind: Kind
    note: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    kept_bytes: int | None = None
    peak_bytes: int | None = None
    build_seconds: float | None = None
    unavailable: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
