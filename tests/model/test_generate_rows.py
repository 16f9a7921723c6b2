"""Rows of a batch go on as each would alone, step by step, each to its own end, and the model is left alone."""

from typing import Any

import pytest
import torch

from paribus.errors import RequestError
from paribus.model.generate import generate, steps
from paribus.model.sampling import row_seed

from .conftest import MakeConfig
from .generating import POSITIONS, PROBABILITIES, Fixed, argmax_loop, ids, model_of

PROMPTS = [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3, 5, 8, 9, 7]]


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("attention", ["mha", [{"name": "mha", "window": 3}, "mha"]], ids=["whole", "window"])
def test_rows_of_different_lengths_go_on_as_each_does_alone(
    make_config: MakeConfig, position: str, attention: Any, copies: bool
) -> None:
    model = model_of(make_config, position=position, attention=attention).double()
    settings: Any = {"max_new_tokens": 12, "dtype": torch.float64, "copies": copies}
    rows = generate(model, PROMPTS, **settings)
    for row, prompt in zip(rows, PROMPTS, strict=True):
        assert torch.equal(row, generate(model, torch.tensor([prompt]), **settings)[0])
        assert row[: len(prompt)].tolist() == prompt


@pytest.mark.parametrize("settings", [{}, {"top_k": 5, "repetition_penalty": 1.5}, {"window": 6}], ids=str)
def test_drawn_rows_are_each_what_it_is_alone(make_config: MakeConfig, settings: dict[str, Any]) -> None:
    """With the draws of its own seed, and a penalty on its own tokens, none of them padding."""
    model = model_of(make_config).double()
    settings = {"max_new_tokens": 12, "temperature": 1.5, "dtype": torch.float64, **settings}
    rows = generate(model, PROMPTS, seed=8, **settings)
    for number, (row, prompt) in enumerate(zip(rows, PROMPTS, strict=True)):
        assert torch.equal(row, generate(model, [prompt], seed=row_seed(8, number), **settings)[0])
    again = generate(model, PROMPTS[::-1], seed=[row_seed(8, number) for number in (2, 1, 0)], **settings)
    assert all(torch.equal(one, other) for one, other in zip(rows, again[::-1], strict=True))


def test_sources_of_different_lengths_are_each_read_as_alone(make_config: MakeConfig) -> None:
    model = model_of(make_config, architecture="encoder_decoder").double()
    source, valid = ids(6), torch.arange(6) < torch.tensor([[6], [4]])
    settings: Any = {"max_new_tokens": 8, "dtype": torch.float64}
    rows = generate(model, [[1], [2, 3]], source_BS=source, source_valid_BS=valid, **settings)
    for row, prompt, length in zip(rows, [[1], [2, 3]], (6, 4), strict=True):
        own = source[len(prompt) - 1 : len(prompt), :length]
        assert torch.equal(row, generate(model, [prompt], source_BS=own, **settings)[0])


def test_every_row_has_a_prompt_and_a_seed(make_config: MakeConfig) -> None:
    model = model_of(make_config)
    for prompts in ([], [[1], []], [torch.ones(2, 2, dtype=torch.long)]):
        with pytest.raises(RequestError, match="at least one token"):
            generate(model, prompts, max_new_tokens=1)
    with pytest.raises(RequestError, match="2 for 3 rows"):
        generate(model, PROMPTS, max_new_tokens=1, seed=[1, 2])
    with pytest.raises(RequestError, match="64 bits; it is 18446744073709551616"):
        generate(model, PROMPTS, max_new_tokens=1, temperature=1.0, seed=2**64)
    for prompts in ([[1], [3, 13]], [[-1]]):
        with pytest.raises(RequestError, match="13 tokens, 0 to 12"):
            generate(model, prompts, max_new_tokens=1)
    with pytest.raises(RequestError, match="one length"):
        generate(model, PROMPTS, max_new_tokens=1, window=8, sinks=1)
    with pytest.raises(RequestError, match="larger window"):
        steps(model, ids(), max_new_tokens=1, sinks=1)  # at once, not with the first step


def test_a_row_that_has_stopped_is_filled_up_with_the_stop(make_config: MakeConfig) -> None:
    model = model_of(make_config)
    free = generate(model, ids(batch=4), max_new_tokens=10)
    stop = free[0, 5].item()
    text = generate(model, ids(batch=4), max_new_tokens=10, stop=stop)
    for row, whole in zip(text.tolist(), free.tolist(), strict=True):
        end = whole.index(stop, 3) + 1 if stop in whole[3:] else 13
        assert row == (whole[:end] + [stop] * 13)[: len(row)]


