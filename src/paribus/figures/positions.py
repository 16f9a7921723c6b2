"""Position encodings: tables, rotations, biases, buckets, and what scalings do to RoPE's wavelengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from paribus import registry
from paribus.figures.style import COLOURS, canvas, line
from paribus.parts.position.alibi import alibi_slopes
from paribus.parts.position.rope import RotaryPosition
from paribus.parts.position.sinusoidal import SinusoidalPosition
from paribus.parts.position.t5 import t5_buckets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawn = tuple["Figure", dict[str, Any]]

_K = 64  # channels of a head in the figures
_LENGTH = 4096  # trained length that scalings extend
_SCALINGS = (
    "rope", "rope_linear", "rope_ntk", "rope_dynamic", "rope_yarn_paper", "rope_yarn", "rope_llama3",
)  # fmt: skip


def _sizes(**more: Any) -> dict[str, Any]:
    return {"d_model": _K, "head_dim": _K, "num_heads": 1, "max_seq_len": _LENGTH, **more}


def rotary(name: str, **options: Any) -> RotaryPosition:
    """A member of the RoPE family at the sizes of the figures."""
    position = registry.get("position", name).build(**_sizes(), **options)
    assert isinstance(position, RotaryPosition)
    return position


def relative_logits(name: str, distances: Tensor) -> Tensor:
    """Logit of equal unit vectors at these distances, as a share of that at distance 0; later minus earlier."""
    position = rotary(name)
    ones = torch.ones(1, 1, len(distances), _K)
    zeros = torch.zeros_like(distances)
    length = int(distances.max()) + 1
    q, _ = position.rotate(ones, ones, position.state(distances, distances, length=length))
    _, k = position.rotate(ones, ones, position.state(zeros, zeros, length=length))
    return (q * k).sum(-1)[0, 0] / _K


def sinusoidal() -> Drawn:
    """The table that is added to embeddings, and how alike its rows are by distance."""
    table = SinusoidalPosition(**_sizes()).table(torch.arange(128))
    alike = (table @ table[64]) / (table[64] @ table[64])
    with canvas(8.4, 3.2) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        shown = left.imshow(
            table.numpy(), aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest"
        )
        left.set(xlabel="channel", ylabel="position", title="Sinusoidal table")
        left.grid(visible=False)
        figure.colorbar(shown, ax=left, shrink=0.85)
        right.plot(range(-64, 64), alike.tolist(), **line(0))
        right.set(xlabel="distance", ylabel="cosine of the rows", title="Likeness of two positions")
    return figure, {"table": table[::8, ::4].tolist(), "likeness": alike.tolist()}


def positions() -> Drawn:
    """What each relative encoding does to a logit by the distance of the key."""
    distances = torch.arange(0, 257)
    data: dict[str, Any] = {"distance": distances.tolist()}
    with canvas(8.4, 3.4) as figure:
        left, right = figure.subplots(1, 2)
        for index, name in enumerate(("rope", "xpos")):
            data[name] = relative_logits(name, distances).tolist()
            left.plot(data["distance"], data[name], **line(index), label=name)
        left.set(xlabel="distance", ylabel="share of the logit", title="Rotations: equal query and key")
        left.legend()
        for index, slope in enumerate(alibi_slopes(8)[::2]):
            data[f"alibi {slope:g}"] = (-slope * distances).tolist()
            right.plot(data["distance"], data[f"alibi {slope:g}"], **line(index), label=f"m = {slope:g}")
        right.set(
            xlabel="distance", ylabel="added to the logit", ylim=(-20, 1), title="ALiBi: four of eight heads"
        )
        right.legend()
    return figure, data


def rope() -> Drawn:
    """RoPE: a pair that turns, the angles of all pairs, and logits that see only distances."""
    theta = rotary("rope").frequencies(length=1, device=torch.device("cpu"))
    places = torch.arange(48)
    angles = places[:, None] * theta
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, _K, generator=generator).expand(2, 1, 1, 48, _K)
    position = rotary("rope")
    state = position.state(places, places, length=48)
    turned_q, turned_k = position.rotate(q, k, state)
    logits = (turned_q @ turned_k.transpose(-1, -2))[0, 0] / math.sqrt(_K)
    with canvas(10.5, 3.4) as figure:
        pair, heat, logit = figure.subplots(1, 3, width_ratios=(1, 1.2, 1.2))
        circle = torch.linspace(0, 2 * math.pi, 200)
        pair.plot(circle.cos().tolist(), circle.sin().tolist(), color="#bbbbbb", linewidth=1)
        for place in range(6):
            x, y = math.cos(place), math.sin(place)
            pair.annotate(
                "",
                (x, y),
                (0, 0),
                arrowprops={"arrowstyle": "->", "color": COLOURS[0], "alpha": 1 - 0.13 * place},
            )
            pair.text(1.17 * x, 1.17 * y, str(place), ha="center", va="center", fontsize=9)
        pair.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), aspect="equal", title="One pair, positions 0 to 5")
        pair.set(xticks=[], yticks=[])
        shown = heat.imshow(
            angles.cos().numpy(), aspect="auto", cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest"
        )
        heat.set(xlabel="pair", ylabel="position", title="cos(p θᵢ)")
        heat.grid(visible=False)
        figure.colorbar(shown, ax=heat, shrink=0.85)
        shown = logit.imshow(logits.numpy(), cmap="PuOr", interpolation="nearest")
        logit.set(xlabel="key position", ylabel="query position", title="q·k: the same along diagonals")
        logit.grid(visible=False)
        figure.colorbar(shown, ax=logit, shrink=0.85)
    return figure, {"theta": theta.tolist(), "logits": logits[::6, ::6].tolist()}


def rope_scalings(names: Sequence[str] = _SCALINGS) -> Drawn:
    """Wavelength of every pair under each scaling, at four times a trained length of 4096."""
    data: dict[str, Any] = {}
    with canvas(8.6, 3.8) as figure:
        left, right = figure.subplots(1, 2)
        plain = rotary("rope").frequencies(length=1, device=torch.device("cpu"))
        for index, name in enumerate(names):
            options = {"factor": 4.0, "original_length": _LENGTH} if name not in ("rope", "xpos") else {}
            position = rotary(name, **options) if name != "rope_interleaved" else rotary("rope")
            theta = position.frequencies(length=4 * _LENGTH, device=torch.device("cpu"))
            data[name] = (2 * math.pi / theta).tolist()
            left.plot(data[name], **line(index), label=name)
            right.plot((plain / theta).tolist(), **line(index))
        left.axhline(_LENGTH, color="#888888", linewidth=0.9)
        left.text(0, 1.15 * _LENGTH, f"trained length {_LENGTH}", color="#666666", fontsize=8)
        left.set(yscale="log", xlabel="pair", ylabel="tokens for one turn", title="Wavelengths")
        right.set(xlabel="pair", ylabel="times slower than rope", title="Slowed by")
        figure.legend(loc="outside lower center", ncols=4, fontsize=9)
    return figure, data


def alibi(heads: int = 8) -> Drawn:
    """The bias matrices of a steep and a flat head, and the slopes of all."""
    slopes = alibi_slopes(heads)
    places = torch.arange(24)
    distance = (places[:, None] - places).float()
    causal = torch.where(distance >= 0, -distance, torch.nan)
    with canvas(9.4, 3.2) as figure:
        axes = figure.subplots(1, 3)
        for axis, head in zip(axes[:2], (0, heads // 2), strict=True):
            shown = axis.imshow(
                (slopes[head] * causal).numpy(), cmap="viridis", vmin=-12, vmax=0, interpolation="nearest"
            )
            axis.set(xlabel="key", ylabel="query", title=f"head {head + 1}: m = {slopes[head]:.4g}")
            axis.grid(visible=False)
        figure.colorbar(shown, ax=axes[1], shrink=0.85, label="added to the logit")
        axes[2].bar(range(1, heads + 1), slopes, color=COLOURS[0])
        axes[2].set(yscale="log", xlabel="head", title="Slopes")
    return figure, {"slopes": slopes}


def t5() -> Drawn:
    """Which bucket a distance falls into, seen from both sides and from the past only."""
    offsets = torch.arange(-160, 161)
    data: dict[str, Any] = {"offset": offsets.tolist()}
    with canvas(7.6, 3.4) as figure:
        axis = figure.subplots()
        for index, (causal, label) in enumerate(((False, "bidirectional"), (True, "causal"))):
            data[label] = t5_buckets(offsets, causal=causal).tolist()
            axis.step(data["offset"], data[label], where="mid", **line(index), label=label)
        axis.set(xlabel="key position minus query position", ylabel="bucket", title="T5's 32 buckets")
        axis.legend()
    return figure, data
