import copy
import dataclasses
import math

import pytest
import torch
from torch import nn

from paribus.errors import RequestError
from paribus.model.initialise import build
from paribus.train.config import TrainConfig
from paribus.train.optimiser import Optimiser, descend, make_optimiser, set_rate

from .conftest import MODEL


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.full((3, 2), 2.0))
        self.vector = nn.Parameter(torch.full((3,), 2.0))


def _decayed(rate: float) -> Small:
    """The model after one step with zero gradients."""
    model = Small()
    optimiser = make_optimiser(model, TrainConfig(weight_decay=0.1), peak_rate=rate)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    return model


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-1])
def test_decay_at_the_peak_is_the_same_at_every_rate(rate: float) -> None:
    torch.testing.assert_close(_decayed(rate).matrix, torch.full((3, 2), 1.8))


def test_vectors_do_not_decay() -> None:
    assert torch.equal(_decayed(1e-2).vector, torch.full((3,), 2.0))


def test_a_step_is_adamw_of_the_paper() -> None:
    """Two steps by hand in float64: m, v, bias correction, decoupled decay."""
    model = Small().double()
    config = TrainConfig(beta1=0.8, beta2=0.9, eps=1e-6, weight_decay=0.02)
    optimiser = make_optimiser(model, config, peak_rate=0.1)
    weight, first, second = 2.0, 0.0, 0.0
    for step, (gradient, rate) in enumerate([(0.5, 0.1), (-1.5, 0.05)], start=1):
        set_rate(optimiser, rate)
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optimiser.step()
        first = 0.8 * first + 0.2 * gradient
        second = 0.9 * second + 0.1 * gradient**2
        weight -= weight * 0.02 * rate / 0.1
        weight -= rate * (first / (1 - 0.8**step)) / ((second / (1 - 0.9**step)) ** 0.5 + 1e-6)
    torch.testing.assert_close(model.matrix, torch.full((3, 2), weight, dtype=torch.float64))


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("clip", [0.0, 0.5, 100.0])
def test_a_step_clips_as_torch_does(name: str, clip: float) -> None:
    config = TrainConfig(optimiser=name, beta1=0.8)
    models = [build(MODEL, seed=0) for _ in range(2)]
    optimisers = [make_optimiser(model, config, peak_rate=0.1) for model in models]
    for number, (model, optimiser) in enumerate(zip(models, optimisers, strict=True)):
        torch.manual_seed(0)
        for size in (1.0, 3.0):  # another share is clipped of each, so that it matters to the moments
            for parameter in model.parameters():
                parameter.grad = size * torch.randn_like(parameter)
            if number:
                expected = nn.utils.clip_grad_norm_(model.parameters(), clip or math.inf)
                optimiser.step()
            else:
                norm = descend(model.parameters(), optimiser, clip=clip)
                assert all(parameter.grad is None for parameter in model.parameters())
    torch.testing.assert_close(norm, expected)
    for clipped, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(clipped, other)


def test_clipping_works_in_half_precision_and_where_some_matrices_do_not_learn() -> None:
    for name in ("adamw", "muon"):
        model = build(MODEL, seed=0).bfloat16()
        optimiser = make_optimiser(model, TrainConfig(optimiser=name), peak_rate=0.1)
        before = [parameter.detach().clone() for parameter in model.parameters()]
        for parameter in model.parameters():
            small = parameter.ndim < 2
            parameter.grad = torch.ones_like(parameter) if small else None
        descend(model.parameters(), optimiser, clip=0.5)
        moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
        assert moved == [parameter.ndim < 2 for parameter in model.parameters()]


def test_one_optimiser_keeps_torchs_own_state() -> None:
    model = Small()
    optimiser = make_optimiser(model, TrainConfig(), peak_rate=0.1)
    assert set(optimiser.state_dict()) == set(torch.optim.AdamW(model.parameters()).state_dict())


def test_a_divisor_is_for_one_step_only() -> None:
    model = Small()
    optimiser = make_optimiser(model, TrainConfig(weight_decay=0.0, eps=1.0), peak_rate=0.1)
    moved = []
    for divisor in (torch.tensor(1e6), None):
        before = model.matrix.detach().clone()
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step(divisor)
        moved.append((before - model.matrix).max().item())
    assert moved[0] < 1e-6 and moved[1] > 0.01


def test_muon_has_the_matrices_of_the_blocks_and_adamw_everything_else() -> None:
    model = build(dataclasses.replace(MODEL, position="t5"), seed=0)
    names = {parameter: name for name, parameter in model.named_parameters()}
    matrices, *rest = make_optimiser(model, TrainConfig(optimiser="muon"), peak_rate=0.1).param_groups
    by_muon = {names[parameter] for parameter in matrices["params"]}
    assert by_muon == {
        name
        for name in names.values()
        if ".residual." not in name and (".attention." in name or ".ffn." in name)
    }
    by_adamw = {names[parameter] for group in rest for parameter in group["params"]}
    assert by_adamw == set(names.values()) - by_muon
    assert {"embedding.weight", "head.weight", "decoder.position.weight"} <= by_adamw


def test_a_step_of_muon_is_an_orthogonal_matrix_as_large_as_a_step_of_adamw() -> None:
    """All singular values near one, times 0.2 sqrt(max(rows, columns)) times the rate."""
    model = build(MODEL, seed=0)
    optimiser = make_optimiser(model, TrainConfig(optimiser="muon", weight_decay=0.0), peak_rate=0.5)
    weight = model.decoder.blocks[0].ffn.down.weight
    before = weight.detach().clone()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimiser.step()
    sizes = torch.linalg.svdvals(before - weight.detach()) / (0.5 * 0.2 * max(weight.shape) ** 0.5)
    assert 0.6 < sizes.min() and sizes.max() < 1.3


def test_muon_goes_on_from_its_state() -> None:
    def step(model: nn.Module, optimiser: Optimiser, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        set_rate(optimiser, 0.01 * (seed + 1))
        optimiser.step()

    config = TrainConfig(optimiser="muon", weight_decay=0.01)
    whole, resumed = build(MODEL, seed=0), build(MODEL, seed=0)
    optimiser = make_optimiser(whole, config, peak_rate=0.1)
    step(whole, optimiser, 0)
    resumed.load_state_dict(whole.state_dict())
    again = make_optimiser(resumed, config, peak_rate=0.1)
    again.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for model, each in ((whole, optimiser), (resumed, again)):
        step(model, each, 1)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_an_unknown_optimiser_is_refused() -> None:
    with pytest.raises(RequestError, match="did you mean adamw"):
        TrainConfig(optimiser="adam")  # type: ignore[arg-type]
