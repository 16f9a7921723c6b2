"""Norms and placements: what a norm does to scale, and gradients by depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from paribus import registry
from paribus.figures.style import canvas, line
from paribus.model.config import ModelConfig
from paribus.model.initialise import build
from paribus.parts.residual.base import Depth
from paribus.parts.residual.deepnorm import deepnorm_constants

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawn = tuple["Figure", dict[str, Any]]

_LAYERS, _D, _T = 24, 32, 32


def norms() -> Drawn:
    """Scale out against scale in, and the response of one feature, for each norm."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(256, 64, generator=generator)
    scales = torch.logspace(-2, 2, 33)
    sweep = torch.linspace(-6, 6, 121)
    data: dict[str, Any] = {"scale": scales.tolist(), "feature": sweep.tolist()}
    with canvas(8.6, 3.8) as figure:
        left, right = figure.subplots(1, 2)
        for index, name in enumerate(registry.catalog()["norm"]):
            norm = registry.get("norm", name).build(d_model=64)
            with torch.no_grad():
                out = [norm(scale * tokens).square().mean().sqrt().item() for scale in scales]
                rows = tokens[:1].repeat(len(sweep), 1)
                rows[:, 0] = sweep
                # Each row alone, so that batch statistics are those of one token.
                response = torch.cat([norm(row[None])[:, 0] for row in rows]).tolist()
            data[name] = {"rms": out, "response": response}
            left.plot(data["scale"], out, **line(index), label=name)
            if name != "batchnorm":
                right.plot(data["feature"], response, **line(index))
        left.set(
            xscale="log", yscale="log", xlabel="RMS in", ylabel="RMS out", title="Scale out against scale in"
        )
        right.set(
            xlabel="one feature in", ylabel="the same feature out", title="One feature, the others fixed"
        )
        figure.legend(loc="outside lower center", ncols=4, fontsize=9)
    return figure, data


def gradient_by_layer(residual: str, *, layers: int = _LAYERS) -> list[float]:
    """Norm of the loss's gradient by each layer's last matrix in a fresh small model."""
    config = ModelConfig(
        vocab_size=64, d_model=_D, d_ff=64, num_layers=layers, num_heads=2, max_seq_len=_T, residual=residual
    )
    model = build(config, seed=0)
    ids = torch.randint(64, (4, _T + 1), generator=torch.Generator().manual_seed(0))
    F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
    matrices = [block.get_parameter("ffn.down.weight") for block in model.blocks()]
    return [0.0 if matrix.grad is None else matrix.grad.norm().item() for matrix in matrices]


def depth() -> Drawn:
    """Gradients at the start of training, layer by layer, for each placement."""
    data: dict[str, Any] = {name: gradient_by_layer(name) for name in registry.catalog()["residual"]}
    with canvas(7.2, 4.2) as figure:
        axis = figure.subplots()
        for index, (name, gradients) in enumerate(data.items()):
            if any(gradients):  # rezero has none at its start
                axis.plot(range(1, _LAYERS + 1), gradients, **line(index), label=name)
        axis.set(yscale="log", xlabel="layer", ylabel="norm of the gradient of W_down")
        axis.set_title(f"Fresh models of {_LAYERS} layers: gradients by depth")
        figure.legend(loc="outside lower center", ncols=4, fontsize=9)
    return figure, data


def deepnorm() -> Drawn:
    """DeepNorm's alpha and beta over depth, in its three tables."""
    counts = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]
    tables = {
        "one stack": lambda n: Depth(stack="decoder", encoder_layers=0, decoder_layers=n),
        "encoder of two": lambda n: Depth(stack="encoder", encoder_layers=n, decoder_layers=n),
        "decoder of two": lambda n: Depth(stack="decoder", encoder_layers=n, decoder_layers=n),
    }
    data: dict[str, Any] = {"layers": counts}
    with canvas(8.2, 3.4) as figure:
        axes = figure.subplots(1, 2)
        for index, (name, place) in enumerate(tables.items()):
            pairs = [deepnorm_constants(place(count)) for count in counts]
            data[name] = {"alpha": [alpha for alpha, _ in pairs], "beta": [beta for _, beta in pairs]}
            axes[0].plot(counts, data[name]["alpha"], **line(index), label=name)
            axes[1].plot(counts, data[name]["beta"], **line(index))
        axes[0].set(xscale="log", xlabel="layers of each stack", title="α: weight of the stream")
        axes[1].set(xscale="log", xlabel="layers of each stack", title="β: factor on the draws")
        axes[0].legend()
    return figure, data
