"""The table of all model types: surveyed once for each version of `transformers`, then read from the cache."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from paribus.errors import RequestError, nearest
from paribus.families.survey import building, reasons
from paribus.families.survey.claims import COLUMNS, UNKNOWN, Claim, claims
from paribus.families.survey.graph import Trace, traced
from paribus.families.survey.pretending import pretending
from paribus.source import digest

#: What one row can be asked for.
FIELDS = ("type", "kind", *COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model type of one kind. `problem` says why nothing, or not everything, could be found."""

    type: str
    kind: str
    claims: Mapping[str, Claim] = field(default_factory=dict)
    built: bool = True
    problem: str = ""

    def value(self, name: str) -> str:
        """A column's value; `?` where it is not known."""
        return getattr(self, name) if name in ("type", "kind") else self.claims.get(name, UNKNOWN).value


@dataclass(frozen=True, kw_only=True)
class Survey:
    """All rows, and the version of `transformers` they are of (None: from our own rules)."""

    version: str | None
    rows: tuple[Row, ...]


def survey_type(kind: str, model_type: str) -> Row:
    """One type, built from its default config. What fails is said in the row and not raised."""
    with building.quiet():
        return _row(kind, model_type)


def survey(*, progress: Callable[[int, int, str], None] = lambda done, total, name: None) -> Survey:
    """Every type that `transformers` can build. `progress` hears how many are done, of how many, and the next.

    Raises `RequestError` where `transformers` is not installed.
    """
    version = building.require()
    with building.quiet():
        todo = building.model_types()
        rows = []
        for done, (kind, name) in enumerate(todo):
            progress(done, len(todo), name)
            rows.append(_row(kind, name))
        progress(len(todo), len(todo), "")
    return Survey(version=version, rows=tuple(rows))


def cached(
    cache: Path,
    *,
    refresh: bool = False,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Survey:
    """The survey kept below `cache` for this `transformers`, torch and code; made and kept if there is none."""
    version = building.require()
    if not refresh and (found := _read(_file(cache, version))) is not None:
        return found
    made = survey(progress=progress)
    keep(cache, made)
    return made


def keep(cache: Path, survey: Survey) -> None:
    """Keep a survey below `cache`, where `cached` finds it."""
    file = _file(cache, survey.version)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as beside:
        json.dump(asdict(survey), beside, indent=1)
    os.replace(beside.name, file)


def _file(cache: Path, version: str | None) -> Path:
    return cache / "models" / f"{version}-{torch.__version__}-{digest('families')[:16]}.json"


def chosen(rows: Iterable[Row], where: Sequence[str], *, kind: str | None, sort: str) -> list[Row]:
    """The rows of a kind that fit every `column=value`, in order.

    A value fits if it is the column's, or one of its words. Raises `RequestError` for what is no column or kind.
    """
    if kind is not None and kind not in building.KINDS:
        raise RequestError(f"there is no kind {kind!r}; {nearest(kind, building.KINDS)}")
    wanted = [_condition(each) for each in where]
    sort = _column("type" if sort == "name" else sort)
    found = [
        row
        for row in rows
        if kind in (None, row.kind) and all(_fits(row.value(column), value) for column, value in wanted)
    ]
    order = {name: place for place, name in enumerate(building.KINDS)}
    return sorted(
        found, key=lambda row: (row.value(sort) if sort != "kind" else "", order[row.kind], row.type)
    )


def columns(names: str | None) -> tuple[str, ...]:
    """Columns by comma; all of them without. Raises `RequestError` for what is none."""
    return FIELDS if names is None else tuple(_column(name.strip()) for name in names.split(","))


def counts(rows: Sequence[Row]) -> list[tuple[str, str, str, int, int]]:
    """(kind, column, value, how many, of how many) for the columns that have few values; the largest first."""
    found = []
    for kind in building.KINDS:
        of_kind = [row for row in rows if row.kind == kind]
        for column in ("ffn", "norm", "placement", "position", "attention"):
            there = Counter(row.value(column) for row in of_kind)
            found += [(kind, column, value, count, len(of_kind)) for value, count in there.most_common()]
    return found


def _row(kind: str, model_type: str) -> Row:
    bare = best = Row(type=model_type, kind=kind, claims=_tokenizer(model_type), built=False)
    try:
        for config, filled in building.attempts(kind, model_type):
            row = _attempt(bare, config, filled)
            if not row.problem:
                return row
            if not best.problem or (row.built and not best.built):
                best = row
    except Exception as error:  # noqa: BLE001 - every class checks its config in its own way
        best = best if best.problem else replace(best, problem=reasons.told(error))
    return best


def _attempt(row: Row, config: Any, filled: frozenset[str]) -> Row:
    """The row with what is found of a model of this config, or with why nothing is."""
    try:
        model = building.build(row.kind, row.type, config)
    except Exception as error:  # noqa: BLE001 - as above
        return replace(row, built=False, problem=reasons.told(error))
    trace, problem = _trace(row.kind, model)
    try:
        full = building.default_config(row.kind, row.type)
        found = {**claims(model, full, trace, filled=filled), **row.claims}
        return replace(row, built=True, claims=found, problem=problem)
    except Exception as error:  # noqa: BLE001 - as above
        return replace(row, built=True, problem=reasons.told(error))


def _trace(kind: str, model: torch.nn.Module) -> tuple[Trace | None, str]:
    """A pass through the model, or why there is none."""
    problem = ""
    for dtype in (
        torch.bfloat16,
        torch.float32,
    ):  # products over experts take the first, some code the second
        for eager in (False, True):
            try:
                return _pass(kind, model.to(dtype), eager=eager), ""
            except Exception as error:  # noqa: BLE001 - as above
                problem = problem or f"built, but not run: {reasons.told(error)}"
    return None, problem


def _pass(kind: str, model: torch.nn.Module, *, eager: bool = False) -> Trace:
    """`eager`: expert by expert, where their sizes do not suit the one product over all."""
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        if eager and hasattr(config, "_experts_implementation"):
            config._experts_implementation = "eager"
    with torch.device("meta"):
        given = building.inputs(kind, model.config)
        with traced(model) as trace, pretending():
            model(**given)
    return trace


def _tokenizer(model_type: str) -> dict[str, Claim]:
    """The class of the tokenizer and the algorithm it has without any file."""
    name, algorithm = building.tokenizer(model_type)
    return {
        "tokenizer": Claim(name, "mapping") if name else UNKNOWN,
        "algorithm": Claim(algorithm, "mapping") if algorithm else UNKNOWN,
    }


def _read(file: Path) -> Survey | None:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        rows = []
        for row in kept["rows"]:
            said = {name: Claim(**claim) for name, claim in row.pop("claims").items()}
            rows.append(Row(**row, claims=said))
        return Survey(version=kept["version"], rows=tuple(rows))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _condition(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals:
        raise RequestError(f"--where takes column=value, as in ffn=swiglu; it is {text!r}")
    return _column(column.strip()), value.strip()


def _column(name: str) -> str:
    if name not in FIELDS:
        raise RequestError(f"there is no column {name!r}; {nearest(name, FIELDS)}")
    return name


def _fits(value: str, wanted: str) -> bool:
    return value == wanted or wanted in re.split(r" \+ ", value) or wanted in re.split(r"[ ,+]+", value)
