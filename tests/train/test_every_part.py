"""Every registered part learns: fifty steps at tiny size, finite all along, and a lower loss at the end.

The task is a text that repeats itself, so a part that passes nothing on is told from one that does. Parts that
are known not to train in this setting are listed with what they show instead.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from paribus import registry
from paribus.model.config import ModelConfig
from paribus.model.initialise import build

STEPS, V, T, B = 50, 11, 12, 8
SIZES: dict[str, Any] = {
    "vocab_size": V,
    "d_model": 16,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 4,
    "max_seq_len": T,
}
#: Beside its name, what a part needs of the model around it.
NEEDS: dict[tuple[str, str], dict[str, Any]] = {("attention", "gqa"): {"num_kv_heads": 2}}
PARTS = [(slot, name) for slot, cards in registry.catalog().items() for name in cards]


def config_with(slot: str, name: str, **changes: Any) -> ModelConfig:
    spec: Any = name
    if slot == "activation":  # a gate of this activation; the ungated layer of its name is in slot ffn
        gated = getattr(registry.get(slot, name).build(width=1), "inputs", 1) == 1
        spec = {"name": "gated", "gate": name} if gated else {"name": "ungated", "activation": name}
        slot = "ffn"
    return ModelConfig(**{**SIZES, slot: spec, **NEEDS.get((slot, name), {}), **changes})


def batches() -> Callable[[int], torch.Tensor]:
    """Rows that count upwards in steps of 1 to 3 from a random start, modulo V."""

    def batch(step: int) -> torch.Tensor:
        draw = torch.Generator().manual_seed(step)
        start, stride = (torch.randint(low, high, (B, 1), generator=draw) for low, high in ((0, V), (1, 4)))
        return (start + stride * torch.arange(T + 1)) % V

    return batch


def losses(config: ModelConfig, *, rate: float = 1e-2) -> list[float]:
    torch.manual_seed(0)  # rrelu draws its slopes
    model, batch = build(config, seed=0), batches()
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    seen = []
    for step in range(STEPS):
        ids = batch(step)
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimiser.step()
        seen.append(loss.item())
    return seen


@pytest.mark.parametrize(("slot", "name"), PARTS)
def test_part_learns_in_fifty_steps(slot: str, name: str) -> None:
    seen = losses(config_with(slot, name))
    first, last = sum(seen[:5]) / 5, sum(seen[-5:]) / 5
    assert all(loss < float("inf") for loss in seen)  # false for nan too
    assert last < 0.8 * first, f"{first:.3f} -> {last:.3f}"


@pytest.mark.parametrize("residual", registry.catalog()["residual"])
def test_placement_learns_without_norms_too_or_says_so(residual: str) -> None:
    """At two layers nothing explodes yet; what norms are for shows with depth."""
    seen = losses(config_with("norm", "none", residual=residual), rate=3e-3)
    assert all(loss < float("inf") for loss in seen) and seen[-1] < seen[0]
