"""What `paribus inspect` and `paribus diff` print."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from paribus.errors import shown
from paribus.families.inspecting.claims import SECTIONS, Claim, Evidence, Inspection
from paribus.families.inspecting.difference import Diff, Values
from paribus.families.verifying import BOUND, LogitCheck

#: What a model has not, or has as most have it: told in JSON, and not in the table.
_USUAL = ("none", False, 0, 1.0)
#: Claims that are told even then.
_TELLING = ("gated", "bias", "tied", "window", "final_norm", "experts", "fraction", "qk_norm")
_BYTES = ("weight_bytes", "train_bytes", "kv_cache_bytes", "kv_cache_bytes_per_token")
_WIDEST = 60


def inspection_table(inspection: Inspection) -> RenderableType:
    """Every claim with its evidence, then warnings and the keys that were not understood."""
    table = Table("", "", "value", "sure", "because", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for section in SECTIONS:
        first = True
        for claim in inspection.claims:
            if claim.section != section or not _is_told(claim):
                continue
            table.add_row(
                Text(section if first else "", style="bold"),
                Text(claim.name),
                Text(_claimed(claim)),
                Text(claim.sure, style="yellow" if claim.sure == "unknown" else ""),
                Text(_because(claim.evidence)),
            )
            first = False
    lines: list[RenderableType] = [table]
    lines += [Text(f"warning: {shown(warning)}", style="yellow") for warning in inspection.warnings]
    if inspection.unread:
        lines.append(Text(f"keys not understood: {shown(', '.join(inspection.unread), at_most=2000)}"))
    if inspection.family is None and inspection.model_type != "paribus":
        lines.append(Text("paribus.load does not read this model type: it is described, not proven"))
    return Group(*lines)


def diff_table(found: Diff) -> RenderableType:
    """What differs side by side, and the sections in which nothing does."""
    table = Table("", "", "a", "b", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    before = ""
    for each in found.differences:
        a, b = (_side(each.section, each.name, values) for values in (each.a, each.b))
        table.add_row(
            Text(each.section if each.section != before else "", style="bold"),
            Text(each.name),
            Text(a),
            Text(b),
        )
        before = each.section
    lines: list[RenderableType] = [
        Text(f"a: {shown(found.a.path)}"),
        Text(f"b: {shown(found.b.path)}"),
        table if found.differences else Text("nothing differs"),
    ]
    if found.same:
        lines.append(Text(f"same: {', '.join(found.same)}"))
    for name, side in (("a", found.a), ("b", found.b)):
        lines += [Text(f"warning of {name}: {shown(warning)}", style="yellow") for warning in side.warnings]
    return Group(*lines)


def checks_table(checks: Iterable[LogitCheck]) -> RenderableType:
    """Logits beside those of transformers."""
    table = Table("logits, float32", "max error / max logit", "", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for check in checks:
        verdict = Text("pass") if check.passed else Text("FAIL", style="red")
        error = "" if check.error is None else f"{check.error:.1e} (at most {BOUND:g})"
        table.add_row(Text(check.what), error, Text(shown(check.reason)) if check.reason else verdict)
    return table


def layers_text(layers: Sequence[int]) -> str:
    """Numbers of layers in few words: `0 to 7`, `0, 2, 4, …, 30`, or the first of them."""
    steps = {after - before for before, after in itertools.pairwise(layers)}
    if len(layers) > 2 and steps == {1}:
        return f"{layers[0]} to {layers[-1]}"
    if len(layers) > 4 and len(steps) == 1:
        return f"{layers[0]}, {layers[1]}, {layers[2]}, …, {layers[-1]}"
    few = ", ".join(map(str, layers[:6]))
    return few if len(layers) <= 6 else f"{few}, … ({len(layers)} in all)"


def _is_told(claim: Claim) -> bool:
    usual = any(claim.value == each and type(claim.value) is type(each) for each in _USUAL)
    if claim.key == ("position", "fraction") and claim.value == "none":
        return False  # nothing is rotated
    return not usual or claim.name in _TELLING or claim.layers is not None


def _claimed(claim: Claim) -> str:
    value = _value(claim.section, claim.name, claim.value)
    return value if claim.layers is None else f"{value} in layers {layers_text(claim.layers)}"


def _value(section: str, name: str, value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in _BYTES:
        return _bytes(value)
    if section == "sizes":
        return _large(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else shown(value, at_most=200)


def _large(number: float) -> str:
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= size:
            return f"{number / size:,.2f} {unit}"
    return f"{number:,.0f}"


def _bytes(number: int) -> str:
    for size, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number:,} bytes"


def _because(evidence: tuple[Evidence, ...]) -> str:
    return "; ".join(_one(each) for each in evidence[:2]) + ("; …" if len(evidence) > 2 else "")


def _one(evidence: Evidence) -> str:
    what = shown(evidence.what.replace("{layer}", "*").replace("{expert}", "*"), at_most=120)
    match evidence.source:
        case "config":
            return f"{what} = {'null' if evidence.value is None else _short(evidence.value)}"
        case "default":
            return f"no {what}, which stands for {_short(evidence.value)}"
        case "family":
            return f"known of {what}"
        case "tensor" if evidence.value is not None:
            return f"{what} {evidence.value}"
        case _:
            return what if evidence.value is None else f"{what} {_short(evidence.value)}"


def _short(value: Any) -> str:
    return shown(repr(value), at_most=_WIDEST)


def _side(section: str, name: str, values: Values) -> str:
    if not values:
        return "not said"
    said = []
    for layers, value in values.items():
        text = _value(section, name, value)
        said.append(text if layers is None else f"{text} in layers {layers_text(layers)}")
    return "; ".join(said)
