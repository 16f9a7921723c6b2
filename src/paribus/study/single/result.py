"""What a finished run leaves in its folder beside the model: result.json, metrics.csv and the plot of its loss."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paribus.files.appearing import appearing, write_whole
from paribus.study.single.folder import METRICS, PLOT, RESULT
from paribus.study.single.plan import RunPlan
from paribus.train.result import RunResult

_COLUMNS = ("tokens", "seconds", "train_bpb", "val_bpb")
_BLUE, _ORANGE = "#0072b2", "#d55e00"


def describe(plan: RunPlan, result: RunResult) -> dict[str, Any]:
    """A run's result as plain data; `scores` are held-out bits per byte by tokens, the last of them `val_bpb`."""
    per_step = plan.train.tokens_per_step
    scores = [[step * per_step, value] for step, value in result.scores]
    if result.val_bpb is not None:
        scores.append([plan.train.steps * per_step, result.val_bpb])
    return {
        "status": result.status,
        "reason": result.reason,
        "val_bpb": result.val_bpb,
        "first_bpb": _finite(result.first_bpb),
        "steps": result.tokens // per_step,
        "tokens": result.tokens,
        "seconds": result.seconds,
        "tokens_per_second": result.tokens_per_second,
        "compile_seconds": result.compile_seconds,
        "peak_memory_bytes": result.peak_memory_bytes,
        "clipped_fraction": result.clipped_fraction,
        "dtype": result.dtype,
        "compiled": result.compiled,
        "as_run": result.as_run,
        "scores": [{"tokens": int(tokens), "val_bpb": _finite(value)} for tokens, value in scores],
        "curve": {name: [_finite(value) for value in column] for name, column in result.curve.items()},
        **{key: value for key, value in plan.to_dict().items() if key != "scores"},
    }


def write_curves(folder: Path, described: Mapping[str, Any]) -> None:
    """metrics.csv, a row for every point of the curve and every score, and their plot."""
    curve = described["curve"]
    rows: dict[int, dict[str, Any]] = {}
    for tokens, seconds, loss in zip(curve["tokens"], curve["seconds"], curve["train_bpb"], strict=True):
        rows[int(tokens)] = {"seconds": seconds, "train_bpb": loss}
    for score in described["scores"]:
        rows.setdefault(score["tokens"], {})["val_bpb"] = score["val_bpb"]
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS, restval="")
    writer.writeheader()
    writer.writerows({"tokens": tokens, **rows[tokens]} for tokens in sorted(rows))
    write_whole(folder / METRICS, table.getvalue().encode())
    _draw(folder / PLOT, rows)


def write_result(folder: Path, described: Mapping[str, Any]) -> None:
    """result.json, whose being there says that the run is finished."""
    write_whole(folder / RESULT, (json.dumps(described, indent=2, allow_nan=False) + "\n").encode())


def _draw(path: Path, rows: Mapping[int, Mapping[str, Any]]) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    lines = {
        name: [(tokens, row[name]) for tokens, row in sorted(rows.items()) if row.get(name) is not None]
        for name in ("train_bpb", "val_bpb")
    }
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "paribus"}):
        figure = Figure(figsize=(6, 3.6), layout="constrained", facecolor="white")
        axes = figure.subplots()
        looks = (("train_bpb", "training", _BLUE, "-"), ("val_bpb", "held-out", _ORANGE, "o-"))
        for name, label, colour, style in looks:
            axes.plot(
                *zip(*lines[name], strict=True) if lines[name] else ([], []),
                style,
                color=colour,
                label=label,
                markersize=4,
            )
        # The steep beginning is cut off: what one reads is the rest.
        late = [value for line in lines.values() for _, value in line[len(line) // 10 :]]
        if late and min(late) < max(late):
            axes.set_ylim(min(late) - 0.05 * (max(late) - min(late)), max(late))
        axes.set(xlabel="training tokens", ylabel="bits per byte", xlim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#e6e6e6")
        axes.legend(frameon=False)
        with appearing(path) as draft:
            figure.savefig(draft, format="svg", metadata={"Date": None})


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