def test_generation_ends_once_every_row_has_stopped(make_config: MakeConfig) -> None:
    model = Fixed(make_config(vocab_size=6), PROBABILITIES)
    assert generate(model, ids() % 6, max_new_tokens=10, stop=0).shape == (2, 4)
    assert generate(model, ids() % 6, max_new_tokens=10, stop=1).shape == (2, 13)


def test_a_stop_in_the_prompt_stops_nothing(make_config: MakeConfig) -> None:
    model = Fixed(make_config(vocab_size=6), PROBABILITIES)
    prompt = torch.ones(2, 3, dtype=torch.long)
    assert generate(model, prompt, max_new_tokens=4, stop=1).shape == (2, 7)


def test_a_row_ends_where_it_is_told_to(make_config: MakeConfig) -> None:
    asked: list[tuple[int, int]] = []

    def ends(row: int, token: int) -> bool:
        asked.append((row, token))
        return row == 0 or len(asked) == 6

    model = model_of(make_config)
    free = generate(model, ids(), max_new_tokens=10)[:, 3:].tolist()
    made = list(steps(model, ids(), max_new_tokens=10, ends=ends))
    assert asked == [(0, free[0][0]), *((1, token) for token in free[1][:5])]
    assert len(made) == 5 and made[0].ended_B.tolist() == [True, False]


def test_steps_are_the_tokens_of_generate(make_config: MakeConfig) -> None:
    model = model_of(make_config)
    free = generate(model, ids(batch=4), max_new_tokens=10)
    stop = [free[0, 5].item(), free[1, 4].item()]
    made = list(steps(model, ids(batch=4), max_new_tokens=10, stop=stop))
    text = generate(model, ids(batch=4), max_new_tokens=10, stop=stop)
    assert torch.equal(torch.stack([step.token_B for step in made], 1), text[:, 3:])
    ended = torch.zeros(4, dtype=torch.bool)
    for step in made:
        assert torch.equal(step.live_B, ~ended)
        assert torch.equal(step.ended_B, ended | torch.isin(step.token_B, torch.tensor(stop)))
        ended = step.ended_B
    rows = generate(model, list(ids(batch=4)), max_new_tokens=10, stop=stop)
    for row, whole in zip(rows, free[:, 3:].tolist(), strict=True):
        ends = [whole.index(token) + 1 for token in stop if token in whole]
        assert row[3:].tolist() == whole[: min(ends, default=10)]


def test_two_streams_of_one_model_do_not_mix(make_config: MakeConfig) -> None:
    model = model_of(make_config)
    streams = [steps(model, ids(length), max_new_tokens=8) for length in (3, 5)]
    made = [[one.token_B for one in both] for both in zip(*streams, strict=True)]
    for number, length in enumerate((3, 5)):
        text = torch.stack([both[number] for both in made], 1)
        assert torch.equal(text, generate(model, ids(length), max_new_tokens=8)[:, length:])


def test_steps_leave_the_caller_and_the_model_alone(make_config: MakeConfig) -> None:
    model = model_of(make_config, norm="batchnorm").train()
    stream = steps(model, ids(), max_new_tokens=9)
    for _ in range(3):
        step = next(stream)
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        assert not step.token_B.is_inference() and all(module.training for module in model.modules())
    stream.close()
    assert all(module.training for module in model.modules())
    model(torch.cat((ids(), step.token_B[:, None]), 1)).sum().backward()


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_its_mode_and_scores_meanwhile(make_config: MakeConfig, training: bool) -> None:
    """BatchNorm's running statistics neither change nor are passed over."""
    model = model_of(make_config, norm="batchnorm").train(training)
    buffers = {name: tensor.clone() for name, tensor in model.named_buffers()}
    text = generate(model, ids(), max_new_tokens=5)
    assert model.training == training and all(m.training == training for m in model.modules())
    assert all(torch.equal(buffers[name], tensor) for name, tensor in model.named_buffers())
    assert torch.equal(text, argmax_loop(model.eval(), ids(), 5))


def test_the_mode_is_put_back_after_a_failure(make_config: MakeConfig) -> None:
    model = model_of(make_config, position="learned", max_seq_len=5).train()
    with pytest.raises(RequestError):
        generate(model, ids(4), max_new_tokens=8)
    assert model.training
