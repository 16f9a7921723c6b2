"""Choosing a token: every filter is that of transformers, number for number, and each row draws for itself."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.generation.logits_process import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from paribus.errors import RequestError
from paribus.model.sampling import Draws, Sampling, row_seed

B, V = 4, 50


def logits(kind: str) -> Tensor:
    """Random, or rounded so far that many are equal, or all equal."""
    drawn = 3 * torch.randn(B, V, generator=torch.Generator().manual_seed(3))
    return {"random": drawn, "tied": drawn.round(), "equal": torch.zeros(B, V)}[kind]


#: Our settings, and what transformers calls them, in its order.
PROCESSORS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "penalty": ({"repetition_penalty": 1.3}, [RepetitionPenaltyLogitsProcessor(1.3)]),
    "reward": ({"repetition_penalty": 0.7}, [RepetitionPenaltyLogitsProcessor(0.7)]),
    "temperature": ({"temperature": 0.7}, [TemperatureLogitsWarper(0.7)]),
    "top_k": ({"top_k": 7}, [TopKLogitsWarper(7)]),
    "top_k of all": ({"top_k": 99}, [TopKLogitsWarper(99)]),
    "top_p": ({"top_p": 0.8}, [TopPLogitsWarper(0.8)]),
    "small top_p": ({"top_p": 1e-9}, [TopPLogitsWarper(1e-9)]),
    "min_p": ({"min_p": 0.1}, [MinPLogitsWarper(0.1)]),
    "min_p of one": ({"min_p": 1.0}, [MinPLogitsWarper(1.0)]),
    "all": (
        {"repetition_penalty": 1.2, "temperature": 1.7, "top_k": 20, "top_p": 0.9, "min_p": 0.05},
        [
            RepetitionPenaltyLogitsProcessor(1.2),
            TemperatureLogitsWarper(1.7),
            TopKLogitsWarper(20),
            TopPLogitsWarper(0.9),
            MinPLogitsWarper(0.05),
        ],
    ),
}


@pytest.mark.parametrize("kind", ["random", "tied", "equal"])
@pytest.mark.parametrize("name", PROCESSORS)
def test_what_is_left_is_what_transformers_leaves(name: str, kind: str) -> None:
    settings, processors = PROCESSORS[name]
    ids = torch.randint(V, (B, 9), generator=torch.Generator().manual_seed(4))
    seen = F.one_hot(ids, V).sum(1) > 0
    expected = LogitsProcessorList(processors)(ids, logits(kind))
    given = Sampling(**{"temperature": 1.0, **settings}).filtered(logits(kind), seen)
    torch.testing.assert_close(given, expected, rtol=0, atol=0)


def test_the_order_matters_and_is_that_of_transformers() -> None:
    """After top-k 0.55 of what is left is one token; before it, it would be two."""
    row = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    left = Sampling(temperature=1.0, top_k=2, top_p=0.55).filtered(row).isfinite()
    assert left.tolist() == [[True, False, False, False]]
    cold = Sampling(temperature=0.25, min_p=0.5).filtered(row).isfinite()
    assert cold.tolist() == [
        [True, False, False, False]
    ]  # after the temperature; before it the second would stay


def test_greedy_takes_the_first_of_equals_after_the_penalty() -> None:
    row = torch.tensor([[1.0, 3.0, 3.0, -2.0]])
    assert Sampling().choose(row).tolist() == [1]
    seen = torch.tensor([[False, True, True, False]])
    assert Sampling(repetition_penalty=4.0).choose(row, None, seen).tolist() == [0]


def test_draws_follow_the_distribution() -> None:
    probability = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05])
    rows = 4000
    drawn = Sampling(temperature=1.0).choose(probability.log().expand(rows, -1), Draws(range(rows)))
    share = F.one_hot(drawn, 5).double().mean(0)
    assert share[1] == 0
    torch.testing.assert_close(share, probability.double(), rtol=0, atol=5 * math.sqrt(0.25 / rows))


def test_one_seed_draws_evenly_over_time() -> None:
    draws, sampling = Draws([7]), Sampling(temperature=1.0)
    drawn = torch.cat([sampling.choose(torch.zeros(1, 4), draws) for _ in range(2000)])
    share = F.one_hot(drawn, 4).double().mean(0)
    torch.testing.assert_close(share, torch.full((4,), 0.25).double(), rtol=0, atol=0.05)


def test_a_row_draws_the_same_whoever_is_beside_it() -> None:
    rows = logits("random")
    sampling = Sampling(temperature=1.5)
    together = Draws([row_seed(5, row) for row in range(B)])
    alone = Draws([row_seed(5, 2)])
    for _ in range(6):
        assert sampling.choose(rows, together)[2] == sampling.choose(rows[2:3], alone)[0]


def test_rows_and_seeds_share_no_draws() -> None:
    seeds = [row_seed(seed, row) for seed in range(4) for row in range(4)]
    assert len(set(seeds)) == 16 and row_seed(3, 0) == 3


def test_what_may_not_be_drawn_never_is_at_the_ends_of_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    row = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]])
    for number, expected in ((0.0, 1), (1 - 2**-53, 3)):
        draws = Draws([0])
        monkeypatch.setattr(draws, "uniform_B1", lambda device, n=number: torch.tensor([[n]]).double())
        assert Sampling(temperature=1.0).choose(row, draws).tolist() == [expected]


@pytest.mark.parametrize("temperature", [1e-30, 1e-38, 1e-45, 1e-310])
def test_however_cold_the_likeliest_is_drawn(temperature: float) -> None:
    row = torch.tensor([[20.0, 10.0, 0.0, -10.0], [-10.0, 0.0, 30.0, 20.0]])
    assert Sampling(temperature=temperature).choose(row, Draws([0, 1])).tolist() == [0, 2]


def test_logits_that_are_no_numbers_give_some_token() -> None:
    token = Sampling(temperature=1.0).choose(torch.full((1, V), math.nan), Draws([0]))
    assert 0 <= token.item() < V


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.5),
        ("temperature", math.nan),
        ("top_k", 0),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", math.inf),
    ],
)
def test_impossible_settings_are_refused(name: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"{name}.*{value}"):
        Sampling(**{name: value})
