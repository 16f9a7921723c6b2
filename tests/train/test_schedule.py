import pytest

from paribus.train.schedule import rate_at


def test_rate_rises_to_the_peak_and_falls_to_zero() -> None:
    rates = [rate_at(step, steps=10, warmup=0.2) for step in range(10)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


def test_the_step_after_the_last_would_have_rate_zero() -> None:
    assert rate_at(100, steps=100, warmup=0.1) == 0


def test_without_warmup_the_first_step_has_the_peak_rate() -> None:
    assert rate_at(0, steps=7, warmup=0.0) == 1


@pytest.mark.parametrize("steps", [2, 3, 10, 391, 10_000])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 0.99])
def test_every_step_has_a_positive_rate_of_at_most_one(steps: int, warmup: float) -> None:
    rates = [rate_at(step, steps=steps, warmup=warmup) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)


@pytest.mark.parametrize(
    ("warmup", "steps", "last"), [(0.07, 100, 7), (0.14, 50, 7), (0.17, 300, 51), (0.15, 10, 2)]
)
def test_the_peak_is_reached_after_the_share_of_steps_and_no_later(
    warmup: float, steps: int, last: int
) -> None:
    rates = [rate_at(step, steps=steps, warmup=warmup) for step in range(steps)]
    assert rates.index(1.0) == last - 1
