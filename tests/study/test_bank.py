"""Studies drawn from a bank of real losses: reading it, parting its seeds, and honest intervals."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy import stats

from paribus.errors import RequestError
from paribus.study.calibration import bank as banks
from paribus.study.calibration.bank import Bank, noise, read_bank, resample, share, studies_in
from paribus.study.calibration.parallel import Processes
from paribus.study.calibration.simulation import Setting, draw

RATES = (1.5e-3, 3e-3, 6e-3)
SHIFT = {"relu": 0.0, "placebo": 0.0, "handicap": 0.5, "handicap_95": 0.1}


def rows_of(seeds=20, *, shift=None, sd=0.02, valley=(0.2, 0.0, 0.3)):
    """Trials as `results.json` has them."""
    rng = np.random.default_rng(0)
    return [
        {
            "arm": arm,
            "seed": seed,
            "lr": lr,
            "status": "done",
            "val_bpb": 2.9 + rise + moved + sd * rng.standard_normal(),
        }
        for arm, moved in (SHIFT | (shift or {})).items()
        for lr, rise in zip(RATES, valley, strict=True)
        for seed in range(seeds)
    ]


def write(folder, rows, **more):
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"baseline": "relu", "trials": rows} | more))
    return folder


def made(tmp_path, **options):
    return read_bank(write(tmp_path / "bank", rows_of(**options)))


def resampled(bank, monkeypatch, *, workers=1):
    monkeypatch.setattr(banks, "PARTITIONS", 20)
    with Processes(workers) as processes:
        return resample(bank, seed=0, processes=processes)


# -- reading


def test_losses_are_those_of_the_trials_by_rate_and_seed(tmp_path):
    rows = rows_of()
    bank = read_bank(write(tmp_path / "bank", rows[::-1]))
    assert (bank.baseline, bank.rates, bank.seeds, bank.folder) == ("relu", RATES, 20, "bank")
    assert set(bank.names) == set(SHIFT)
    for row in rows:
        assert bank.losses[row["arm"]][RATES.index(row["lr"]), row["seed"]] == row["val_bpb"]


def test_a_diverged_trial_is_infinite_and_a_failed_or_missing_one_unknown(tmp_path):
    rows = rows_of()
    rows[0] |= {"status": "diverged", "val_bpb": None}
    rows[1] |= {"status": "failed", "val_bpb": None}
    del rows[2]
    losses = read_bank(write(tmp_path / "bank", rows)).losses["relu"][0]
    assert losses[0] == math.inf and np.isnan(losses[1:3]).all() and np.isfinite(losses[3:]).all()


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [row for row in rows_of() if row["arm"] != "placebo"],
            "no trials of placebo; it has relu, handicap",
        ),
        ([row for row in rows_of() if row["arm"] != "handicap"], "no trials of handicap"),
        ([], "no trials of relu; it has none"),
        (rows_of(9), "has 9 seeds; at least 10 are needed"),
        (rows_of() + rows_of()[:1], "two trials of one arm, rate and seed"),
        ([{"arm": "relu"}], "is not the results of a study"),
        ([rows_of()[0] | {"status": "lost"}], "is not the results of a study"),
        ([rows_of()[0] | {"val_bpb": None}], "is not the results of a study"),
        (None, "is not the results of a study"),
    ],
)
def test_a_folder_that_is_no_bank_is_explained(tmp_path, rows, sentence):
    with pytest.raises(RequestError, match=sentence) as error:
        read_bank(write(tmp_path / "bank", rows))
    assert "\n" not in str(error.value)


def test_a_folder_without_results_is_explained(tmp_path):
    with pytest.raises(RequestError, match="bank is not there; a bank is the folder of a finished study"):
        read_bank(tmp_path / "bank")
    with pytest.raises(RequestError, match="holds no results.json"):
        read_bank(tmp_path)
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(RequestError, match="is not the results of a study"):
        read_bank(tmp_path)
    (tmp_path / "results.json").write_bytes(b"\xff{")
    with pytest.raises(RequestError, match="is not the results of a study"):
        read_bank(tmp_path)


# -- drawing studies


def test_the_studies_of_a_partition_are_disjoint_and_use_every_seed(tmp_path):
    job = banks._Job(bank=made(tmp_path), size=4, seed=0, number=0, partitions=3)
    members, words = job.run()
    assert members.shape == (15, 4) and words.shape == (15, 4)
    for partition in members.reshape(3, 20):
        assert sorted(partition) == list(range(20))
    assert len({tuple(partition) for partition in members.reshape(3, 20)}) == 3
    assert (members != dataclasses.replace(job, number=1).run()[0]).any()


def test_a_clear_handicap_is_always_found_and_the_interval_is_that_of_the_disjoint_studies(
    tmp_path, monkeypatch
):
    bank = made(tmp_path)
    found = resampled(bank, monkeypatch)
    assert [size["seeds"] for size in found["sizes"]] == [4, 8, 10]
    assert [size["studies"] for size in found["sizes"]] == [100, 40, 40] and studies_in(bank) == 180
    for size in found["sizes"]:
        (handicap,) = [row for row in size["found"] if row["arm"] == "handicap"]
        assert handicap["rate"] == 1.0 and size["false"]["rate"] < 0.1 and size["withheld"] == 0
        # Five disjoint studies of 4 seeds; larger ones find no less.
        assert handicap["ci95"] == pytest.approx([stats.binomtest(5, 5).proportion_ci(method="exact").low, 1])
        assert [row["arm"] for row in size["found"]] == ["handicap", "handicap_95"]


def test_a_placebo_that_differs_is_false_in_every_study(tmp_path, monkeypatch):
    found = resampled(made(tmp_path, shift={"placebo": 0.5}), monkeypatch)
    assert [size["false"]["rate"] for size in found["sizes"]] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("shift", "rate"), [({"handicap": -0.5}, 0.0), ({"handicap_95": -0.5}, 1.0)])
def test_the_handicap_must_be_worse_and_another_arm_have_the_sign_of_the_whole_bank(
    tmp_path, monkeypatch, shift, rate
):
    found = resampled(made(tmp_path, shift=shift), monkeypatch)
    (arm,) = shift
    (row,) = [row for row in found["sizes"][0]["found"] if row["arm"] == arm]
    assert row["rate"] == rate


def test_a_best_rate_at_an_end_of_the_grid_is_no_verdict(tmp_path, monkeypatch):
    found = resampled(made(tmp_path, valley=(0.0, 0.1, 0.3)), monkeypatch)
    assert [size["withheld"] for size in found["sizes"]] == [1.0, 1.0, 1.0]
    assert found["sizes"][0]["found"][0]["rate"] == 0.0 and found["noise"] is None


def test_a_handicap_that_diverged_was_not_found(tmp_path, monkeypatch):
    rows = [
        row | ({"status": "diverged", "val_bpb": None} if row["arm"] == "handicap" else {})
        for row in rows_of()
    ]
    found = resampled(read_bank(write(tmp_path / "bank", rows)), monkeypatch)
    assert found["sizes"][0]["found"][0]["rate"] == 0.0 and found["noise"] is None


def test_numbers_do_not_depend_on_the_number_of_processes(tmp_path, monkeypatch):
    bank = made(tmp_path, shift={"handicap": 0.03, "placebo": 0.01})
    one, two = (resampled(bank, monkeypatch, workers=workers) for workers in (1, 2))
    assert one == two
    assert 0 < one["sizes"][0]["found"][0]["rate"] < 1
    json.dumps(one, allow_nan=False)


def test_shares_of_tokens_are_those_of_the_study(tmp_path, monkeypatch):
    tokens = {"arms": [{"name": "relu", "tokens": 400}], "controls": [{"name": "handicap", "tokens": 300}]}
    bank = read_bank(write(tmp_path / "bank", rows_of(), **tokens))
    shares = {row["arm"]: row["tokens"] for row in resampled(bank, monkeypatch)["differences"]}
    assert shares == {"placebo": None, "handicap": 0.75, "handicap_95": None}


# -- intervals


def test_disjoint_studies_alone_count_as_what_they_are():
    members = np.arange(400).reshape(100, 4)
    happened = np.arange(100) < 30
    row = share(happened, members, 400)
    assert (row["count"], row["rate"]) == (30, 0.3)
    assert row["effective_studies"] == pytest.approx(100, rel=0.02)
    expected = stats.binomtest(30, 100).proportion_ci(method="exact")
    assert row["ci95"] == pytest.approx([expected.low, expected.high], abs=0.003)


def test_studies_that_share_seeds_count_for_less_than_they_are():
    """Every study of the first ten seeds found it and no other: one fact, however often it is drawn."""
    rng = np.random.default_rng(0)
    members = np.concatenate([rng.permutation(40).reshape(4, 10) for _ in range(200)])
    happened = (members == 0).any(axis=1)  # a quarter of them: those that hold one seed
    row = share(happened, members, 40)
    assert row["rate"] == 0.25 and row["effective_studies"] == 4
    assert row["ci95"][0] < 0.05 and row["ci95"][1] > 0.7


def test_intervals_hold_the_truth_in_null_banks():
    """In 40 banks the drawn rate is wrong by more than its interval says in few of them."""
    rng, held, rates = np.random.default_rng(1), 0, []
    for _ in range(40):
        values = rng.standard_normal(40)
        members = np.concatenate([rng.permutation(40).reshape(10, 4) for _ in range(50)])
        happened = np.abs(values[members].mean(axis=1)) > 0.5  # of a normal of sd 1/2: 31.7 %
        row = share(happened, members, 40)
        rates.append(row["rate"])
        held += row["ci95"][0] <= 0.3173 <= row["ci95"][1]
    assert held >= 36 and np.mean(rates) == pytest.approx(0.3173, abs=0.06)


# -- what the noise is like


def test_noise_is_described_as_it_was_drawn():
    setting = Setting(
        name="x",
        about="",
        truth={"placebo": 0.0, "handicap": 6.0},
        looks=((2000, 0.05),),
        depth=(3.0, 3.0),
        place=(0.0, 0.0),
        correlation=0.6,
    )
    tables = draw(setting, np.random.default_rng(0))[:, 3:8] * 0.02
    bank = Bank(
        folder="x",
        baseline="baseline",
        rates=(1.0, 2.0, 4.0, 8.0, 16.0),
        losses=dict(zip(setting.names, tables, strict=True)),
        about={"tokens": {}},
    )
    found = noise(bank)
    assert found["sd"] == pytest.approx(0.02, rel=0.05)
    assert found["block"] == pytest.approx(0.5, abs=0.08)
    assert found["correlation"] == pytest.approx(0.6, abs=0.05)
    assert found["rise"] == pytest.approx([3, 3], abs=0.15)
    with_gap = dataclasses.replace(bank, losses={**bank.losses, "placebo": np.full((5, 2000), np.nan)})
    assert noise(with_gap) is None
