"""Each measure against numbers worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import decoders, pre_tokenizers

from paribus.errors import RequestError
from paribus.text.tokenizers import ByteTokenizer
from paribus.text.tokenizers.comparing.conditions import conditions_of, differing
from paribus.text.tokenizers.comparing.fertility import tokens_of_words
from paribus.text.tokenizers.comparing.intervals import by_group, ratio
from paribus.text.tokenizers.comparing.parity import parity, read_parallel
from paribus.text.tokenizers.comparing.pieces import invalid_alone, shown_tokens
from paribus.text.tokenizers.comparing.renyi import renyi_efficiency
from paribus.text.tokenizers.comparing.round_trip import RoundTrips
from paribus.text.tokenizers.methods import Corpus, train_tokenizer
from paribus.text.tokenizers.of_json import JsonTokenizer
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.splits import get_split
from paribus.text.tokenizers.trained import TrainedTokenizer

from ..made import llama_like, saved, word_pieces

WORDS = get_split("gpt4")


def trained(text: str, **fields: object) -> TrainedTokenizer:
    recipe = Recipe(**{"method": "byte_bpe", "vocab_size": 300, **fields})  # type: ignore[arg-type]
    return train_tokenizer(recipe, Corpus(lambda: [text]))


@pytest.mark.parametrize(
    ("alpha", "vocab_size", "expected"),
    [(2.5, 4, 0.7301672), (1.0, 4, 0.875), (2.5, 16, 0.7301672 / 2), (1e9, 4, 0.5)],
)
def test_renyi_efficiency_is_that_of_the_formula(alpha: float, vocab_size: int, expected: float) -> None:
    assert renyi_efficiency([4, 2, 1, 1, 0], vocab_size=vocab_size, alpha=alpha) == pytest.approx(expected)


def test_renyi_efficiency_of_even_shares_is_one_for_the_largest_alpha_too() -> None:
    assert renyi_efficiency([3] * 8, vocab_size=8, alpha=1e308) == pytest.approx(1)


@pytest.mark.parametrize(
    ("counts", "vocab_size", "alpha"), [([0], 4, 2.5), ([1, 1], 1, 2.5), ([1, 1], 2, 0.0)]
)
def test_renyi_efficiency_of_nothing_is_refused(counts: list[int], vocab_size: int, alpha: float) -> None:
    with pytest.raises(RequestError, match="Rényi efficiency takes"):
        renyi_efficiency(counts, vocab_size=vocab_size, alpha=alpha)


def test_words_are_counted_where_they_stand_without_their_blanks() -> None:
    text = "Où est\n  猫 ?"
    assert tokens_of_words(ByteTokenizer(), text, ByteTokenizer().encode(text), WORDS).tolist() == [
        3,
        3,
        3,
        1,
    ]  # type: ignore[union-attr]


def test_a_word_with_its_blank_is_one_token_and_a_token_over_two_words_is_of_both() -> None:
    text = "the cat the cat the cat"
    by_words = trained(text)
    found = tokens_of_words(by_words, text, by_words.encode(text), WORDS)
    assert found is not None and found[1:].tolist() == [1] * 5  # the first has no blank before it
    by_lines = trained(text, split="lines")
    ids = by_lines.encode(text)
    found = tokens_of_words(by_lines, text, ids, WORDS)
    assert found is not None and found.sum() > len(ids)


def test_a_tokenizer_that_loses_blanks_has_its_own_words_or_none(tmp_path: Path) -> None:
    text = "the  cat\nthe cat"
    own = trained(text, split="bert", method="wordpiece")
    found = tokens_of_words(own, text, own.encode(text), WORDS)
    assert found is not None and len(found) == 4
    foreign = JsonTokenizer(saved(word_pieces(), tmp_path, eos_token="[SEP]"))
    assert tokens_of_words(foreign, "cat cats", foreign.encode("cat cats"), WORDS) is None


def test_words_are_counted_past_a_blank_that_is_put_before_a_text(tmp_path: Path) -> None:
    library = llama_like()
    library.normalizer = None
    library.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    library.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="always"), decoders.Fuse()]
    )
    tokenizer, text = JsonTokenizer(saved(library, tmp_path)), "cat ca tact"
    pieces = [library.id_to_token(number) for number in tokenizer.encode(text)]
    assert pieces == ["▁ca", "t", "▁ca", "▁", "t", "a", "c", "t"]
    assert tokens_of_words(tokenizer, text, tokenizer.encode(text), WORDS).tolist() == [2, 1, 4]  # type: ignore[union-attr]


def test_blanks_are_no_words_where_text_is_lost_either() -> None:
    own, text = trained("ab ab", method="char", unknown="token"), "ab \n\n☃ ab"
    assert [word for word, _ in own.words(text)] == ["ab", " \n\n", "☃", " ab"]
    assert tokens_of_words(own, text, own.encode(text), WORDS).tolist() == [2, 1, 3]  # type: ignore[union-attr]


def test_a_sentence_of_one_token_counts_as_one() -> None:
    found = parity(ByteTokenizer(), {"en": ("a", "b"), "de": ("abc", "c")})
    assert found["languages"]["de"]["value"] == pytest.approx((3 + 1) / 2)


def test_parts_of_characters_are_no_text_by_themselves() -> None:
    assert np.flatnonzero(invalid_alone(ByteTokenizer())).tolist() == list(range(128, 256))
    own = trained("猫" * 9)  # merges two of its bytes, then all three
    invalid = [own.pieces[number] for number in np.flatnonzero(invalid_alone(own))[128:]]
    assert invalid == [piece for piece in own.pieces[256:] if len(piece) == 2] != []
    assert shown_tokens(trained("aaaa"), "é ") == ["⟨C3⟩", "⟨A9⟩", " "]


def test_the_first_difference_of_a_round_trip_is_shown_with_what_is_around_it() -> None:
    trips = RoundTrips()
    trips.add("same", "same")
    trips.add("x" * 30 + "Cat sat", "x" * 30 + "cat sat")
    trips.add("one", "two")
    assert (trips.documents, trips.failed) == (3, 2)
    assert trips.example == {"character": 30, "text": "x" * 20 + "Cat sat", "decoded": "x" * 20 + "cat sat"}
    cut = RoundTrips()
    cut.add("ab", "a")
    assert cut.example == {"character": 1, "text": "ab", "decoded": "a"}


def test_intervals_are_of_the_ratio_of_sums_over_rows() -> None:
    alike = ratio([4, 8, 2], [2, 4, 1])
    assert (alike.value, alike.low, alike.high) == (2.0, 2.0, 2.0)
    rng = np.random.default_rng(1)
    tokens = rng.integers(50, 150, 400)
    found = ratio(tokens * 3 + rng.normal(0, 30, 400), tokens)
    # The standard error of the ratio by the delta method: sd 30 over sqrt(400) documents of 100 tokens.
    assert found.low is not None and found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 30 / 20 / 100, rel=0.15)
    assert ratio([3], [2]).low is None
    assert by_group([1, 2, 3, 4], [0, 1, 0, 7]).tolist() == [4, 2, 4]


def files(folder: Path, **texts: str) -> dict[str, Path]:
    for language, text in texts.items():
        (folder / language).write_text(text)
    return {language: folder / language for language in texts}


def test_parity_is_the_mean_over_sentences_against_the_first_language(tmp_path: Path) -> None:
    parallel = read_parallel(files(tmp_path, en="ab\n\nabcd\n", de="abc\n\nabcd\n"))
    found = parity(ByteTokenizer(), parallel)
    assert (found["reference"], found["sentences"]) == ("en", 2)
    assert found["languages"]["de"]["value"] == pytest.approx((3 / 2 + 4 / 4) / 2)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"en": "a\n"}, "at least twice"),
        ({"en": "a\nb\n", "de": "a\n"}, "en has 2, de has 1 lines"),
        ({"en": "a\nb\n", "de": "a\n\n"}, "line 2 .* blank in de"),
        ({"en": "\n", "de": "\n"}, "no line"),
    ],
)
def test_text_that_is_not_parallel_is_refused(tmp_path: Path, texts: dict[str, str], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        read_parallel(files(tmp_path, **texts))


def test_usable_vocabulary_leaves_out_bytes_and_special_tokens() -> None:
    by_bytes = conditions_of(trained("the cat the cat", specials=("<a>",)))
    assert by_bytes["usable"] == by_bytes["vocab_size"] - 256 - 2
    by_characters = conditions_of(trained("the cats", method="char"))
    assert (by_characters["usable"], by_characters["alphabet"]) == (7, 7)
    lossy = conditions_of(trained("the cats", method="char", unknown="token"))
    assert (lossy["usable"], lossy["bytes"], lossy["vocab_size"]) == (7, 0, 9)
    rows = [{"label": "a", "conditions": by_bytes}, {"label": "b", "conditions": by_characters}]
    assert [each["condition"] for each in differing(rows)] == ["usable"]
