"""A benchmark's result for reading: the cells of its table, a Markdown page, and a plot of times beside it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paribus.files.appearing import write_whole


def headings(document: Mapping[str, Any]) -> list[str]:
    """Names of the columns."""
    if document["peak"]:
        return ["", "peak above rest", f"over {document['reference']}", "kept for backward"]
    return [
        "",
        "ms",
        f"{document.get('unit', 'tokens')}/s",
        f"over {document['reference']}",
        "95 %",
        "CPU",
        "kept",
    ]


def cells(document: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """One line of the table."""
    name = row["name"] + (f" ({row['note']})" if row["note"] else "")
    if row["unavailable"]:
        return [name, row["unavailable"], *[""] * (len(headings(document)) - 2)]
    kept = megabytes(row["kept_bytes"])
    if document["peak"]:
        return [name, megabytes(row["peak_bytes"]), _ratio(row.get("peak_ratio")), kept]
    between = row.get("ratio_range")
    return [
        name,
        f"{row['milliseconds']:.2f}",
        f"{row['tokens_per_second']:,.0f}",
        _ratio(row.get("ratio")),
        f"{between[0]:.2f}-{between[1]:.2f}" if between else "",
        _ratio(row.get("cpu_ratio")),
        kept,
    ]


def megabytes(size: int | None) -> str:
    """Bytes in MB."""
    return "" if size is None else f"{size / 1e6:,.1f} MB"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def command(document: Mapping[str, Any]) -> str:
    """The command that measures this again."""
    words = ["paribus", "bench", document["suite"]]
    words += [f"{key}={value}" for key, value in document["options"].items()]
    words += ["--rounds", str(document["rounds"])]
    return shlex.join(
        [*words, "--processes", str(document["processes"]), "--threads", str(document["threads"])]
    )


def markdown(document: Mapping[str, Any]) -> str:
    """A section of a page."""
    machine = document["ran_on"]
    where = machine["gpu"] or machine["cpu"]
    lines = [
        f"## `paribus bench {document['suite']}`: {document['summary']}",
        "",
        f"Made by `{command(document)}` on {where}, torch {machine['torch']}.",
        "",
        *_markdown_table([headings(document), *(cells(document, row) for row in document["rows"])]),
        "",
    ]
    return "\n".join(lines)


def _markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    rule = "|---|" + "---:|" * (len(head) - 1)
    return ["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(row) + " |" for row in body)]


def write(document: Mapping[str, Any], path: Path) -> None:
    """The page, with its plot beside it."""
    draw(document, path.with_suffix(".svg"))
    text = (
        f"# Benchmark\n\n{markdown(document)}\n![times of the contenders]({path.with_suffix('.svg').name})\n"
    )
    write_whole(path, text.encode())


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Bars of time (or of peak memory), the quartiles as whiskers."""
    from matplotlib.figure import Figure

    rows = [row for row in document["rows"] if not row["unavailable"]]
    peak = document["peak"]
    values = [row["peak_bytes"] / 1e6 if peak else row["milliseconds"] for row in rows]
    figure = Figure(figsize=(8, 0.4 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    colours = {"floor": "#9a9a9a", "ours": "#2f6fb0", "peer": "#d08a3c"}
    whiskers = None
    if not peak:
        low, high = ([row["quartiles"][side] for row in rows] for side in (0, 1))
        whiskers = [
            [v - q for v, q in zip(values, low, strict=True)],
            [q - v for v, q in zip(values, high, strict=True)],
        ]
    axes.barh(
        range(len(rows)),
        values,
        xerr=whiskers,
        color=[colours[row["kind"]] for row in rows],
        ecolor="#444444",
    )
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("MB above rest" if peak else "milliseconds a step, median and quartiles")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
