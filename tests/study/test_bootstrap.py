"""The two-way bootstrap against cases small enough to enumerate, its seeds for blocks, and its coverage."""

import math

import numpy as np
import pytest

from paribus.study.verdicts import score
from paribus.study.verdicts.bootstrap import bootstrap

RATES = np.array([1.5e-3, 3e-3, 6e-3])
LN2 = math.log(2)


def one_rate(base, arm, num_bytes, **options):
    """Tables [seeds, documents] of bits as nats at a single rate."""
    nats = {"relu": LN2 * np.array([base], float), "gelu": LN2 * np.array([arm], float)}
    return bootstrap(nats, num_bytes, rates=[1e-3], baseline="relu", **options)["gelu"]


def valleys(rng, *, seeds, documents, shift=-0.1, own=0.02, by_document=0.01, rest=0.02):
    """Two arms, three rates: what is common to both, what an arm makes of a seed, of a document, of neither."""
    num_bytes = rng.integers(200, 1000, documents).astype(float)
    common = 0.3 * rng.standard_normal(documents) + 0.02 * rng.standard_normal((seeds, 1))
    nats = {}
    for name, level in (("relu", 2.9), ("swiglu", 2.9 + shift)):
        luck = rng.standard_normal((1, seeds, 1)) + rng.standard_normal((3, seeds, 1))
        bits = level + np.array([0.1, 0.0, 0.08])[:, None, None] + common + own / math.sqrt(2) * luck
        bits += by_document * rng.standard_normal(documents)
        bits += rest * rng.standard_normal((3, seeds, documents))
        nats[name] = bits * num_bytes * LN2
    return nats, num_bytes


# -- by hand


def test_one_seed_and_one_document_leave_nothing_to_chance():
    assert one_rate([[30.0]], [[20.0]], [10]) == pytest.approx((-1, -1, -1))


def test_documents_are_drawn_and_weigh_by_their_bytes():
    # Differences 1 bit a byte on 10 bytes and 0 on 30: 0.25 in all. Two draws of two documents give 1, 0.25 and 0
    # with chances 1/4, 1/2 and 1/4, so the 2.5 % and 97.5 % points are 0 and 1.
    assert one_rate([[0.0, 0.0]], [[10.0, 0.0]], [10, 30]) == pytest.approx((0.25, 0.0, 1.0))


def test_seeds_are_drawn():
    # One document of 10 bytes; differences 0, 0, 0, 4: mean 1, and the mean of four draws is the number of
    # draws of the last: binomial (4, 1/4), whose 2.5 % and 97.5 % points are 0 and 3.
    assert one_rate(np.zeros((4, 1)), [[0], [0], [0], [40]], [10]) == pytest.approx((1.0, 0.0, 3.0))


def test_seeds_and_documents_are_drawn_independently():
    # Only the first of two seeds on the first of two documents differs, by 4 bits a byte there: 1 in all. The
    # difference is draws of that seed (0, 1, 2) times draws of that document (0, 1, 2): 4 with chance 1/16.
    nats = {"relu": np.zeros((1, 2, 2)), "gelu": LN2 * np.array([[[40.0, 0], [0, 0]]])}
    result = bootstrap(nats, [10, 10], rates=[1e-3], baseline="relu", replicates=4000)["gelu"]
    assert result == pytest.approx((1.0, 0.0, 4.0))


def test_what_a_seed_or_a_document_does_to_every_arm_alike_cancels():
    rng = np.random.default_rng(0)
    block = 100 * rng.standard_normal((5, 1)) + 100 * rng.standard_normal(7)
    assert one_rate(block, block + 10, np.full(7, 10)) == pytest.approx((1, 1, 1))


def test_a_replicate_goes_through_the_same_three_rates_as_the_sample():
    nats, num_bytes = valleys(np.random.default_rng(1), seeds=4, documents=1, rest=0)
    mean, low, high = bootstrap(nats, num_bytes, rates=RATES, baseline="relu", replicates=500)["swiglu"]
    bits = {name: table[:, :, 0] / num_bytes / LN2 for name, table in nats.items()}
    theta = {name: score.optimum(RATES, table.mean(axis=1)).value for name, table in bits.items()}
    assert mean == pytest.approx(theta["swiglu"] - theta["relu"])
    drawn = np.random.default_rng(0).integers(4, size=(20_000, 4))  # another generator, the same chances
    scores = [
        score.vertex(np.log(RATES), np.moveaxis(bits[n][:, drawn].mean(axis=2), 0, -1))[0]
        for n in ("swiglu", "relu")
    ]
    assert (low, high) == pytest.approx(np.quantile(scores[0] - scores[1], [0.025, 0.975]), abs=0.004)


