"""What the sections of each kind of study read, arranged as their tables stand: rows, columns, and words."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from paribus.study.pages.facts import Results

#: How the outcome of a cell is shown: its symbol, its colour, and what is said of it.
OUTCOMES = {
    "trained": ("✓", "blue"),
    "partly": ("◐", "ochre"),
    "stuck": ("○", "purple"),
    "diverged": ("✕", "red"),
    "failed": ("!", "muted"),
    "missing": ("", "muted"),
}
#: Columns of the table of sizes and costs: what of an arm they show, their title, and how a number is written.
_SIZES = (
    ("d_ff", "d_ff", "whole"),
    ("slot_params", "Slot parameters", "whole"),
    ("slot_mismatch", "Matched within", "percent", 2),
    ("params", "All parameters", "whole"),
    ("flops_per_token", "FLOPs / token", "sig"),
    ("tokens_per_second", "Tokens / s", "sig"),
    ("peak_memory_bytes", "Peak memory", "bytesize"),
)


def present(results: Results) -> dict[str, bool]:
    """Which facts at least one arm has: what none has gets no part, table or column of the report."""
    arms = results["arms"]
    found = {
        key: any(arm.get(key) is not None for arm in arms) for key in {key for arm in arms for key in arm}
    }
    found["slot_mismatch"] = found.get("slot_mismatch", False) and results.get("matched") != "none"
    found["start"] = any(found.get(key) for key in ("branch_rms", "clipped_fraction"))
    found["ci90"] = results.get("margin") is not None and any(
        (arm.get("difference") or {}).get("ci90") for arm in arms
    )
    schemes = results.get("schemes") or []
    found["by_scheme"] = len(schemes) > 1 and any(arm.get("by_scheme") for arm in arms)
    found["overrides"] = any(
        not all(str(value) in arm["name"] for value in arm["overrides"].values())
        for arm in arms
        if arm.get("overrides")
    )
    return found


def sizes(has: Mapping[str, bool]) -> list[Results]:
    """The columns of the table of sizes and costs that have a figure."""
    return [{"key": key, "title": title, "form": form} for key, title, *form in _SIZES if has.get(key)]


def health_mean(arm: Results) -> dict[str, float | None]:
    """Each measure of an arm's feed-forward layers, its mean over the layers where it is known."""
    layers = (arm.get("health") or {}).get("layers") or []
    return {
        key: statistics.fmean(known)
        if (known := [row[key] for row in layers if row.get(key) is not None])
        else None
        for key in ("dead_units", "gate_saturation", "hidden_rms", "grad_norm")
    }


def heat(stability: Results) -> list[Results]:
    """A heat map to a warm-up: rows of (placement, depth), a cell to a learning rate.

    A cell has its outcome, symbol, colour, loss and a sentence; `shade` runs from 1 at the best loss of the study
    to 0 at that of the single tokens' frequencies (or the worst), and is 0 where not all seeds trained.
    """
    cells = stability.get("cells") or []
    known = [cell["bpb"] for cell in cells if cell.get("bpb") is not None and _outcome(cell) == "trained"]
    best = min(known, default=0.0)
    worst = stability.get("unigram_bpb") or max(known, default=1.0)
    rates = sorted({cell["lr"] for cell in cells})
    at = {(cell["placement"], cell["depth"], cell.get("warmup"), cell["lr"]): cell for cell in cells}
    maps = []
    for warmup in sorted({cell.get("warmup") for cell in cells}, key=lambda value: value or 0.0):
        rows = []
        for placement in _in_order(stability.get("placements"), [cell["placement"] for cell in cells]):
            depths = {depth for name, depth, warm, _ in at if (name, warm) == (placement, warmup)}
            for number, depth in enumerate(sorted(depths)):
                shown = [_cell(at.get((placement, depth, warmup, rate)), best, worst) for rate in rates]
                rows.append({"placement": placement, "depth": depth, "first": not number, "cells": shown})
        maps.append({"warmup": warmup, "rates": rates, "rows": rows})
    return maps


def stable(stability: Results) -> Results:
    """The largest stable rates as a table: a row to a placement and warm-up, a column to a depth."""
    found = stability.get("largest_stable_rate") or []
    depths = sorted({row["depth"] for row in found})
    places = list(dict.fromkeys((row["placement"], row.get("warmup")) for row in found))
    at = {(row["placement"], row.get("warmup"), row["depth"]): row for row in found}
    rows = [
        {"placement": name, "warmup": warmup, "cells": [at.get((name, warmup, depth)) for depth in depths]}
        for name, warmup in places
    ]
    return {"depths": depths, "rows": rows, "warmups": len({warmup for _, warmup in places})}


def _cell(cell: Results | None, best: float, worst: float) -> Results:
    if cell is None:
        return {"outcome": "missing", "symbol": "", "colour": "muted", "shade": 0, "said": "not run"}
    outcome, bpb = _outcome(cell), cell.get("bpb")
    symbol, colour = OUTCOMES[outcome]
    counts = ", ".join(
        f"{cell[key]} {key}" for key in ("trained", "stuck", "diverged", "failed") if cell.get(key)
    )
    said = f"{cell['placement']}, {cell['depth']} layers, rate {cell['lr']:g}: {counts or 'no run'}"
    shade = 0.0
    if outcome == "trained" and bpb is not None:
        said += f" of {cell['seeds']}; {bpb:.4f} bits per byte"
        shade = min(max((worst - bpb) / (worst - best), 0.0), 1.0) if worst > best else 1.0
    share = f"{cell.get('trained', 0)}/{cell['seeds']}" if outcome == "partly" else ""
    return {
        "outcome": outcome,
        "symbol": symbol,
        "colour": colour,
        "bpb": bpb if outcome == "trained" else None,
        "share": share,
        "shade": round(shade, 2),
        "said": said,
    }


def _outcome(cell: Results) -> str:
    """What happened to most of a cell's seeds; `partly` where some trained and some did not."""
    trained, seeds = cell.get("trained") or 0, cell.get("seeds") or 0
    if not seeds:
        return "missing"
    if trained:
        return "trained" if trained == seeds else "partly"
    return max(("diverged", "stuck", "failed"), key=lambda key: cell.get(key) or 0)


def _in_order(given: Sequence[str] | None, found: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys([*(name for name in given or [] if name in found), *found]))
