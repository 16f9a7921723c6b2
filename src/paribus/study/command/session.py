"""A study around a command from request to launcher; from there on it is a study like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

from paribus.errors import RequestError, nearest
from paribus.study import environment
from paribus.study.command.launch import CommandLauncher
from paribus.study.command.plan import METRIC, CommandPlan, make_command_plan, read_vary
from paribus.study.division import Division
from paribus.study.launch import Launcher
from paribus.study.plan import Plan
from paribus.study.session import Prepared

#: A grid to begin with, where nobody said which rates suit the program.
RATES = (5e-4, 1e-3, 2e-3)
_SEEDS = 4
_OF_OURS = ("arms", "match", "model", "schemes", "text_field")  # what only our own trainer can hold equal


def make(
    command: str,
    vary: Sequence[str],
    options: Mapping[str, Any],
    overrides: Sequence[str],
    *,
    metric: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
) -> Prepared:
    """Plan a study of `command`; `options` are those of `paribus study`, `overrides` tokens=N and handicap=SHARE."""
    for name in _OF_OURS:
        if options.get(name) is not None:
            raise RequestError(
                f"--{name.replace('_', '-')} is for studies of our own trainer; around a command give --vary"
            )
    given = {
        name: options[name]
        for name in ("baseline", "base_seed", "margin", "data")
        if options.get(name) is not None
    }
    threads = threads or max(1, environment.cores() // (workers or environment.cores()))
    plan, notes = make_command_plan(
        command=command,
        vary=read_vary(vary),
        rates=options.get("rates") or RATES,
        seeds=options.get("seeds") or _SEEDS,
        until_resolved=bool(options.get("until_resolved")),
        metric=metric or METRIC,
        threads=threads,
        **given,
        **_settings(overrides),
    )
    division = Division(workers=workers or max(1, environment.cores() // threads), threads=threads)
    # A plan of commands has the face of a plan of models: from here on nobody need know which it is.
    return Prepared(plan=cast(Plan, plan), data=None, division=division, notes=notes)


def launcher(prepared: Prepared, folder: Path, lock: int) -> AbstractContextManager[Launcher]:
    """What runs the trials of such a study on this machine."""
    plan = cast(CommandPlan, prepared.plan)
    made = CommandLauncher(
        workers=prepared.division.workers,
        folder=folder,
        lock=lock,
        metric=plan.metric,
        threads=prepared.division.threads,
    )
    return cast(AbstractContextManager[Launcher], made)


def _whole(text: str) -> int:
    """A whole number, also as 2e6."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():  # nor is an infinite one
            raise
        return int(number)


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:  # nor is NaN
        raise ValueError(text)
    return share


#: What reads a setting, and what it must be.
_SETTINGS: dict[str, tuple[Callable[[str], Any], str]] = {
    "tokens": (_whole, "whole number, written without commas"),
    "handicap": (_share, "share between 0 and 1"),
}


def _settings(overrides: Sequence[str]) -> dict[str, Any]:
    found = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or key not in _SETTINGS:
            raise RequestError(
                f"around a command only tokens=N and handicap=SHARE can be set; {nearest(key, _SETTINGS)}"
            )
        read, kind = _SETTINGS[key]
        try:
            found[key] = read(text)
        except ValueError:
            raise RequestError(f"{key} is a {kind}; it is {text!r}") from None
    return found
