"""Models as training sees them: dtypes, backends, shapes, and a first loss near that of a guess."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from paribus.model.cache import Cache
from paribus.model.config import ModelConfig
from paribus.model.initialise import build

from .conftest import SWAPS, MakeConfig, swapped

V = 13


def ids(length: int = 7, *, batch: int = 2) -> torch.Tensor:
    return torch.randint(V, (batch, length), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(("slot", "name"), SWAPS)
def test_pass_runs_in_the_asked_dtype_with_float32_parameters(
    make_config: MakeConfig, slot: str, name: str
) -> None:
    """A part that gives back a wider dtype would widen all that follows."""
    model = build(make_config(**swapped(slot, name)), seed=0)
    for dtype in (torch.float32, torch.bfloat16):
        seen = set()

        def record(module: nn.Module, args: object, out: object, seen: set[torch.dtype] = seen) -> None:
            seen |= {
                each.dtype for each in (out if isinstance(out, tuple) else [out]) if torch.is_tensor(each)
            }

        hooks = [module.register_forward_hook(record) for module in model.decoder.blocks.modules()]
        logits = model(ids(), dtype=dtype)
        logits.float().sum().backward()
        assert logits.dtype == dtype and seen == {dtype}
        for hook in hooks:
            hook.remove()
    assert {p.dtype for p in model.parameters()} <= {torch.float32}
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} <= {torch.float32}


def test_bf16_logits_are_near_those_of_float64(make_config: MakeConfig) -> None:
    config = make_config()
    model = build(config, seed=0)
    exact = model.double()(ids(), dtype=torch.float64)
    error = (model.float()(ids(), dtype=torch.bfloat16).double() - exact).square().mean().sqrt()
    assert error < 0.02 * exact.square().mean().sqrt()


@pytest.mark.parametrize("position", ["rope", "alibi", "t5", "shaw", "learned"])
@pytest.mark.parametrize("attention", ["mha", {"name": "gqa", "window": 40}, {"name": "mha", "sinks": True}])
@pytest.mark.usefixtures("fused_above_256")
def test_both_attention_backends_give_the_same_model(
    make_config: MakeConfig, position: str, attention: Any
) -> None:
    """512 tokens go to the fused kernel where it can: a prefix tells whether it does the same."""
    groups = {} if attention == "mha" or attention["name"] == "mha" else {"num_kv_heads": 1}
    config = make_config(num_layers=1, max_seq_len=512, position=position, attention=attention, **groups)
    model = build(config, seed=0)
    long, documents = ids(512, batch=2), (torch.arange(512) > torch.tensor([[60], [90]])).long()
    with torch.inference_mode():
        torch.testing.assert_close(model(long)[:, :100], model(long[:, :100]), rtol=1e-4, atol=1e-5)
        for given in ({"document_BT": documents}, {"valid_BT": documents.bool()}):
            short = {key: value[:, :100] for key, value in given.items()}
            torch.testing.assert_close(
                model(long, **given)[:, :100], model(long[:, :100], **short), rtol=1e-4, atol=1e-5
            )
            cache, pieces = Cache(), []
            for at in (slice(0, 500), slice(500, 512)):
                of_piece = {key: value[:, at] for key, value in given.items()}
                pieces.append(model(long[:, at], cache=cache, **of_piece))
            torch.testing.assert_close(torch.cat(pieces, 1), model(long, **given), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 9), (0, 4)])
def test_any_batch_and_length_up_to_the_maximum(make_config: MakeConfig, shape: tuple[int, int]) -> None:
    model = build(make_config(position="learned"), seed=0)
    assert model(torch.zeros(shape, dtype=torch.long)).shape == (*shape, V)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("scheme", ["fan_in", "normal_0.02"])
def test_loss_starts_near_that_of_a_guess(tied: bool, scheme: str) -> None:
    """A fresh model knows nothing, so its loss must be near ln V and not far above it."""
    config = ModelConfig(vocab_size=64, d_model=64, d_ff=128, num_layers=2, num_heads=2, tie_embeddings=tied)
    draw_ids = torch.Generator().manual_seed(0)
    tokens = torch.randint(64, (4, 33), generator=draw_ids)
    logits = build(config, seed=0, scheme=scheme)(tokens[:, :-1])
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).item()
    assert math.log(64) - 0.2 < loss < math.log(64) + 1.0


def test_a_step_of_descent_lowers_the_loss(make_config: MakeConfig) -> None:
    model, tokens = build(make_config(), seed=0), ids()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(4):
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
