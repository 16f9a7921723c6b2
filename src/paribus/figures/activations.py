"""Activations with their derivatives, the Swish family, and the gated layer as matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from paribus import registry
from paribus.errors import RequestError
from paribus.figures.style import COLOURS, canvas, line
from paribus.ops.activations.smooth import swish as swish_value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawn = tuple["Figure", dict[str, Any]]

_LOW, _HIGH, _POINTS = -4.0, 4.0, 161


def curves(name: str) -> dict[str, list[float]]:
    """x, value and first derivative of a registered pointwise activation, parameters at their start."""
    module = registry.get("activation", name).build(width=1).eval().double()
    if getattr(module, "inputs", 1) != 1 or name in ("softmax", "polynorm"):
        raise RequestError(f"the activation {name} acts across features, so it has no curve")
    x = torch.linspace(_LOW, _HIGH, _POINTS, dtype=torch.float64, requires_grad=True)
    y = module(x[:, None])[:, 0]
    (first,) = torch.autograd.grad(y.sum(), x) if y.requires_grad else (torch.zeros_like(x),)
    return {"x": x.tolist(), "value": y.tolist(), "derivative": first.tolist()}


def has_curve(name: str) -> bool:
    """Whether an activation is a function of one number."""
    return name not in ("softmax", "polynorm", "maxout")


def activations(names: Sequence[str] = ()) -> Drawn:
    """Value and derivative of each activation."""
    chosen = [
        registry.get("activation", name).name
        for name in names or filter(has_curve, registry.catalog()["activation"])
    ]
    data = {name: curves(name) for name in chosen}
    columns = min(5, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    with canvas(2.2 * columns + 0.4, 1.75 * rows + 0.6) as figure:
        axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True).flat)
        for axis, (name, curve) in zip(axes, data.items(), strict=False):
            axis.plot(curve["x"], curve["value"], **line(0), label="value")
            axis.plot(curve["x"], curve["derivative"], **line(1), label="derivative")
            axis.set_title(name)
            axis.set_ylim(-1.6, 4.2)
        for axis in axes[len(chosen) :]:
            axis.axis("off")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure, data


def swish(betas: Sequence[float] = (0.0, 0.5, 1.0, 1.702, 4.0, 50.0)) -> Drawn:
    """x sigma(beta x) for several betas, from x / 2 to ReLU."""
    x = torch.linspace(_LOW, _HIGH, _POINTS, dtype=torch.float64)
    data: dict[str, Any] = {"x": x.tolist()}
    said = {0.0: "0: x / 2", 1.0: "1: SiLU", 1.702: "1.702: quick GELU"}
    with canvas(6.4, 4.2) as figure:
        axis = figure.subplots()
        for index, beta in enumerate(betas):
            data[f"{beta:g}"] = swish_value(x, beta=beta).tolist()
            label = f"β = {said.get(beta, f'{beta:g}' + (': nearly ReLU' if beta >= 20 else ''))}"
            axis.plot(data["x"], data[f"{beta:g}"], **line(index), label=label)
        axis.set(xlabel="x", ylabel="x σ(βx)", title="Swish: from a line to ReLU")
        axis.legend()
    return figure, data


def glu() -> Drawn:
    """A gated layer as matrices: which shape meets which, and where the gate comes in."""
    with canvas(8.2, 3.4) as figure:
        axis = figure.subplots()
        axis.set(xlim=(0, 15.4), ylim=(0, 6.4))
        axis.axis("off")
        boxes = {
            "x": (0.3, 2.4, 0.5, 1.6, "x\nd_model"),
            "gate": (2.2, 3.6, 2.6, 1.6, "W_gate\nd_ff × d_model"),
            "value": (2.2, 0.8, 2.6, 1.6, "W_value\nd_ff × d_model"),
            "g": (6.6, 3.5, 0.5, 1.9, "g"),
            "v": (6.6, 0.6, 0.5, 1.9, "v"),
            "h": (9.2, 2.05, 0.5, 1.9, "h"),
            "down": (10.9, 2.2, 2.2, 1.6, "W_down\nd_model × d_ff"),
            "y": (14.3, 2.4, 0.5, 1.6, "y\nd_model"),
        }
        shades = {"gate": COLOURS[0], "g": COLOURS[0], "value": COLOURS[1], "v": COLOURS[1], "h": COLOURS[2]}
        for name, (left, bottom, width, height, text) in boxes.items():
            colour = shades.get(name, "#555555")
            axis.bar(left + width / 2, height, width, bottom, color=colour, alpha=0.22, edgecolor=colour)
            inside = width > 1
            where = bottom + height / 2 if inside else bottom - 0.12
            axis.text(
                left + width / 2, where, text, ha="center", va="center" if inside else "top", fontsize=9
            )
        for tail, head, text in (
            ((0.9, 3.4), (2.1, 4.4), ""),
            ((0.9, 3.0), (2.1, 1.6), ""),
            ((4.9, 4.4), (6.5, 4.4), "act"),
            ((4.9, 1.6), (6.5, 1.6), ""),
            ((7.2, 4.4), (9.1, 3.3), ""),
            ((7.2, 1.6), (9.1, 2.7), ""),
            ((9.8, 3.0), (10.8, 3.0), ""),
            ((13.2, 3.0), (14.2, 3.2), ""),
        ):
            axis.annotate("", head, tail, arrowprops={"arrowstyle": "->", "color": "#555555"})
            axis.text((tail[0] + head[0]) / 2, (tail[1] + head[1]) / 2 + 0.15, text, ha="center", fontsize=9)
        axis.text(8.15, 3.0, "⊙", ha="center", va="center", fontsize=15)
        axis.set_title("A gated layer: y = W_down (act(W_gate x) ⊙ W_value x)")
    return figure, {"boxes": {name: list(box[:4]) for name, box in boxes.items()}}
