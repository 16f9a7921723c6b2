"""The templates of a report and the filters they write numbers with; every value is escaped by default."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from paribus.study.pages.answer import several
from paribus.study.pages.plots import compact, short, signed

_FOLDER = Path(__file__).parent / "templates"


def templates(*, markdown: bool = False) -> jinja2.Environment:
    """Both kinds of template escape every value by default: HTML as Jinja does, Markdown on output."""
    options: dict[str, Any] = {"finalize": _markdown} if markdown else {"autoescape": True}
    options |= {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.ChainableUndefined}
    env = jinja2.Environment(loader=jinja2.FileSystemLoader(_FOLDER), **options)
    env.filters |= {"several": several, "fence": _fence, "short": short, "fact": _fact, "bounds": _bounds}
    env.filters |= {name: _or_dash(form) for name, form in _FORMATS.items()}
    env.filters["written"] = lambda value, form: env.filters[form[0]](value, *form[1:])
    script = (_FOLDER / "sort.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The browser runs this one script and no other: its hash is all that the page's policy allows.
    env.globals |= {"script": Markup(script), "script_hash": f"sha256-{digest}"}
    return env


def _markdown(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return re.sub(r"([\\`*_{}\[\]<>#|~&!$])", r"\\\1", re.sub(r"\s+", " ", value))
    return value


def _fence(text: str) -> Markup:
    """A Markdown code block, its fence longer than any inside."""
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return Markup(f"{ticks}\n{text}\n{ticks}")


def _fact(value: Any) -> str:
    """An entry of `training`, `environment` or `data`, whatever its type."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={_fact(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(
            _fact(item).replace(",", "") if isinstance(item, int) else _fact(item) for item in value
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        return {"True": "yes", "False": "no", "None": "—"}.get(str(value), str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _or_dash(form: Callable[..., str]) -> Callable[..., str]:
    """`form` for numbers; a dash for what was not measured."""
    return lambda x, *more: form(x, *more).replace("-", "−") if isinstance(x, int | float) else "—"


def _bounds(ends: Sequence[float | None] | None) -> str:
    """Ends of an interval of factors; a dash for an end that is unbounded, or for all where both are."""
    if not ends or ends[0] is ends[1] is None:
        return "—"
    return " to ".join("—" if end is None else f"{end:,.2f}" for end in ends)


def _reach(value: float, trained: float, farthest: float) -> str:
    """How far an arm can run: at least the farthest length tried, or no farther than it was trained."""
    if value <= trained:
        return f"{value:,.0f}, no further"
    return f"{'≥ ' if value >= farthest else ''}{value:,.0f}"


def _bytes(value: float) -> str:
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (0, "bytes"))
    return next(f"{value / (size or 1):.3g} {unit}" for size, unit in units if value >= size)


def duration(seconds: float) -> str:
    """Seconds as a reader says them: 45 s, 1 min 30 s, 2 h 5 min."""
    if 0 < seconds < 0.1:
        return f"{1000 * seconds:.3g} ms"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        minutes = round(seconds / 60)
        return f"{minutes // 60} h {minutes % 60} min"
    if not minutes:
        return f"{seconds:.3g} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


_FORMATS: dict[str, Callable[..., str]] = {
    "num": lambda value, digits=3: f"{value:,.{digits}f}",
    "signed": signed,
    "whole": lambda value: f"{value:,.0f}",
    "sig": lambda value, digits=3: f"{float(f'{value:.{digits}g}'):,.10g}",
    "percent": lambda value, digits=1: f"{100 * value:.{digits}f} %",
    "pvalue": lambda value: "< 0.0001" if value < 1e-4 else f"{value:.2g}",
    "bytesize": _bytes,
    "duration": duration,
    "reach": _reach,
    "compact": compact,
}
