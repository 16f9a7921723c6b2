"""Generation: greedy is the argmax of the whole text, draws are those of the seed, and the choices are as told."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from paribus.errors import RequestError
from paribus.model.cache import Cache
from paribus.model.generate import generate
from paribus.model.initialise import build
from paribus.model.prepare import prepare

from .conftest import MakeConfig
from .generating import POSITIONS, PROBABILITIES, Fixed, argmax_loop, ids, model_of


@pytest.mark.parametrize("position", POSITIONS)
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


@pytest.mark.parametrize("prompt", [3, 6])
def test_a_text_that_outgrows_one_longrope_after_another_is_read_again_each_time(
    make_config: MakeConfig, prompt: int
) -> None:
    lists = {"short_factor": [1.0, 1.5], "long_factor": [4.0, 9.0]}
    patterns = [{"name": "rope_longrope", "original_length": length, **lists} for length in (5, 9)]
    model = model_of(make_config, position=patterns, head_dim=4, num_layers=2)
    text = generate(model, ids(prompt), max_new_tokens=12)
    assert torch.equal(text, argmax_loop(model, ids(prompt), 12))


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


def test_the_penalty_is_on_what_was_seen_in_prompt_and_output(make_config: MakeConfig) -> None:
    model = Fixed(make_config(vocab_size=6), PROBABILITIES)
    prompt = torch.tensor([[0], [1]])
    text = generate(model, prompt, max_new_tokens=6, repetition_penalty=100.0)
    assert text.tolist() == [[0, 2, 4, 1, 5, 3, 0], [1, 0, 2, 4, 5, 3, 0]]


@pytest.mark.parametrize("window", [1, 4, 5])
def test_a_window_reads_the_last_tokens_from_position_zero(make_config: MakeConfig, window: int) -> None:
    """So a learned table of five goes on for ever."""
    model = model_of(make_config, position="learned", max_seq_len=5)
    tokens = ids(4)
    expected = argmax_loop(model, tokens, 8, window=window)
    assert torch.equal(generate(model, tokens, max_new_tokens=8, window=window), expected)
    with pytest.raises(RequestError, match="learned positions cover 5 .* with a window of at most 5 tokens"):
        generate(model, tokens, max_new_tokens=8)


def test_a_prompt_longer_than_the_window_is_read_from_its_end(make_config: MakeConfig) -> None:
    model = model_of(make_config, position="learned", max_seq_len=5)
    text = generate(model, ids(9), max_new_tokens=1, window=5)
    with torch.inference_mode():
        assert torch.equal(text[:, -1], model(ids(9)[:, -5:])[:, -1].argmax(-1))


def test_a_window_reads_the_source_once(make_config: MakeConfig) -> None:
    model, reads = model_of(make_config, architecture="encoder_decoder"), []
    model.encoder.register_forward_hook(lambda *seen: reads.append(1))
    text = generate(model, ids(3), max_new_tokens=8, window=4, source_BS=ids(5))
    assert len(reads) == 1
    with torch.inference_mode():
        last = model(text[:, -5:-1], source_BS=ids(5))[:, -1].argmax(-1)
    assert torch.equal(text[:, -1], last)


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


@pytest.mark.parametrize(
    ("prompts", "options", "said"),
    [
        (torch.tensor([[1.7, 2.0]]), {}, "prompts are ids, whole numbers; these are torch.float32"),
        ([[1.7, 2]], {}, "prompts are ids, whole numbers"),
        ([[1, 2]], {"max_new_tokens": 2.5}, "max_new_tokens is a whole number of at least 0; it is 2.5"),
        ([[1, 2]], {"window": 2.5}, "window is a whole number"),
    ],
)
def test_what_is_no_whole_number_is_refused(
    make_config: MakeConfig, prompts: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        generate(model_of(make_config), prompts, **{"max_new_tokens": 2} | options)


def test_ids_of_any_whole_dtype_are_read(make_config: MakeConfig) -> None:
    model, options = model_of(make_config), {"max_new_tokens": 4, "repetition_penalty": 1.5}
    found = generate(model, ids(3).to(torch.uint8), **options)  # type: ignore[arg-type]
    assert torch.equal(found, generate(model, ids(3), **options))  # type: ignore[arg-type]


def test_every_row_has_a_source_of_its_own(make_config: MakeConfig) -> None:
    model = model_of(make_config, architecture="encoder_decoder")
    for rows in (1, 3):
        with pytest.raises(RequestError, match=f"one source a row; there are {rows} for 2 rows"):
            generate(model, ids(3), max_new_tokens=2, source_BS=ids(4)[:1].repeat(rows, 1))
