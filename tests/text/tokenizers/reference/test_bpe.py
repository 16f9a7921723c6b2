"""Our BPE against hand-worked cases, a recount at every step, and the libraries."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.errors import RequestError
from paribus.text.tokenizers.reference import BPE, largest_pair_count, train_bpe
from paribus.text.tokenizers.unicode import LETTER_OF_BYTE
from tests.text.tokenizers.reference.conftest import PATTERN
from tests.text.tokenizers.reference.replay import replay

ROSES = {
    "roses": 1,
    "are": 2,
    "red": 1,
    "voilets": 1,
    "blue": 1,
    "BERT": 1,
    "is": 2,
    "big": 1,
    "and": 1,
    "so": 1,
}
small_words = st.dictionaries(
    st.text("ab", min_size=1, max_size=9), st.integers(1, 4), min_size=1, max_size=6
)


def made(model: BPE) -> list[str]:
    return [model.pieces[step.made].decode("utf-8", "surrogateescape") for step in model.merges]


def test_the_example_of_wikipedia_gives_the_ids_that_minbpe_gives() -> None:
    model = train_bpe({"aaabdaaabac": 1}, vocab_size=259)
    assert model.encode_word("aaabdaaabac") == [258, 100, 258, 97, 99]


def test_the_example_of_hf_tokenizers_gives_its_merges() -> None:
    model = train_bpe({**ROSES, "GPT-2": 1}, vocab_size=100, unit="characters", min_count=2)
    assert [(model.pieces[m.left], model.pieces[m.right]) for m in model.merges] == [
        (b"r", b"e"),
        (b"a", b"re"),
        (b"i", b"s"),
    ]


def test_counts_include_overlaps_and_merging_goes_left_to_right() -> None:
    model = train_bpe({"aaaaa": 3}, vocab_size=257)
    assert model.merges[0].count == 12
    assert model.encode_word("aaaaa") == [256, 256, 97]


@given(words=small_words)
def test_every_merge_is_the_argmax_of_a_fresh_count(words: dict[str, int]) -> None:
    model = train_bpe(words, vocab_size=12, unit="characters")
    assert replay(words, made(model))[0] is None


def test_the_replay_refuses_merges_in_a_wrong_order(words: dict[str, int]) -> None:
    right = made(train_bpe(words, vocab_size=220, unit="characters"))
    assert replay(words, right)[0] is None
    wrong = [*right[:30], right[60], *right[31:]]
    assert str(replay(words, wrong)[0]).startswith("merge 30 ")


@given(words=small_words)
def test_training_splits_words_as_encoding_does(words: dict[str, int]) -> None:
    """The count of the next merge equals the pairs of neighbours in the words encoded so far."""
    model = train_bpe(words, vocab_size=11, unit="characters")
    for step in model.merges:
        before = BPE(model.pieces[: step.made], model.merges[: model.merges.index(step)], "characters")
        counts: Counter[tuple[int, int]] = Counter()
        for word, count in words.items():
            ids = before.encode_word(word)
            for pair in pairwise(ids):
                counts[pair] += count
        assert counts[step.left, step.right] == step.count
        assert min((-count, pair) for pair, count in counts.items())[1] == (step.left, step.right)


def test_runners_up_are_the_next_best_pairs() -> None:
    model = train_bpe({"ab": 5, "cd": 4, "ef": 4, "gh": 1}, vocab_size=257, runners_up=2)
    (step,) = model.merges
    assert [(chr(pair.left), chr(pair.right), pair.count) for pair in step.runners_up] == [
        ("c", "d", 4),
        ("e", "f", 4),
    ]


def test_asking_for_runners_up_changes_no_merge(words: dict[str, int]) -> None:
    assert train_bpe(words, vocab_size=600).pieces == train_bpe(words, vocab_size=600, runners_up=3).pieces


def test_merges_equal_those_of_rustbpe(text: str, words: dict[str, int]) -> None:
    rustbpe = pytest.importorskip("rustbpe")
    trainer = rustbpe.Tokenizer()
    trainer.train_from_iterator(iter([text]), 2000, pattern=PATTERN)
    theirs = [bytes(piece) for piece, _ in sorted(trainer.get_mergeable_ranks(), key=lambda entry: entry[1])]
    ours = train_bpe(words, vocab_size=2000)
    assert list(ours.pieces) == theirs
    assert [number for word in text_words(text) for number in ours.encode_word(word)] == trainer.encode(text)


def test_ids_and_encodings_equal_those_of_hf_tokenizers(text: str, words: dict[str, int]) -> None:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator([text], trainer)
    ours = train_bpe(words, vocab_size=2000, order="gpt2", specials=["<end>"])
    characters = [LETTER_OF_BYTE[value] for value in range(256)]
    names = ["<end>", *("".join(characters[value] for value in piece) for piece in ours.pieces[1:])]
    assert names == sorted(theirs.get_vocab(), key=theirs.get_vocab().__getitem__)
    assert [number for word in text_words(text) for number in ours.encode_word(word)] == theirs.encode(
        text
    ).ids


def test_over_characters_ids_equal_those_of_hf_tokenizers(text: str, words: dict[str, int]) -> None:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    theirs = Tokenizer(models.BPE(unk_token="<unk>"))
    theirs.pre_tokenizer = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    theirs.train_from_iterator(
        [text], trainers.BpeTrainer(vocab_size=1500, special_tokens=["<unk>"], show_progress=False)
    )
    ours = train_bpe(words, vocab_size=1500, unit="characters", specials=["<unk>"], unknown="<unk>")
    names = ["<unk>", *(piece.decode() for piece in ours.pieces[1:])]
    assert names == sorted(theirs.get_vocab(), key=theirs.get_vocab().__getitem__)
    assert ours.encode_word("naïveté☃") == theirs.encode("naïveté☃").ids


def test_encoding_by_joined_bytes_equals_tiktoken(text: str, words: dict[str, int]) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    ours = train_bpe(words, vocab_size=2000)
    ranks = {piece: number for number, piece in enumerate(ours.pieces)}
    theirs = tiktoken.Encoding("ours", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    assert [n for word in text_words(text) for n in ours.encode_word(word, by="bytes")] == theirs.encode(text)


def test_joined_bytes_take_a_piece_that_no_merge_of_ids_makes() -> None:
    model = BPE((*(bytes((value,)) for value in range(256)), b"bc", b"abc"), (), "bytes")
    assert model.encode_word("xabc", by="bytes") == [ord("x"), 257]
    assert model.encode_word("xabc") == [ord(letter) for letter in "xabc"]
    # A whole word that is a piece is that piece, though no two others join to it.
    alone = BPE((*(bytes((value,)) for value in range(256)), b"abc"), (), "bytes")
    assert alone.encode_word("abc", by="bytes") == [256]
    assert alone.encode_word("xabc", by="bytes") == [ord(letter) for letter in "xabc"]


def text_words(text: str) -> list[str]:
    return re.findall(PATTERN, text)


def test_dropout_of_nothing_is_encoding_and_of_everything_is_the_bytes(words: dict[str, int]) -> None:
    model = train_bpe(words, vocab_size=600)
    rng = np.random.default_rng(0)
    assert model.encode_word(" default", dropout=0.0) == model.encode_word(" default")
    assert model.encode_word(" default", dropout=1.0, rng=rng) == list(b" default")


def test_dropout_passes_over_each_merge_with_its_probability() -> None:
    model = train_bpe({"ab": 1}, vocab_size=257)
    rng = np.random.default_rng(0)
    whole = sum(model.encode_word("ab", dropout=0.3, rng=rng) == [256] for _ in range(4000))
    assert abs(whole / 4000 - 0.7) < 0.03  # over four standard deviations


def test_a_merge_that_was_passed_over_may_be_taken_at_a_later_step() -> None:
    """Both merges happen if the first is kept and then the second, or the second, and then the first on its next turn."""
    model = train_bpe({"ab": 2, "cd": 1}, vocab_size=258)
    rng = np.random.default_rng(0)
    both = sum(model.encode_word("abcd", dropout=0.5, rng=rng) == [256, 257] for _ in range(4000))
    assert abs(both / 4000 - (0.5**2 + 0.5**3)) < 0.035


def test_dropout_keeps_the_text_and_follows_its_seed(words: dict[str, int]) -> None:
    model = train_bpe(words, vocab_size=600)

    def some(seed: int) -> list[list[int]]:
        rng = np.random.default_rng(seed)
        return [model.encode_word(" arguments", dropout=0.5, rng=rng) for _ in range(20)]

    assert some(1) == some(1) != some(2)
    assert {b"".join(model.pieces[number] for number in ids) for ids in some(1)} == {b" arguments"}


def test_a_very_long_word_is_trained_on_and_encoded() -> None:
    model = train_bpe({"ab" * 16_384: 1, "abab": 2}, vocab_size=262)
    assert len(model.encode_word("ab" * 16_384)) == 16_384 // 32


@given(words=small_words)
def test_the_largest_pair_count_bounds_every_count_of_training_and_is_reached(words: dict[str, int]) -> None:
    bound = largest_pair_count(words)
    counts = [step.count for step in train_bpe(words, vocab_size=300).merges]
    assert bound == max(counts, default=0)


def test_the_largest_pair_count_passes_32_bits_without_wrapping() -> None:
    assert largest_pair_count({"aaa": 2**31, "aa": 1}) == 2**32 + 1
    assert largest_pair_count({"é": 7}, unit="bytes") == 7
    assert largest_pair_count({"é": 7}, unit="characters") == 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"words": {}}, "no words to train on"),
        ({"words": {"": 3}}, "no words to train on"),
        ({"words": {"ab": 0}}, "'ab' has the count 0"),
        ({"words": {"a\ud800": 1}}, r"lone surrogate U\+D800"),
        ({"words": {"ab": 2**60}}, r"2\^53"),
        ({"words": {"ab": 1}, "vocab_size": 200}, "vocabulary of 200 is too small: .* make 256"),
        ({"words": {"ab": 1}, "unit": "byte"}, "did you mean bytes"),
        ({"words": {"ab": 1}, "order": "gpt"}, "did you mean gpt2"),
        ({"words": {"ab": 1}, "unknown": "<unk>"}, "must be one of the special tokens"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_sentence(given: dict, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        train_bpe(**{"vocab_size": 300, **given})


def test_what_cannot_be_encoded_is_refused_in_a_sentence() -> None:
    model = train_bpe({"ab": 1}, vocab_size=10, unit="characters")
    with pytest.raises(RequestError, match="character 'z' is not in the vocabulary"):
        model.encode_word("az")
    with pytest.raises(RequestError, match="no way 'bytes' to rank merges over characters"):
        model.encode_word("ab", by="bytes")
    with pytest.raises(RequestError, match="dropout is 1.5"):
        model.encode_word("ab", dropout=1.5)
    with pytest.raises(RequestError, match="default_rng"):
        model.encode_word("ab", dropout=0.5)
