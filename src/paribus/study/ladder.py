"""A size ladder: one study at several model sizes, and where each difference is heading.

Every rung is a study of its own, in a folder of its own, with as many tokens a parameter as every other; its shape
keeps the ratio of width to depth. A verdict at one size is no law, and the trend says how much of one it is.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.count import num_params
from paribus.study import session
from paribus.study.naming import digest as hashed
from paribus.study.pages.answer import answer
from paribus.study.pages.report import write_report
from paribus.study.plan import Plan
from paribus.study.planning import flops_per_token
from paribus.study.session import Prepared
from paribus.study.settings import StudySettings, validate
from paribus.study.verdicts.speedup import speedup_on_curve
from paribus.study.verdicts.trend import trend

_CLOSE = 0.3  # how far a rung may be off its size; what it really has is what counts
_DEEPEST = 128


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One size: what the user called it and the study there."""

    label: str
    prepared: Prepared

    @property
    def baseline(self) -> ModelConfig:
        plan = self.prepared.plan
        return plan.arm(plan.baseline).model

    @property
    def params(self) -> int:
        return num_params(self.baseline)

    @property
    def flops(self) -> float:
        """What one seed at one rate costs, over all arms."""
        return sum(flops_per_token(arm) * arm.tokens for arm in self.prepared.plan.arms)

    def describe(self) -> str:
        model, train = self.baseline, self.prepared.plan.train
        return (
            f"d_model {model.d_model}, {model.num_layers} layers, {model.num_heads} heads: {self.params:,} parameters, "
            f"{train.tokens:,} tokens ({train.tokens / self.params:.2f} a parameter)"
        )


def make(
    settings: StudySettings,
    sizes: Sequence[tuple[str, int]],
    *,
    study: str,
    workers: int | None = None,
    threads: int | None = None,
    here: bool = True,
    out: Path | None = None,
    leave_out: Sequence[Path] = (),
    say: Callable[[str], None] = lambda sentence: None,
) -> list[Rung]:
    """The rungs, smallest first; tokens a parameter are those of `settings` at its own size.

    `here` and `say` are those of `session.make`; in `out` each rung has a folder that is named for its size. Raises
    `RequestError` for a size that no shape comes within 30 % of, and where the study itself sets the size.
    """
    if any(key.removeprefix("model.") in ("d_model", "num_layers", "num_heads") for key in settings.vary):
        raise RequestError(
            "a ladder sets d_model, num_layers and num_heads, so they cannot vary within a rung"
        )
    # Its proportions are all that is wanted of it: with threads given, no division of the cores is measured.
    base = session.make(settings, study=study, workers=workers, threads=threads or 1, leave_out=leave_out)
    model = base.plan.arm(base.plan.baseline).model
    ratio = settings.train.tokens / num_params(model)
    rungs = []
    for label, size in sizes:
        shape = shape_near(model, size)
        section = {key: value for key, value in settings.model_given().items() if key != "d_ff"} | shape
        step = settings.train.tokens_per_step
        width = max(1, round(model.d_ff * shape["d_model"] / model.d_model))
        at_size = ModelConfig(**{**model.to_dict(), **shape, "d_ff": width})
        tokens = max(2, round(ratio * num_params(at_size) / step)) * step
        tree = {
            **settings.model_dump(exclude={"model", "train"}),
            "model": section,
            "train": {**dataclasses.asdict(settings.train), "tokens": tokens},
        }
        prepared = session.make(
            validate(tree),
            study=study,
            workers=workers,
            threads=threads,
            here=here,
            folder=functools.partial(_folder_of, out, label) if out is not None else None,
            leave_out=leave_out,
            say=say,
        )
        rungs.append(Rung(label=label, prepared=prepared))
    return rungs


def _folder_of(out: Path, label: str, _plan: Plan) -> Path:
    return out / label


def shape_near(model: ModelConfig, size: int) -> dict[str, int]:
    """d_model, num_layers and num_heads of about `size` parameters in all, in the proportions of `model`.

    Heads keep their width, and the feed-forward layer its ratio to d_model. The nearest size wins among shapes
    whose ratio of width to depth is within a factor of two of the model's.
    """
    assert model.head_dim is not None
    layer = (
        num_params(dataclasses.replace(model, num_layers=2 * model.num_layers)) - num_params(model)
    ) / model.num_layers
    outside = (num_params(model) - layer * model.num_layers) / model.d_model
    aspect = model.d_model / model.num_layers
    group = model.num_heads // (model.num_kv_heads or model.num_heads)
    found: list[tuple[float, dict[str, int]]] = []
    for layers in range(1, _DEEPEST + 1):
        for heads in range(group, 8 * group * _DEEPEST, group):
            width = heads * model.head_dim
            off = abs(math.log(width / layers / aspect))
            # A layer's matrices grow with the square of the width, embedding and head with the width.
            params = layers * layer * (width / model.d_model) ** 2 + outside * width
            if params > 2 * size:
                break
            if off <= math.log(2) and abs(params / size - 1) <= _CLOSE:
                # As near as matters, then as alike as can be.
                found.append(
                    (
                        abs(params / size - 1) + 0.1 * off,
                        {"d_model": width, "num_layers": layers, "num_heads": heads},
                    )
                )
    if not found:
        raise RequestError(
            f"no model of these proportions (d_model {model.d_model}, {model.num_layers} layers, heads of "
            f"{model.head_dim}) has about {size:,} parameters; give another size or smaller heads (model.head_dim)"
        )
    return min(found, key=lambda each: each[0])[1]


