"""Tokenizers of every method that can be trained: what they promise alike."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import RequestError
from paribus.text.tokenizers import trained as module
from paribus.text.tokenizers.methods import METHODS, Corpus, restored, train_tokenizer
from paribus.text.tokenizers.recipe import END, Recipe
from paribus.text.tokenizers.trained import FILE, TrainedTokenizer

TEXTS = (
    "the cat sat on the mat, the other cat sat on the hat\n" * 5,
    "def cat(hat):\n    return hat + 1  # the hat ## of the ### cat\n" * 5,
    "Größe und Gruß, où ça? 猫は帽子の上に座った。\u2581 \x00\x1f\t\n",
)
SEGMENTED = Path(__file__).with_name("segmented.txt")
ODD = (
    "",
    " ",
    "\n\n  \t",
    "<s> <unk> <UNK> </s> <|endoftext|>",
    "\u2581\u2581a \x00\x1f\ufffd\uffff",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301 \u202eabc\u202c",
    "##cat ###",
    "1234567890 x" * 50,
    "cat" * 60,
    "\uf8f0\uf8f1 \uf8f7cat\u2585",  # letters that stand for others inside
)


def options(method: str) -> dict[str, str]:
    """What a method needs beside: some learn from text that somebody has cut."""
    return {"segmented": str(SEGMENTED)} if "segmented" in (METHODS[method].options or {}) else {}


@pytest.fixture(scope="module", params=METHODS)
def lossless(request: pytest.FixtureRequest) -> TrainedTokenizer:
    return trained(request.param)


def trained(method: str, *, vocab_size: int = 400, **fields: object) -> TrainedTokenizer:
    recipe = Recipe(method=method, vocab_size=vocab_size, options=options(method), **fields)  # type: ignore[arg-type]
    return train_tokenizer(recipe, Corpus(lambda: TEXTS))


@pytest.mark.parametrize("text", [*TEXTS, *ODD])
def test_decoding_gives_the_text_back(lossless: TrainedTokenizer, text: str) -> None:
    ids = lossless.encode(text)
    assert lossless.loses == () and lossless.decode(ids) == text
    assert lossless.byte_lengths[ids].sum() == len(text.encode())


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_decoding_gives_any_text_back(lossless: TrainedTokenizer, text: str) -> None:
    assert lossless.decode(lossless.encode(text)) == text


def test_what_is_read_again_is_the_same_tokenizer(lossless: TrainedTokenizer) -> None:
    again = restored(json.loads(lossless.files()[FILE]))
    assert again.name == lossless.name and again.pieces == lossless.pieces
    for text in (*TEXTS, *ODD):
        assert np.array_equal(again.encode(text), lossless.encode(text))


def test_another_process_may_be_sent_one(lossless: TrainedTokenizer) -> None:
    again = pickle.loads(pickle.dumps(lossless))
    assert again.name == lossless.name and again.trained_on == lossless.trained_on
    for text in TEXTS:
        assert np.array_equal(again.encode(text), lossless.encode(text))


def test_special_tokens_stand_last_and_are_never_made_of_text(lossless: TrainedTokenizer) -> None:
    method = lossless.recipe.method
    tokenizer = trained(method, specials=("<|im_start|>",))
    assert tokenizer.specials == ("<|im_start|>", END)
    assert tokenizer.end_of_document == tokenizer.vocab_size - 1
    ids = tokenizer.encode("<|im_start|>a" + END)
    assert ids.max() < tokenizer.vocab_size - 2
    assert tokenizer.decode([*ids, tokenizer.end_of_document]) == "<|im_start|>a" + END


def test_ids_are_within_the_size_that_was_asked_for(lossless: TrainedTokenizer) -> None:
    assert lossless.vocab_size <= 400 and lossless.encode("cat").dtype == np.uint16
    assert len(set(lossless.pieces)) >= lossless.vocab_size - 256  # only bytes may be written twice


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.of_characters])
def test_an_unknown_token_is_said_to_lose(method: str) -> None:
    tokenizer = trained(method, unknown="token")
    ids = tokenizer.encode("cat\U0001f600")
    assert tokenizer.loses == ("characters that training did not see",)
    assert tokenizer.decode(ids) == "cat" and 0 in ids
    assert tokenizer.encode("\U0001f600\U0001f600").tolist() == [0, 0]
    assert tokenizer.decode(tokenizer.encode("cat" * 60)) == "cat" * 60


def test_a_lone_surrogate_is_refused(lossless: TrainedTokenizer) -> None:
    with pytest.raises(RequestError, match=r"lone surrogate U\+D800 at character 3"):
        lossless.encode("cat\ud800")


def test_what_it_was_trained_on_is_not_in_its_name() -> None:
    recipe = Recipe(method="char", vocab_size=400)
    first, second, third = (
        train_tokenizer(recipe, Corpus(lambda text=text: [text]), trained_on={"source": source})  # type: ignore[misc]
        for text, source in (("ab", "a"), ("ab", "b"), ("ac", "a"))
    )
    assert first.name == second.name != third.name and first.vocab_size == third.vocab_size


def test_words_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 8)
    tokenizer = trained("char")
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert 0 < len(tokenizer._remembered) <= 8


def of(method: str, text: str, **fields: object) -> list[str]:
    """The pieces after the bytes and before the end."""
    recipe = Recipe(method=method, **{"vocab_size": 400, "split": "words", **fields})  # type: ignore[arg-type]
    pieces = train_tokenizer(recipe, Corpus(lambda: [text])).pieces
    return [piece.decode() for piece in pieces[256:-1]]


def test_characters_are_taken_up_by_their_counts_and_then_in_order() -> None:
    text = "a" * 90 + "b" * 8 + "zc"
    assert of("char", text, options={"coverage": 0.98}) == ["a", "b"]
    assert of("char", text, options={"coverage": 0.99}) == ["a", "b", "c"]
    assert of("char", text, options={"coverage": 1}) == ["a", "b", "c", "z"]


def test_no_piece_holds_a_character_that_is_not_taken_up() -> None:
    pieces = of("bpe", "abzab " * 9 + "ab" * 99, options={"coverage": 0.9})
    assert "ab" in pieces and not any("z" in piece for piece in pieces)


def test_the_most_frequent_words_are_taken_of_equals_the_first() -> None:
    text = "cc bb aa bb cc cc dd"
    assert [piece for piece in of("word", text) if len(piece) > 1] == [" bb", " cc", " aa", " dd", "cc"]
    few = of("word", text, vocab_size=257 + 5 + 2)
    assert [piece for piece in few if len(piece) > 1] == [" bb", " cc"]
    frequent = of("word", text, min_count=2)
    assert [piece for piece in frequent if len(piece) > 1] == [" bb", " cc"]


def test_likelihood_leaves_pairs_that_occur_once_alone() -> None:
    assert "cd" not in of("wordpiece_likelihood", "ab ab cd") and " cd" in of("wordpiece", "ab ab cd")
    assert " cd" in of("wordpiece_likelihood", "ab ab cd", min_count=1)


@pytest.mark.slow
def test_training_is_the_same_under_any_hash_seed_and_number_of_threads() -> None:
    program = (
        "from paribus.text.tokenizers.methods import METHODS, Corpus, train_tokenizer\n"
        "from paribus.text.tokenizers.recipe import Recipe\n"
        "text = open(__import__('argparse').__file__, encoding='utf-8').read()[:60_000]\n"
        "for method in ('byte_bpe', 'bpe', 'wordpiece', 'unigram', 'sentencepiece_bpe', 'word', 'syllable'):\n"
        "    print(train_tokenizer(Recipe(method=method, vocab_size=700), Corpus(lambda: [text])).name)\n"
    )

    def run(seed: str, threads: str) -> str:
        env = {**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", program], env=env, check=True, capture_output=True, text=True
        )
        return done.stdout

    assert run("1", "1") == run("2", "3") != ""


def test_what_normaliser_and_split_lose_is_said() -> None:
    tokenizer = trained("byte_bpe", normaliser="lowercase", split="bert")
    assert tokenizer.decode(tokenizer.encode("The Cat, sat")) == "thecat,sat"
    assert tokenizer.loses == ("capital letters", "blanks")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"method": "bqe", "vocab_size": 300}, "there is no method 'bqe': did you mean"),
        (
            {"method": "bpe", "vocab_size": 257},
            "vocab_size 257 is too small for bpe: 257 ids are taken by the bytes",
        ),
        (
            {"method": "byte_bpe", "vocab_size": 256},
            "leaves 255 pieces beside the special tokens, and the bytes alone",
        ),
        ({"method": "char", "vocab_size": 260}, "leaves 3 pieces, and the text has"),
        ({"method": "char", "vocab_size": 400, "options": {"coverage": 2}}, "coverage is 2: it is the share"),
        (
            {"method": "char", "vocab_size": 400, "options": {"covrage": 1}},
            "no option 'covrage': did you mean coverage",
        ),
        (
            {"method": "byte", "vocab_size": 400, "options": {"coverage": 1}},
            "no option 'coverage': it has none",
        ),
        ({"method": "bpe", "vocab_size": 0}, "vocab_size is 0: it is from 1 to"),
        (
            {"method": "bpe", "vocab_size": 300, "split": "gpt5"},
            r"no split 'gpt5': did you mean gpt4 or gpt2\?",
        ),
        ({"method": "bpe", "vocab_size": 300, "normaliser": "nfq"}, "no normaliser 'nfq': did you mean nfc"),
        ({"method": "bpe", "vocab_size": 300, "unknown": "byte"}, r"unknown is 'byte': did you mean bytes\?"),
        (
            {"method": "bpe", "vocab_size": 300, "specials": ("<|endoftext|>",)},
            "special tokens have different names",
        ),
        ({"method": "bpe", "vocab_size": 300, "min_count": 0}, "min_count is 0: it is at least 1"),
        *(
            (
                {"method": "unigram", "vocab_size": 400, "options": {"longest": longest}},
                "longest is .*, 1 to 512",
            )
            for longest in (0, 513, 2.5, "many")
        ),
        (
            {"method": "sentencepiece_bpe", "vocab_size": 400, "min_count": 10**6},
            "no word to train on that occurs 1,000,000 times or more",
        ),
    ],
)
def test_a_recipe_that_cannot_be_is_one_sentence(fields: dict[str, object], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        train_tokenizer(Recipe(**fields), Corpus(lambda: TEXTS))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", [name for name in METHODS if name != "byte"])  # bytes are not learned
def test_no_text_is_refused(method: str) -> None:
    with pytest.raises(RequestError, match="no (text|words)"):
        recipe = Recipe(method=method, vocab_size=400, options=options(method))
        train_tokenizer(recipe, Corpus(lambda: [""]))