# -- what it does with incomplete tables


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_a_rate_that_was_lost_counts_as_higher_and_leaves_the_grid_value(lost):
    nats, num_bytes = valleys(np.random.default_rng(2), seeds=4, documents=9)
    nats["swiglu"][2, 1, 3] = lost
    mean, low, high = bootstrap(nats, num_bytes, rates=RATES, baseline="relu")["swiglu"]
    relu = score.optimum(RATES, nats["relu"].sum(axis=(1, 2)) / (4 * num_bytes.sum() * LN2)).value
    assert mean == pytest.approx(nats["swiglu"][1].sum() / (4 * num_bytes.sum() * LN2) - relu)
    assert low < mean < high


def test_an_arm_without_a_rate_is_left_out_and_without_a_baseline_there_is_nothing():
    nats, num_bytes = valleys(np.random.default_rng(3), seeds=4, documents=9)
    nats["gelu"] = np.full((3, 4, 9), np.nan)
    assert list(bootstrap(nats, num_bytes, rates=RATES, baseline="relu")) == ["swiglu"]
    assert bootstrap(nats, num_bytes, rates=RATES, baseline="gelu") == {}


def test_a_document_without_scored_bytes_changes_nothing():
    nats, num_bytes = valleys(np.random.default_rng(4), seeds=4, documents=9)
    wider = {name: np.concatenate([table, np.zeros((3, 4, 1))], axis=2) for name, table in nats.items()}
    expected = bootstrap(nats, num_bytes, rates=RATES, baseline="relu")
    assert bootstrap(wider, [*num_bytes, 0], rates=RATES, baseline="relu") == expected


def test_the_same_seed_gives_the_same_interval_and_chunks_do_not_show(monkeypatch):
    nats, num_bytes = valleys(np.random.default_rng(5), seeds=4, documents=9)
    first = bootstrap(nats, num_bytes, rates=RATES, baseline="relu")
    monkeypatch.setattr("paribus.study.verdicts.bootstrap._AT_ONCE", 100)
    assert bootstrap(nats, num_bytes, rates=RATES, baseline="relu")["swiglu"] == pytest.approx(
        first["swiglu"]
    )
    assert bootstrap(nats, num_bytes, rates=RATES, baseline="relu", seed=1) != first


@pytest.mark.parametrize(
    "change, options, sentence",
    [
        ({}, {"baseline": "rleu"}, "did you mean relu"),
        ({"gelu": np.ones((3, 2, 9))}, {}, r"nats of gelu have shape \(3, 2, 9\)"),
        ({}, {"num_bytes": np.ones(8)}, "nats of relu"),
        ({}, {"num_bytes": np.zeros(9)}, "no document has scored bytes"),
        ({}, {"rates": [1e-3]}, "nats of relu"),
    ],
)
def test_a_wrong_request_is_explained(change, options, sentence):
    nats, num_bytes = valleys(np.random.default_rng(6), seeds=4, documents=9)
    options = {"num_bytes": num_bytes, "rates": RATES, "baseline": "relu"} | options
    with pytest.raises(ValueError, match=sentence):
        bootstrap(nats | change, **options)


# -- by simulation


def coverage(studies, *, seeds, **sizes):
    rng, held = np.random.default_rng(1), 0
    for n in range(studies):
        nats, num_bytes = valleys(rng, seeds=seeds, documents=60, **sizes)
        _, low, high = bootstrap(nats, num_bytes, rates=RATES, baseline="relu", replicates=400, seed=n)[
            "swiglu"
        ]
        held += low <= -0.1 <= high
    return held / studies


@pytest.mark.slow
@pytest.mark.parametrize("seeds, published", [(4, 0.83), (8, 0.89), (16, 0.92)])
def test_coverage_where_seeds_differ_most_is_the_published_one(seeds, published):
    assert coverage(400, seeds=seeds) == pytest.approx(published, abs=0.04)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [4, 8, 16])
def test_coverage_where_documents_differ_most_is_near_ninety_five_percent(seeds):
    held = coverage(400, seeds=seeds, own=0.005, by_document=0.1)
    assert held == pytest.approx(0.94, abs=0.03)