def digest(rungs: Sequence[Rung]) -> str:
    """Hash of the whole ladder."""
    return hashed([rung.prepared.plan.sha256 for rung in rungs])


def run(
    rungs: Sequence[Rung],
    folder: Path,
    *,
    name: str,
    run: Callable[[Rung], dict[str, Any]],
    command: str,
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Run the study of every rung and report the ladder in `folder`; returns its results and the report's files."""
    found = [(rung, run(rung)) for rung in rungs]
    results = summary(found, name=name) | {"command": command}
    results["answer"] = answer(results)
    return results, write_report(results, folder)


def summary(found: Sequence[tuple[Rung, Mapping[str, Any]]], *, name: str) -> dict[str, Any]:
    """`results.json` of a ladder: that of its largest rung, with sizes and trends beside.

    A trend takes the arms that were measured at two sizes or more, and what an arm is worth in compute the baseline at
    three or more.
    """
    sizes: list[dict[str, Any]] = [
        {
            "label": rung.label,
            "params": rung.params,
            "tokens": rung.prepared.plan.train.tokens,
            "folder": rung.label,
            "controls_hold": all(control["ok"] is not False for control in results["controls"]),
            "arms": {
                row["name"]: {
                    **_measured(row),
                    "verdict": row["verdict"],
                    "compute": _compute(row, results, found),
                }
                for row in results["arms"]
                if row["name"] != results["baseline"]
            },
        }
        for rung, results in found
    ]
    last = dict(found[-1][1])
    base = sizes[-1]
    return last | {
        "study": name,
        "kind": "ladder",
        "question": f"How does the answer change with the size of the model? {last['question']}",
        "ladder": {
            "tokens_per_parameter": base["tokens"] / base["params"],
            "sizes": sizes,
            "trends": [each for arm in base["arms"] if (each := _trend(arm, found)) is not None],
        },
        "warnings": [
            f"Verdicts, figures and trials below are those of the largest size, {base['label']}.",
            "Every size has a report of its own, in a folder beside this one.",
            *[f"At {size['label']} a control failed." for size in sizes if not size["controls_hold"]],
            *last["warnings"],
        ],
        "not_controlled": [
            f"Scale: {sizes[0]['params']:,} to {base['params']:,} parameters. It is no law for others.",
            *[each for each in last["not_controlled"] if not each.startswith(("Scale:", "Depth and shape:"))],
        ],
        "seconds": sum(results["seconds"] for _, results in found),
    }


def _measured(row: Mapping[str, Any]) -> dict[str, Any]:
    difference = row["difference"]
    return (
        {"mean": difference["mean"], "ci95": difference["ci95"]}
        if difference
        else {"mean": None, "ci95": None}
    )


def _compute(
    row: Mapping[str, Any], here: Mapping[str, Any], found: Sequence[tuple[Rung, Mapping[str, Any]]]
) -> dict[str, Any] | None:
    """How many times the arm's compute the baseline needs for its loss at one size, by its own curve over all.

    None with fewer than three sizes, or where they have not the same seeds.
    """
    bases = [
        next(each for each in results["arms"] if each["name"] == results["baseline"]) for _, results in found
    ]
    base = next(each for each in here["arms"] if each["name"] == here["baseline"])
    seeds = {len(each["values"]) for each in (*bases, row)}
    compute = [each["flops"] for each in bases]
    if len(seeds) > 1 or seeds == {0} or len(set(compute)) < 3:
        return None
    worth = speedup_on_curve(
        compute, [each["values"] for each in bases], row["values"], at=base["flops"], spent=row["flops"]
    )
    return {"ratio": worth.value, "ci95": [worth.low, worth.high], "extrapolated": worth.extrapolated}


def _trend(arm: str, found: Sequence[tuple[Rung, Mapping[str, Any]]]) -> dict[str, Any] | None:
    """Slope of the arm's difference from the baseline for each doubling of parameters."""
    points = []
    for rung, results in found:
        row = next((row for row in results["arms"] if row["name"] == arm), None)
        if row and row["difference"] and row["difference"].get("standard_error"):
            # At least so many: where no one variance is that of all arms, an arm's own seeds say how large its error is.
            df = results["statistics"]["df"] or results["statistics"]["seeds"] - 1
            points.append((rung.params, row["difference"]["mean"], row["difference"]["standard_error"], df))
    if len(points) < 2:
        return None
    fitted = trend(*(list(column) for column in zip(*points, strict=True)))
    if fitted is None:
        return None
    return {
        "arm": arm,
        "slope": fitted.slope,
        "ci95": [fitted.low, fitted.high],
        "p": fitted.p,
        "sizes": fitted.sizes,
        "between_sd": fitted.between_sd,
    }
