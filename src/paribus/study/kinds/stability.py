"""The stability study: which placements of the norms train at which depth and rate, and which do not.

What counts as not training is said beforehand: *diverged* is what it is everywhere (a loss that is not finite, or a
final loss above the first), *stuck* is a model that ends no better than the frequencies of single tokens would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paribus.study.engine import Ran, Results
from paribus.study.plan import Arm, Plan

Cell = tuple[str, int, float]  # placement with whatever else the arm sets, depth, warm-up


def stability_section(
    plan: Plan, ran: Ran, results: Results, arms: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Outcomes of every arm at every rate, the largest rate at which all seeds trained, and RMS by layer."""
    line = plan.data.get("unigram_bpb")
    cells, stable, layers = [], [], []
    for arm in plan.arms:
        place = dict(zip(("placement", "depth", "warmup"), _place(arm), strict=True))
        good = None
        for rate in ran.rates:
            found = [results.get(plan.trial(arm, rate, seed).key) for seed in ran.seeds]
            cell = {**place, "lr": rate, **_outcomes([each for each in found if each], line)}
            cells.append(cell)
            if cell["seeds"] and cell["trained"] == cell["seeds"]:
                good = cell
        stable.append({**place, "lr": good["lr"] if good else None, "bpb": good["bpb"] if good else None})
        layers += [{**place, **each} for each in _layers(plan, ran, results, arm)]
    return {
        "unigram_bpb": line,
        "placements": list(dict.fromkeys(cell["placement"] for cell in cells)),
        "depths": sorted({cell["depth"] for cell in cells}),
        "warmups": sorted({cell["warmup"] for cell in cells}),
        "rates": list(ran.rates),
        "cells": cells,
        "largest_stable_rate": stable,
        "layers": layers,
    }


def outcome(result: Mapping[str, Any], unigram_bpb: float | None) -> str:
    """trained | stuck | diverged | failed."""
    if result["status"] != "done":
        return str(result["status"])
    return "stuck" if unigram_bpb is not None and result["val_bpb"] >= unigram_bpb else "trained"


def _outcomes(found: Sequence[Mapping[str, Any]], line: float | None) -> dict[str, Any]:
    seen = [outcome(result, line) for result in found]
    losses = [
        result["val_bpb"] for result, each in zip(found, seen, strict=True) if each in ("trained", "stuck")
    ]
    return {
        "seeds": len(found),
        **{each: seen.count(each) for each in ("trained", "stuck", "diverged", "failed")},
        "bpb": float(np.mean(losses)) if losses and len(losses) == len(found) else None,
    }


def _place(arm: Arm) -> Cell:
    others = [
        f"{key.removeprefix('model.')}={value}"
        for key, value in arm.overrides.items()
        if key.removeprefix("model.") not in ("residual", "num_layers", "train.warmup")
    ]
    return ", ".join([arm.model.part_names()["residual"], *others]), arm.model.num_layers, arm.train.warmup


def _layers(plan: Plan, ran: Ran, results: Results, arm: Arm) -> list[dict[str, Any]]:
    """RMS of activations and gradients by layer in the first seed at the middle rate, at start and end."""
    trial = plan.trial(arm, ran.rates[len(ran.rates) // 2], ran.seeds[0])
    probe = (results.get(trial.key) or {}).get("probes", {}).get("layers", {})
    return [
        {
            "when": when,
            "lr": trial.rate,
            "activation_rms": probe[when]["activation_rms"],
            "gradient_rms": probe[when]["gradient_rms"],
        }
        for when in ("start", "end")
        if probe.get(when)
    ]
