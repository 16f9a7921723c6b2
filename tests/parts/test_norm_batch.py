"""BatchNorm's two modes: batch statistics, running statistics, and what follows for a causal model."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paribus import oracles, registry
from paribus.parts.norm.batchnorm import BatchNorm

from .comparison import draw, tokens, weights_of

D = 5


def build(**options: float) -> BatchNorm:
    norm = draw(registry.get("norm", "batchnorm").build(d_model=D, **options).double())
    assert isinstance(norm, BatchNorm)
    return norm


def torch_peer(ours: BatchNorm, **options: float) -> nn.BatchNorm1d:
    peer = nn.BatchNorm1d(D, dtype=torch.float64, **options)
    with torch.no_grad():
        peer.weight.copy_(ours.weight)
        peer.bias.copy_(ours.bias)
    return peer


def assert_same_through_both_modes(ours: nn.Module, peer: nn.BatchNorm1d) -> None:
    """Four steps of training, of batches of two sizes, then scoring; a gradient in each mode."""
    assert dict(ours.named_buffers()).keys() == {"running_mean", "running_var"}
    for step in range(5):
        if step == 4:
            ours.eval()
            peer.eval()
        x, theirs = (
            (tokens(2, 3 + step % 2, D, seed=step).detach() * 2 + 1).requires_grad_() for _ in range(2)
        )
        y, expected = ours(x), peer(theirs.flatten(0, 1)).unflatten(0, (2, -1))
        torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-10)
        (y**3).sum().backward()
        (expected**3).sum().backward()
        torch.testing.assert_close(x.grad, theirs.grad, rtol=1e-9, atol=1e-9)
        for name, buffer in ours.named_buffers():
            torch.testing.assert_close(buffer, peer.get_buffer(name), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.3}, {"momentum": 1.0}, {"eps": 0.1}])
def test_batchnorm_is_that_of_torch_in_training_and_then_in_scoring(options: dict[str, float]) -> None:
    ours = build(**options)
    assert_same_through_both_modes(ours, torch_peer(ours, **options))


def test_scoring_equals_the_oracle_of_running_statistics() -> None:
    norm = build()
    for step in range(3):
        norm(tokens(2, 3, D, seed=step).detach() * 2 + 1)
    norm.eval()
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    x = tokens(4, D, seed=9).detach()
    weights = {**weights_of(norm), **{name: b.numpy() for name, b in norm.named_buffers()}}
    expected = oracles.batchnorm_running(weights, x.numpy())
    np.testing.assert_allclose(norm(x).detach().numpy(), expected, rtol=1e-12)
    for name, buffer in norm.named_buffers():
        assert torch.equal(buffer, before[name]), "scoring must leave the statistics alone"


MUTANTS = {
    "biased variance": lambda n, mean, var: remember(
        n, mean, var * 5 / 6, 0.1
    ),  # of the first batch, six tokens
    "momentum is what is kept": lambda n, mean, var: remember(n, mean, var, 0.9),
    "the last batch": lambda n, mean, var: remember(n, mean, var, 1.0),
    "the mean alone": lambda n, mean, var: n.running_mean.lerp_(mean, 0.1),
    "the variance alone": lambda n, mean, var: n.running_var.lerp_(var, 0.1),
    "nothing": lambda n, mean, var: None,
}


def remember(norm: BatchNorm, mean: Tensor, var: Tensor, momentum: float) -> None:
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(var, momentum)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_of_the_running_statistics_dies(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    norm = build()
    monkeypatch.setattr(norm, "_remember", lambda mean, var: MUTANTS[mutant](norm, mean, var))
    with pytest.raises(AssertionError):
        assert_same_through_both_modes(norm, torch_peer(norm))


def test_a_later_token_changes_an_earlier_one_in_training_only() -> None:
    norm, x = build(), tokens(1, 4, D).detach()
    changed = x.clone()
    changed[:, 3] += 1
    assert not torch.allclose(norm(x)[:, :3], norm(changed)[:, :3])
    norm.eval()
    assert torch.equal(norm(x)[:, :3], norm(changed)[:, :3])


def test_in_training_one_token_gives_the_bias() -> None:
    norm = build()
    x = tokens(1, D)
    torch.testing.assert_close(norm(x), norm.bias.detach().expand(1, D), rtol=0, atol=0)
    torch.testing.assert_close(norm.running_mean, 0.1 * x.detach()[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.running_var, torch.full_like(norm.running_var, 0.9))


def test_an_empty_batch_leaves_the_statistics_alone() -> None:
    norm = build()
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    assert norm(torch.zeros(2, 0, D, dtype=torch.float64)).shape == (2, 0, D)
    assert all(torch.equal(buffer, before[name]) for name, buffer in norm.named_buffers())


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("shape", [(2, 3, D), (1, D), (0, D)])
@pytest.mark.parametrize("training", [True, False])
def test_compiled_norm_gives_and_remembers_the_same(shape: tuple[int, ...], training: bool) -> None:
    eager, traced = build().train(training), build().train(training)
    compiled = torch.compile(traced, backend="aot_eager", fullgraph=True)
    for step in range(2):
        x = tokens(*shape, seed=step).detach()
        torch.testing.assert_close(compiled(x), eager(x), rtol=1e-12, atol=1e-12)
    for name, buffer in eager.named_buffers():
        torch.testing.assert_close(traced.get_buffer(name), buffer, rtol=1e-12, atol=1e-12)


def test_statistics_of_bfloat16_input_are_those_of_wide_arithmetic() -> None:
    norm = registry.get("norm", "batchnorm").build(d_model=D, momentum=1.0)
    x = (tokens(1000, D) + 3).detach().bfloat16()
    norm(x)
    torch.testing.assert_close(norm.running_mean, x.double().mean(0).float(), rtol=1e-5, atol=0)
    torch.testing.assert_close(norm.running_var, x.double().var(0).float(), rtol=1e-5, atol=0)
