"""Byte-level BPE: the fast trainer and the fast encoder do what the reference does."""

import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.text.tokenizers.methods import METHODS, Corpus, train_tokenizer
from paribus.text.tokenizers.methods import byte_bpe as method
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.reference.applying import merge_bytes
from paribus.text.tokenizers.reference.bpe import train_bpe
from paribus.text.tokenizers.splits import SPLITS

TEXT = Path(sysconfig.get_path("stdlib"), "argparse.py").read_text("utf-8")
TEXTS = (TEXT, "Größe 猫猫 \x00\x1f 123456789\r\n\r\n  x" * 20)
CORPUS = Corpus(lambda: TEXTS)
MODEL = train_tokenizer(Recipe(method="byte_bpe", vocab_size=600), CORPUS).model


@pytest.mark.parametrize("split", [name for name, row in SPLITS.items() if name != "none"])
def test_the_fast_trainer_makes_the_merges_of_the_reference(split: str) -> None:
    recipe = Recipe(method="byte_bpe", vocab_size=600, split=split)
    fast = train_tokenizer(recipe, CORPUS)
    reference = train_bpe(CORPUS.words(recipe), vocab_size=599)
    assert fast.model.pieces == reference.pieces


def test_more_text_than_can_be_counted_goes_to_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(method="byte_bpe", vocab_size=600)
    expected = train_tokenizer(recipe, CORPUS).pieces
    total = sum(len(text.encode()) for text in TEXTS)
    called: list[int] = []
    monkeypatch.setattr(
        method, "train_bpe", lambda *args, **given: called.append(1) or train_bpe(*args, **given)
    )
    monkeypatch.setattr(method, "_MOST_BYTES", total)
    assert train_tokenizer(recipe, CORPUS).pieces == expected and not called
    monkeypatch.setattr(method, "_MOST_BYTES", total - 1)
    assert train_tokenizer(recipe, CORPUS).pieces == expected and called


@pytest.mark.parametrize("length", [70_000, pytest.param(2_000_000, marks=pytest.mark.slow)])
def test_a_run_of_blanks_that_overflows_rustbpe_goes_to_the_reference(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    called = []
    monkeypatch.setattr(method, "train_bpe", lambda *a, **b: called.append(1) or train_bpe(*a, **b))
    texts = ["the cat sat", " " * length, "the cat"]
    tokenizer = train_tokenizer(Recipe(method="byte_bpe", vocab_size=260), Corpus(lambda: texts))
    assert tokenizer.pieces[256:] == (b"  ", b"    ", b" " * 8, b"") and called


def test_rare_pairs_are_left_alone_on_request() -> None:
    recipe = Recipe(method="byte_bpe", vocab_size=4000, min_count=20)
    assert 300 < train_tokenizer(recipe, CORPUS).vocab_size < 1500


@pytest.mark.parametrize("split", ["gpt2", "gpt4", "words", "lines", "bert"])
def test_the_fast_encoder_does_as_word_by_word(split: str) -> None:
    tokenizer = train_tokenizer(Recipe(method="byte_bpe", vocab_size=600, split=split), CORPUS)
    for text in (*TEXTS, "", " a  b", "<|endoftext|>", "\u2028\u00a0 x"):
        word_by_word = [number for _, ids in tokenizer.words(text) for number in ids]
        assert np.array_equal(tokenizer.encode(text), word_by_word)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(" " * 2_000_000, id="blanks"),  # more than tiktoken's expressions have a stack for
        pytest.param("\n" * 100_000 + "x", id="lines"),
        pytest.param("a" * 10_000_000, id="one word", marks=pytest.mark.slow),
        pytest.param("ab" * 3_000_000, id="two letters", marks=pytest.mark.slow),
    ],
)
def test_pathological_text_is_encoded(text: str) -> None:
    tokenizer = train_tokenizer(Recipe(method="byte_bpe", vocab_size=300), CORPUS)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_without_the_fast_libraries_the_result_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(method="byte_bpe", vocab_size=600)
    fast = train_tokenizer(recipe, CORPUS)
    for name in ("rustbpe", "tiktoken"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    slow = train_tokenizer(recipe, CORPUS)
    assert slow.name == fast.name and np.array_equal(slow.encode(TEXT), fast.encode(TEXT))


@settings(max_examples=150)
@given(word=st.text("abc ehlorst\u00e9", max_size=60), data=st.data())
def test_any_slice_of_an_encoding_is_the_encoding_of_its_text(word: str, data: st.DataObject) -> None:
    model = MODEL
    ids = model.encode_word(word)
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(ids))] * 2)))
    text = b"".join(model.pieces[number] for number in ids[start:end])
    assert merge_bytes(text, model.ranks) == ids[start:end]


@settings(max_examples=100)
@given(word=st.text("abc ehlorst\u00e9", max_size=40))
def test_appending_bytes_gives_what_encoding_all_of_them_gives(word: str) -> None:
    """The last token at each byte follows from those before: the one that neighbours its forerunner in an encoding."""
    text, lasts = word.encode(), list[int]()
    for end in range(1, len(text) + 1):
        fitting = []
        for start in range(end):
            token = MODEL.ranks.get(text[start:end])
            before = lasts[start - 1 : start] if start else []
            if token is None:
                continue
            joined = b"".join(MODEL.pieces[number] for number in [*before, token])
            if merge_bytes(joined, MODEL.ranks) == [*before, token]:
                fitting.append(token)
        assert len(fitting) == 1
        lasts += fitting
    ids, end = list[int](), len(text)
    while end:
        ids.insert(0, lasts[end - 1])
        end -= len(MODEL.pieces[ids[0]])
    assert ids == MODEL.encode_word(word)


def test_methods_have_names_of_their_own() -> None:
    assert all(name == row.name for name, row in METHODS.items())
