"""Generation: greedy is the argmax of the whole text, draws are those of the seed, and the choices are as told."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from paribus.errors import RequestError
from paribus.model.cache import Cache
from paribus.model.generate import generate, steps
from paribus.model.initialise import build
from paribus.model.prepare import prepare
from paribus.model.sampling import row_seed
from paribus.model.transformer import Transformer

from ..parts.comparison import draw
from .conftest import MakeConfig

V = 13


def ids(length: int = 3, *, batch: int = 2, seed: int = 5) -> Tensor:
    return torch.randint(V, (batch, length), generator=torch.Generator().manual_seed(seed))


def model_of(make_config: MakeConfig, **changes: Any) -> Transformer:
    """Drawn at unit gain, so that the likeliest tokens differ from place to place."""
    model = Transformer(make_config(**{"max_seq_len": 32, **changes}))
    draw(model, seed=2)
    return model


class Fixed(Transformer):
    """A model whose next token has the given probabilities, whatever the text."""

    def __init__(self, config: Any, probabilities: list[float]) -> None:
        super().__init__(config)
        self.log_probability = torch.tensor(probabilities).log()

    def logits(self, x_BTD: Tensor) -> Tensor:
        return self.log_probability.expand(*x_BTD.shape[:-1], -1)


def argmax_loop(
    model: Transformer, tokens: Tensor, steps: int, *, window: int | None = None, **given: Any
) -> Tensor:
    """The likeliest token, each time from the whole text, or from the window at its end."""
    with torch.inference_mode():
        for _ in range(steps):
            seen = tokens if window is None else tokens[:, -window:]
            tokens = torch.cat((tokens, model(seen, **given)[:, -1:].argmax(-1)), dim=1)
    return tokens


@pytest.mark.parametrize("position", ["rope", "learned", "alibi", "t5", "shaw", "sinusoidal", "xpos", "none"])
@pytest.mark.parametrize("attention", ["mha", {"name": "gqa", "window": 4, "sinks": True}])
def test_greedy_is_the_argmax_of_the_whole_text(
    make_config: MakeConfig, position: str, attention: Any
) -> None:
    groups = {} if attention == "mha" else {"num_kv_heads": 1}
    model = model_of(make_config, position=position, attention=attention, **groups)
    expected = argmax_loop(model, ids(), 10)
    assert torch.equal(generate(model, ids(), max_new_tokens=10), expected)
    assert len(expected[:, 3:].unique()) > 2


@pytest.mark.parametrize("window", [None, 12])
@pytest.mark.parametrize("prompt", [3, 8, 9])
def test_a_text_that_outgrows_longrope_is_read_again(
    make_config: MakeConfig, prompt: int, window: int | None
) -> None:
    """Within a window too, and it goes on as any other once it has outgrown that."""
    lists = {"short_factor": [1.0, 1.5], "long_factor": [4.0, 9.0]}
    longrope = {"name": "rope_longrope", "original_length": 8, **lists}
    model = model_of(make_config, position=longrope, head_dim=4)
    text = generate(model, ids(prompt), max_new_tokens=14, window=window)
    assert torch.equal(text, argmax_loop(model, ids(prompt), 14, window=window))


def test_greedy_of_an_encoder_decoder_reads_its_source(make_config: MakeConfig) -> None:
    model = model_of(make_config, architecture="encoder_decoder")
    texts = []
    for seed in (6, 7):
        source = ids(5, seed=seed)
        texts.append(generate(model, ids(1), max_new_tokens=8, source_BS=source))
        assert torch.equal(texts[-1], argmax_loop(model, ids(1), 8, source_BS=source))
    assert not torch.equal(*texts)


def test_the_text_begins_with_what_was_given(make_config: MakeConfig) -> None:
    text = generate(model_of(make_config), ids(4), max_new_tokens=3)
    assert text.shape == (2, 7) and torch.equal(text[:, :4], ids(4))
    assert torch.equal(generate(model_of(make_config), ids(4), max_new_tokens=0), ids(4))


def test_the_seed_decides_the_draws(make_config: MakeConfig) -> None:
    model = model_of(make_config)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (
        generate(model, ids(batch=4), max_new_tokens=12, temperature=2.0, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert len({tuple(row) for row in first[:, 3:].tolist()}) == 4  # rows are drawn independently


@pytest.mark.parametrize("given", [{"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-6}])
def test_the_narrowest_choice_is_the_greedy_one(make_config: MakeConfig, given: dict[str, Any]) -> None:
    model = model_of(make_config)
    greedy = generate(model, ids(), max_new_tokens=10)
    assert torch.equal(generate(model, ids(), max_new_tokens=10, **{"temperature": 1.0, **given}), greedy)


PROBABILITIES = [0.4, 0.05, 0.3, 0.01, 0.2, 0.04]  # by order: tokens 0, 2, 4, 1, 5, 3


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"top_k": 2}, [0, 2]),
        ({"top_k": 99}, [0, 1, 2, 3, 4, 5]),
        ({"top_p": 0.39}, [0]),
        ({"top_p": 0.41}, [0, 2]),  # the fewest that reach it
        ({"top_p": 0.69}, [0, 2]),
        ({"top_p": 0.71}, [0, 2, 4]),
        ({"top_p": 0.96}, [0, 1, 2, 4, 5]),
        ({"top_k": 3, "top_p": 0.5}, [0, 2]),  # of 4/9, 3/9 and 2/9
        ({"top_k": 2, "top_p": 0.95}, [0, 2]),
        ({"temperature": 0.5}, [0, 1, 2, 3, 4, 5]),
        ({"temperature": 3.0, "top_k": 4}, [0, 1, 2, 4]),
    ],
)
def test_tokens_are_drawn_from_what_is_left_of_the_distribution(
    make_config: MakeConfig, given: dict[str, Any], left: list[int]
) -> None:
    model = Fixed(make_config(vocab_size=6), PROBABILITIES)
    tokens = torch.zeros(4000, 1, dtype=torch.long)
    text = generate(model, tokens, max_new_tokens=1, **{"temperature": 1.0, **given})
    p = np.zeros(6)
    p[left] = np.array(PROBABILITIES)[left] ** (1 / given.get("temperature", 1.0))
    p /= p.sum()
    counts = F.one_hot(text[:, 1], 6).sum(0).numpy()
    assert set(np.flatnonzero(counts)) == set(left)
    np.testing.assert_allclose(counts / 4000, p, atol=5 * np.sqrt(0.25 / 4000))


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


@pytest.mark.parametrize("window", [1, 4, 5])
def test_a_window_reads_the_last_tokens_from_position_zero(make_config: MakeConfig, window: int) -> None:
    """So a learned table of five goes on for ever."""
    model = model_of(make_config, position="learned", max_seq_len=5)
    tokens = ids(4)
    expected = argmax_loop(model, tokens, 8, window=window)
    assert torch.equal(generate(model, tokens, max_new_tokens=8, window=window), expected)
    with pytest.raises(RequestError, match="learned positions cover 5"):
        generate(model, tokens, max_new_tokens=8)


def test_a_prompt_longer_than_the_window_is_read_from_its_end(make_config: MakeConfig) -> None:
    model = model_of(make_config, position="learned", max_seq_len=5)
    text = generate(model, ids(9), max_new_tokens=1, window=5)
    with torch.inference_mode():
        assert torch.equal(text[:, -1], model(ids(9)[:, -5:])[:, -1].argmax(-1))


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


def test_what_was_generated_may_be_trained_on(make_config: MakeConfig) -> None:
    model = build(make_config(), seed=0)
    text = generate(model, ids(), max_new_tokens=4)
    F.cross_entropy(model(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_generation_runs_in_the_asked_dtype(make_config: MakeConfig) -> None:
    model = build(make_config(), seed=0)
    seen = set()
    model.decoder.final_norm.register_forward_hook(lambda module, args, out: seen.add(out.dtype))
    generate(model, ids(), max_new_tokens=2, dtype=torch.bfloat16)
    assert seen == {torch.bfloat16}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_new_tokens": -1}, ("max_new_tokens", "0")),
        ({"temperature": -0.5}, ("temperature", "-0.5")),
        ({"top_p": 0.0}, ("top_p", "0.0")),
        ({"top_p": 1.5}, ("top_p", "1.5")),
        ({"top_k": 0}, ("top_k", "0")),
        ({"window": 0}, ("window", "0")),
        ({"source_BS": ids()}, ("source", "encoder_decoder")),
    ],
)
def test_impossible_settings_are_refused(
    make_config: MakeConfig, given: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(RequestError) as caught:
        generate(model_of(make_config), ids(), **{"max_new_tokens": 2, **given})
    sentence = str(caught.value)
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence and not sentence.endswith(".")


def test_an_empty_prompt_and_an_encoder_and_a_missing_source_are_refused(make_config: MakeConfig) -> None:
    with pytest.raises(RequestError, match="at least one token"):
        generate(model_of(make_config), ids()[:, :0], max_new_tokens=1)
    encoder = model_of(make_config, architecture="encoder")
    for model in (encoder, prepare(encoder)):
        with pytest.raises(RequestError, match="cannot go on"):
            generate(model, ids(), max_new_tokens=1)
    with pytest.raises(RequestError, match="needs a source"):
        generate(model_of(make_config, architecture="encoder_decoder"), ids(), max_new_tokens=1)


POSITIONS = ["rope", "learned", "alibi", "t5", "shaw", "sinusoidal", "xpos", "none"]
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


def test_a_window_reads_the_source_once(make_config: MakeConfig) -> None:
    model, reads = model_of(make_config, architecture="encoder_decoder"), []
    model.encoder.register_forward_hook(lambda *seen: reads.append(1))
    text = generate(model, ids(3), max_new_tokens=8, window=4, source_BS=ids(5))
    assert len(reads) == 1
    with torch.inference_mode():
        last = model(text[:, -5:-1], source_BS=ids(5))[:, -1].argmax(-1)
    assert torch.equal(text[:, -1], last)


@pytest.mark.parametrize(
    "settings", [{}, {"repetition_penalty": 1.4}, {"temperature": 0.8, "top_p": 0.9}], ids=str
)
def test_a_prepared_model_writes_the_same(make_config: MakeConfig, settings: dict[str, Any]) -> None:
    model = model_of(make_config)
    settings = {"max_new_tokens": 20, **settings}
    prepared = prepare(model, copies=True)
    assert torch.equal(
        generate(prepared, ids(), **settings), generate(model, ids(), copies=False, **settings)
    )
    with pytest.raises(RequestError, match="prepared.*float32"):
        generate(prepared, ids(), max_new_tokens=1, dtype=torch.bfloat16)


def test_the_penalty_is_on_what_was_seen_in_prompt_and_output(make_config: MakeConfig) -> None:
    model = Fixed(make_config(vocab_size=6), PROBABILITIES)
    prompt = torch.tensor([[0], [1]])
    text = generate(model, prompt, max_new_tokens=6, repetition_penalty=100.0)
    assert text.tolist() == [[0, 2, 4, 1, 5, 3, 0], [1, 0, 2, 4, 5, 3, 0]]


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


def test_two_streams_of_one_model_do_not_mix(make_config: MakeConfig) -> None:
    model = model_of(make_config)
    streams = [steps(model, ids(length), max_new_tokens=8) for length in (3, 5)]
    made = [[one.token_B for one in both] for both in zip(*streams, strict=True)]
    for number, length in enumerate((3, 5)):
        text = torch.stack([both[number] for both in made], 1)
        assert torch.equal(text, generate(model, ids(length), max_new_tokens=8)[:, length:])


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


@pytest.mark.parametrize("prompt", [3, 6, 11])
def test_sinks_go_on_as_the_cache_does_token_by_token(make_config: MakeConfig, prompt: int) -> None:
    """A prompt longer than the window too."""
    model, cache = model_of(make_config), Cache(window=6, sinks=2)
    text = generate(model, ids(prompt), max_new_tokens=10, window=6, sinks=2)
    with torch.inference_mode():
        logits = torch.cat([model(one, cache=cache) for one in text[:, :-1].split(1, 1)], 1)
    assert torch.equal(text[:, prompt:], logits[:, prompt - 1 :].argmax(-1))
    whole = generate(model, ids(prompt), max_new_tokens=10)
    assert torch.equal(text[:, : max(7, prompt)], whole[:, : max(7, prompt)])


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
