import dataclasses

import pytest

from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.count import num_params, params_at_any_depth
from paribus.study import memory
from paribus.train.config import TrainConfig
from paribus.train.ranks import Ranks

MODEL = ModelConfig(vocab_size=257, d_model=64, d_ff=256, num_layers=2, num_heads=2)


def test_parameters_count_with_their_state() -> None:
    wide = dataclasses.replace(MODEL, d_model=1024, d_ff=4096, num_layers=8)
    params = 8 * (4 * 1024**2 + 3 * 1024 * 4096)
    assert memory.trial_bytes(wide, TrainConfig()) > 16 * params


def test_a_deep_stack_is_estimated_without_building_it() -> None:
    deep = dataclasses.replace(MODEL, num_layers=10**9)
    assert memory.trial_bytes(deep, TrainConfig()) > 10**13


@pytest.mark.parametrize(
    "model",
    [
        dataclasses.replace(MODEL, d_model=2**20, head_dim=None),
        dataclasses.replace(MODEL, num_layers=10**8),
        dataclasses.replace(MODEL, d_ff=10**9),
    ],
)
def test_what_cannot_fit_is_refused_before_allocation(model: ModelConfig) -> None:
    with pytest.raises(RequestError, match=r"needs about [\d,.]+ GiB"):
        memory.workers_that_fit(model, TrainConfig(), wanted=1)


def test_a_huge_batch_is_refused() -> None:
    with pytest.raises(RequestError, match="train.batch_size"):
        memory.workers_that_fit(MODEL, TrainConfig(tokens=10**12, batch_size=10**8), wanted=1)


def test_workers_are_fewer_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    need = memory.trial_bytes(MODEL, TrainConfig())
    monkeypatch.setattr(memory, "machine_bytes", lambda: int(2.5 * need))
    assert memory.workers_that_fit(MODEL, TrainConfig(), wanted=8) == 2


def test_processes_that_train_together_share_parameters_and_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    eight = Ranks(size=8, local_size=4)
    wide = dataclasses.replace(MODEL, d_model=512, d_ff=2048, num_layers=12)
    train = TrainConfig(batch_size=64, seq_len=512, tokens=10**6)
    alone, each = memory.trial_bytes(wide, train), memory.trial_bytes(wide, train, ranks=eight)
    process = 700 * 2**20
    params = num_params(wide)
    assert (alone - process) / 8 + 3 * params < each - process < (alone - process) / 6 + 3 * params
    monkeypatch.setattr(memory, "machine_bytes", lambda: 4 * each)
    memory.check_fits(wide, train, ranks=eight)
    monkeypatch.setattr(memory, "machine_bytes", lambda: 4 * each - 4)
    with pytest.raises(RequestError, match="GiB"):
        memory.check_fits(wide, train, ranks=eight)


def test_each_rank_needs_room_for_weights_that_it_reads_whole() -> None:
    wide = dataclasses.replace(MODEL, d_model=512, d_ff=2048, num_layers=12)
    params, train = num_params(wide), TrainConfig(batch_size=64, seq_len=64, tokens=10**6)
    for size, more in ((1, 0.0), (64, 4 + (4 - 18) / 64)):
        drawn, read = (
            memory.trial_bytes(wide, train, ranks=Ranks(size=size, local_size=size), from_weights=given)
            for given in (False, True)
        )
        assert read - drawn == pytest.approx(more * params, abs=2)


def test_logits_of_a_large_vocabulary_are_counted_in_the_parts_that_exist_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large, train = dataclasses.replace(MODEL, vocab_size=2**17), TrainConfig(batch_size=256, seq_len=128)
    logits = 2**17 * train.tokens_per_step * 2  # bytes in bfloat16, or more
    monkeypatch.setattr(memory, "machine_bytes", lambda: 2**50)
    few = memory.trial_bytes(large, train)
    monkeypatch.setattr(memory, "machine_bytes", lambda: 2**30)
    many = memory.trial_bytes(large, train)
    assert few - many > 0.9 * 2 * logits / 8
    assert many > 2**17 * 64 * 6  # the gradient of the head, with the share of a part


@pytest.mark.parametrize(
    "given",
    [{"d_model": 10**12}, {"head_dim": 10**18}, {"d_ff": 10**13}, {"num_heads": 10**15, "head_dim": 1}],
)
def test_absurd_shapes_are_refused_by_arithmetic_alone(given: dict[str, int]) -> None:
    section = {"d_model": 64, "num_heads": 2, "head_dim": None, "d_ff": None}
    memory.check_shape(section)
    with pytest.raises(RequestError, match="GiB"):
        memory.check_shape(section | given)


def test_long_windows_do_not_pay_for_scores_that_the_fused_kernel_never_keeps() -> None:
    short, long = (
        memory.trial_bytes(MODEL, TrainConfig(tokens=10**6, batch_size=2**16 // length, seq_len=length))
        for length in (256, 4096)
    )
    assert long < short


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": {"name": "mha", "softcap": 30.0}},
        {"attention": ["mha", {"name": "mha", "sinks": True}]},
        {"position": "shaw"},
    ],
)
def test_layers_that_only_the_plain_backend_computes_pay_for_their_scores(changes: dict[str, object]) -> None:
    train = TrainConfig(tokens=10**6, batch_size=16, seq_len=4096)
    plain = memory.trial_bytes(dataclasses.replace(MODEL, **changes), train)
    assert plain > memory.trial_bytes(MODEL, train) + 16 * 4096 * 2 * 2 * 4096 * 4


@pytest.mark.parametrize(
    "changes",
    [
        {"num_layers": 5},
        {"num_layers": 6, "ffn": ["relu", "swiglu", "gelu"], "attention": ["mha", "mqa"]},
        {"num_layers": 4, "architecture": "encoder"},
        {"num_layers": 3, "architecture": "encoder_decoder", "encoder_layers": 7},
        {"num_layers": 4, "architecture": "encoder_decoder", "encoder_layers": 2, "ffn": ["relu", "swiglu"]},
    ],
)
def test_parameters_at_any_depth_are_those_of_the_built_model(changes: dict[str, object]) -> None:
    model = dataclasses.replace(MODEL, **changes)
    assert params_at_any_depth(model) == num_params(model)
