import pytest

from paribus.errors import RequestError
from paribus.train.config import TrainConfig


def test_steps_are_whole_steps_within_the_tokens() -> None:
    config = TrainConfig(tokens=1000, batch_size=4, seq_len=16)
    assert (config.tokens_per_step, config.steps) == (64, 15)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("tokens", 0, "train.tokens must be at least 1"),
        ("batch_size", -1, "train.batch_size must be at least 1"),
        ("tokens", 100, "under two steps"),
        ("warmup", 1.0, "train.warmup"),
        ("weight_decay", -0.1, "train.weight_decay"),
        ("beta2", 1.0, "train.beta2"),
        ("clip", -1.0, "train.clip"),
        ("init_scheme", "normal_002", "normal_0.02"),
    ],
)
def test_impossible_settings_are_refused_by_name(field: str, value: object, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        TrainConfig(**{field: value})
