"""The whole model against the oracle, for every part in turn; names, causality, dtypes, training."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from paribus import oracles, registry
from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.initialise import build
from paribus.model.transformer import Transformer

from ..parts.comparison import draw, weights_of
from .conftest import MakeConfig

SWAPS = [(slot, name) for slot, cards in registry.catalog().items() for name in cards]
V = 13


def ids(length: int = 7, *, batch: int = 2) -> torch.Tensor:
    return torch.randint(V, (batch, length), generator=torch.Generator().manual_seed(5))


def model_of(config: ModelConfig) -> Transformer:
    model = Transformer(config).double()
    draw(model)
    return model


def assert_is_the_oracle(config: ModelConfig, *, tolerance: float = 3e-6) -> None:
    """Positions are encoded in float32, so that is how near it can be; without them it is float64."""
    model, tokens = model_of(config), ids()
    expected = oracles.transformer(
        weights_of(model),
        tokens.numpy(),
        num_heads=config.num_heads,
        num_layers=config.num_layers,
        parts=config.part_names(),
    )
    actual = model(tokens, dtype=torch.float64).detach().numpy()
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize(("slot", "name"), SWAPS)
@pytest.mark.parametrize("residual", ["pre", "post"])
def test_model_with_each_part_equals_the_oracle(
    make_config: MakeConfig, slot: str, name: str, residual: str
) -> None:
    assert_is_the_oracle(make_config(**{"residual": residual, slot: name}))


@pytest.mark.parametrize("residual", ["pre", "post"])
def test_model_without_float32_tables_is_exact(make_config: MakeConfig, residual: str) -> None:
    for position in ("none", "learned"):
        assert_is_the_oracle(make_config(position=position, residual=residual), tolerance=1e-11)


def test_biased_and_tied_model_equals_the_oracle(make_config: MakeConfig) -> None:
    config = make_config(
        ffn={"name": "gelu", "bias": True},
        attention={"name": "mha", "bias": True},
        norm="layernorm",
        position="learned",
        tie_embeddings=True,
    )
    assert_is_the_oracle(config, tolerance=1e-11)


@pytest.mark.parametrize(("slot", "name"), SWAPS)
def test_a_later_token_never_changes_an_earlier_logit(make_config: MakeConfig, slot: str, name: str) -> None:
    model, tokens = build(make_config(**{slot: name}), seed=0), ids()
    changed = tokens.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % V
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


@pytest.mark.parametrize(("slot", "name"), SWAPS)
def test_every_parameter_gets_a_gradient(make_config: MakeConfig, slot: str, name: str) -> None:
    model, tokens = build(make_config(**{slot: name}), seed=0), ids()
    F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).backward()
    for key, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.any(), key


def test_qualified_names_do_not_depend_on_the_residual_placement(make_config: MakeConfig) -> None:
    names = {}
    for residual in registry.catalog()["residual"]:
        model = Transformer(make_config(residual=residual))
        names[residual] = {n for n, _ in model.named_parameters() if not n.startswith("decoder.final_norm")}
    assert len(set(map(frozenset, names.values()))) == 1
    sublayers = (
        "attention.q",
        "attention.k",
        "attention.v",
        "attention.o",
        "ffn.gate",
        "ffn.value",
        "ffn.down",
    )
    assert names["pre"] == {"embedding.weight", "head.weight"} | {
        f"decoder.blocks.{layer}.{where}.weight"
        for layer in range(2)
        for where in (*sublayers, "residual.norms.attention", "residual.norms.ffn")
    }


def test_final_norm_is_there_for_pre_norm_only(make_config: MakeConfig) -> None:
    finals = {
        residual: [
            n
            for n, _ in Transformer(make_config(residual=residual)).named_parameters()
            if n.startswith("decoder.final_norm")
        ]
        for residual in ("pre", "post")
    }
    assert finals == {"pre": ["decoder.final_norm.weight"], "post": []}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pass_runs_in_the_asked_dtype_with_float32_parameters(
    make_config: MakeConfig, dtype: torch.dtype
) -> None:
    model = build(make_config(position="learned", norm="layernorm"), seed=0)
    seen = set()
    for module in model.decoder.blocks.modules():
        module.register_forward_hook(lambda module, args, out: seen.add(out.dtype))
    logits = model(ids(), dtype=dtype)
    logits.float().sum().backward()
    assert logits.dtype == dtype and seen == {dtype}
    assert all(p.dtype == torch.float32 and p.grad.dtype == torch.float32 for p in model.parameters())


def test_bf16_logits_are_near_those_of_float64(make_config: MakeConfig) -> None:
    config = make_config()
    model = build(config, seed=0)
    exact = model.double()(ids(), dtype=torch.float64)
    error = (model.float()(ids(), dtype=torch.bfloat16).double() - exact).square().mean().sqrt()
    assert error < 0.02 * exact.square().mean().sqrt()


def test_both_attention_backends_give_the_same_model(make_config: MakeConfig) -> None:
    """512 tokens and more go to the fused kernel: a prefix tells whether it is causal and scaled alike."""
    model = build(make_config(num_layers=1, max_seq_len=512), seed=0)
    long = ids(512, batch=1)
    torch.testing.assert_close(model(long)[:, :100], model(long[:, :100]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 9), (0, 4)])
def test_any_batch_and_length_up_to_the_maximum(make_config: MakeConfig, shape: tuple[int, int]) -> None:
    model = build(make_config(position="learned"), seed=0)
    assert model(torch.zeros(shape, dtype=torch.long)).shape == (*shape, V)


def test_learned_positions_refuse_a_longer_input(make_config: MakeConfig) -> None:
    model = build(make_config(position="learned"), seed=0)
    with pytest.raises(RequestError, match="9.*10"):
        model(ids(10))


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
