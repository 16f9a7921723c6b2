"""What a run can measure beside its loss.

probe = make_probe("length", {"factors": [1, 2, 4]})
probe.at_start(program, data, config, seed=0)
... training ...
found = probe.at_end(program, data, config, seed=0)      # plain data

A probe joins by one row in `PROBES`; what it must offer is `Probe`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from paribus.errors import RequestError, nearest
from paribus.train.probes.as_run import as_run
from paribus.train.probes.base import Probe
from paribus.train.probes.generation import GenerationProbe
from paribus.train.probes.health import HealthProbe
from paribus.train.probes.layers import LayersProbe
from paribus.train.probes.length import LengthProbe
from paribus.train.probes.reference_time import ReferenceTimeProbe

__all__ = ["PROBES", "Probe", "as_run", "make_probe"]

PROBES: Mapping[str, type[Probe]] = MappingProxyType(
    {
        "length": LengthProbe,
        "health": HealthProbe,
        "layers": LayersProbe,
        "generation": GenerationProbe,
        "reference_time": ReferenceTimeProbe,
    }
)


def make_probe(name: str, options: Mapping[str, Any] | None = None) -> Probe:
    """The probe of this name with these options; `RequestError` for an unknown name, option or value."""
    if name not in PROBES:
        raise RequestError(f"there is no probe called {name!r}; {nearest(name, PROBES)}")
    kind: Any = PROBES[name]
    allowed = [field.name for field in dataclasses.fields(kind)]
    for option in options or {}:
        if option not in allowed:
            raise RequestError(f"the probe {name!r} has no option {option!r}; {nearest(option, allowed)}")
    return kind(**(options or {}))
