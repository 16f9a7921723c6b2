"""A study around a command from request to launcher; from there on it is a study like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

from paribus.errors import RequestError, nearest
from paribus.study import environment
from paribus.study.command.launch import CommandLauncher
from paribus.study.command.plan import METRIC, CommandPlan, make_command_plan, read_vary
from paribus.study.launch import Launcher
from paribus.study.plan import Plan
from paribus.study.session import Division, Prepared
from paribus.study.settings import load_yaml

#: A grid to begin with, where nobody said which rates suit the program.
RATES = (5e-4, 1e-3, 2e-3)
_SEEDS = 4
_OF_OURS = ("arms", "match", "schemes", "text_field")  # what only our own trainer can hold equal
_SETTINGS = {"tokens": int, "handicap": float}


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


def _settings(overrides: Sequence[str]) -> dict[str, Any]:
    found = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or key not in _SETTINGS:
            raise RequestError(
                f"around a command only tokens=N and handicap=SHARE can be set; {nearest(key, _SETTINGS)}"
            )
        value = load_yaml(f"[{text}]")[0] if text.strip() else None  # type: ignore[index]
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value != _SETTINGS[key](value):
            raise RequestError(f"{key} is a {'whole number' if key == 'tokens' else 'share'}; it is {text!r}")
        found[key] = _SETTINGS[key](value)
    return found
