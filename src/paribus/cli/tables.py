"""What `paribus study` prints: plans and verdicts as tables that fit a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_MARKS = {
    "better": "+",
    "worse": "-",
    "same": "=",
    "cannot tell": "?",
    "depends on initialisation": "~",
    "diverged": "!",
    "baseline": " ",
}


def _table(*headings: str, title: str | None = None) -> Table:
    return Table(*headings, title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def plan_table(planned: Mapping[str, Any]) -> RenderableType:
    """The plan as a person reads it."""
    table = _table("arm", "d_ff", "layer parameters", "off by", "parameters", "FLOPs a token", "tokens")
    for row in [*planned["arms"], *planned["controls"]]:
        table.add_row(
            row["name"],
            f"{row['d_ff']}",
            f"{row['slot_params']:,}",
            f"{row['slot_mismatch']:+.2%}",
            f"{row['params']:,}",
            f"{row['flops_per_token']:,.0f}",
            f"{row['tokens']:,}",
        )
    rates = ", ".join(f"{rate:g}" for rate in planned["rates"])
    schemes = f"; initial schemes {', '.join(planned['schemes'])}" if len(planned["schemes"]) > 1 else ""
    looks = ", ".join(f"{look['seeds']}" for look in planned["looks"])
    summary = (
        f"{planned['trials']} trials: rates {rates}; seeds {planned['seeds'][0]} to {planned['seeds'][-1]}"
        f"{f' (looks after {looks})' if len(planned['looks']) > 1 else ''}{schemes}\n"
        f"data: {planned['data']['name']}, {planned['data']['bytes']:,} bytes\n"
        f"expected: {planned['expected_minutes']:.1f} minutes with {planned['workers']} workers at "
        f"{planned['tokens_per_second']:,.0f} tokens/s each"
    )
    return Group(table, Text(summary))


def verdict_table(results: Mapping[str, Any], answer: str) -> RenderableType:
    """The verdict as a person reads it, failed controls first; fits a terminal of 80 columns."""
    lines: list[RenderableType] = [Text(warning, style="bold red") for warning in results["warnings"]]
    if results.get("kind") != "depth":  # a study of stability gives no verdicts
        lines += _verdicts(results)
    lines += [Text(answer)]
    lines += [more for section, make in _SECTIONS.items() if (more := make(results.get(section)))]
    if results.get("kind") != "depth" and results["smallest_detectable_difference"] is not None:
        from paribus.study.pages.templating import duration

        lines.append(
            Text(
                f"Smallest detectable difference {results['smallest_detectable_difference']:.3f} "
                f"{_unit(results)}; to halve it: "
                f"{results['to_halve']['seeds']} seeds, about {duration(60 * results['to_halve']['minutes'])}."
            )
        )
    return Group(*lines)


def _unit(results: Mapping[str, Any]) -> str:
    return "bits/byte" if results["metric"] == "val_bpb" else str(results["metric"])


def _verdicts(results: Mapping[str, Any]) -> list[RenderableType]:
    table = _table()
    level = f"{100 * (results.get('statistics') or {}).get('confidence', 0.95):.3g} % interval"
    for heading in ("arm", _unit(results), "difference", level, "verdict", "rate"):
        words = heading in ("arm", "verdict")
        table.add_column(heading, no_wrap=not words, overflow="fold", min_width=11 if words else None)
    rows = [*results["arms"], *results["controls"]]
    for row in rows:
        table.add_row(*_verdict_row(row))
    return [table, *(Text(f"{row['name']}: {row['reason']}") for row in rows if row["reason"])]


def ladder_table(results: Mapping[str, Any]) -> RenderableType:
    """A size ladder: the difference of every arm at every size, and what a doubling adds to it."""
    ladder = results["ladder"]
    table = _table(
        "arm", *[f"{size['label']} ({size['params']:,})" for size in ladder["sizes"]], "per doubling"
    )
    trends = {trend["arm"]: trend for trend in ladder["trends"]}
    for arm in ladder["sizes"][-1]["arms"]:
        cells = [_at_size(size["arms"].get(arm)) for size in ladder["sizes"]]
        trend = trends.get(arm)
        slope = "" if trend is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(trend["slope"], *trend["ci95"])
        table.add_row(arm, *cells, slope)
    return Group(table, Text(results["answer"]))


def _at_size(row: Mapping[str, Any] | None) -> str:
    if row is None or row["mean"] is None:
        return "" if row is None else f"{_MARKS[row['verdict']]} {row['verdict']}"
    return f"{_MARKS[row['verdict']]} {row['mean']:+.3f}"


def _length(section: Mapping[str, Any] | None) -> RenderableType | None:
    """Loss at every context, and how far each arm reaches."""
    if not section:
        return None
    contexts = section["contexts"]
    table = _table(title=f"bits per byte by context, trained at {section['train_length']}")
    for heading in ("arm", *map(str, contexts), "reach", "in a window"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for row in section["arms"]:
        cells = [row["plain"].get(str(context)) for context in contexts]
        table.add_row(
            row["name"],
            *["" if cell is None else f"{cell['mean']:.2f}" for cell in cells],
            *["-" if row["reach"][mode] is None else str(row["reach"][mode]) for mode in ("plain", "window")],
        )
    return table


def _stability(section: Mapping[str, Any] | None) -> RenderableType | None:
    """The largest rate at which every seed trained, placement by depth."""
    if not section:
        return None
    table = _table(title="largest rate at which every seed trained")
    for heading in ("placement", "warm-up", *[f"{depth} layers" for depth in section["depths"]]):
        table.add_column(heading)
    found = {(row["placement"], row["warmup"], row["depth"]): row for row in section["largest_stable_rate"]}
    for placement in section["placements"]:
        for warmup in section["warmups"]:
            rows = [found.get((placement, warmup, depth)) for depth in section["depths"]]
            cells = [
                "" if row is None else "none" if row["lr"] is None else f"{row['lr']:.2g}" for row in rows
            ]
            table.add_row(placement, f"{warmup:g}", *cells)
    return table


def _repetition(section: Mapping[str, Any] | None) -> RenderableType | None:
    """What each number of passes costs, beside what the law predicts."""
    if not section:
        return None
    table = _table("passes", "different tokens", "excess", "by the law", "distinct-2", "longest copy")

    def shown(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    for row in section["arms"]:
        table.add_row(
            f"{row['passes']}",
            shown(row["unique_tokens"], ","),
            shown((row["excess"] or {}).get("mean"), "+.3f"),
            shown(row["predicted_excess"], "+.3f"),
            shown(row.get("distinct", {}).get("2"), ".2f"),
            shown(row.get("longest_copy"), ".0f"),
        )
    return table


def _tokenizers(section: Mapping[str, Any] | None) -> RenderableType | None:
    """What each vocabulary costs and reads."""
    if not section:
        return None
    table = _table("arm", "vocab.", "bytes a token", "context", "embeddings", "body", "read", "FLOPs")
    for row in section["arms"]:
        table.add_row(
            row["name"],
            f"{row['vocab_size']:,}",
            f"{row['bytes_per_token']:.2f}",
            f"{row['context_bytes']:.0f} B",
            f"{row['embedding_params']:,}",
            f"{row['body_params']:,}",
            f"{row['training_bytes'] / 1e6:.2f} MB",
            f"{row['flops']:.2g}",
        )
    return table


_SECTIONS: Mapping[str, Callable[[Mapping[str, Any] | None], RenderableType | None]] = {
    "length": _length,
    "stability": _stability,
    "repetition": _repetition,
    "tokenizers": _tokenizers,
}


def _verdict_row(row: Mapping[str, Any]) -> list[str]:
    if "ok" in row:
        said = {True: "control holds", False: "CONTROL FAILED", None: "not judged"}[row["ok"]]
    else:
        said = f"{_MARKS[row['verdict']]} {row['verdict']}"
    difference = row["difference"]
    return [
        row["name"],
        "" if row["mean"] is None else f"{row['mean']:.3f}",
        "" if difference is None else f"{difference['mean']:+.3f}",
        "" if difference is None else "{:+.3f} to {:+.3f}".format(*difference["ci95"]),
        said,
        "" if row["lr"] is None else f"{row['lr']:.2g}",
    ]
