"""Generation: greedy is the argmax of the whole text, draws are those of the seed, and the choices are as told."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from paribus.errors import RequestError
from paribus.model.generate import generate
from paribus.model.initialise import build
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


def argmax_loop(model: Transformer, tokens: Tensor, steps: int, **given: Any) -> Tensor:
    """The likeliest token, each time from the whole text."""
    with torch.inference_mode():
        for _ in range(steps):
            tokens = torch.cat((tokens, model(tokens, **given)[:, -1:].argmax(-1)), dim=1)
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
    expected = tokens
    with torch.inference_mode():
        for _ in range(8):
            expected = torch.cat((expected, model(expected[:, -window:])[:, -1:].argmax(-1)), dim=1)
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
    with pytest.raises(RequestError, match="encoder"):
        generate(model_of(make_config, architecture="encoder"), ids(), max_new_tokens=1)
    with pytest.raises(RequestError, match="needs a source"):
        generate(model_of(make_config, architecture="encoder_decoder"), ids(), max_new_tokens=1)
