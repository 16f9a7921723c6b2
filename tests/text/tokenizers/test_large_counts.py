"""Pairs that occur more often than 31 bits can count: trained all the same, and no library is trusted beyond."""

import pytest

from paribus.text.tokenizers.methods import Corpus, byte_bpe, train_tokenizer
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.reference import train_bpe

# In 32 bits the first has a negative count, and the last is the most frequent.
COUNTS = {"ab": 2**31 + 2, "cd": 2**31 + 1, "ef": 2**32 + 1, "gh": 2**31 - 1, "ij": 2**20}
ORDER = ["ef", "ab", "cd", "gh", "ij"]


class Counted(Corpus):
    """Words that nobody writes out."""

    def __init__(self) -> None:
        super().__init__(list)

    def words(self, recipe: Recipe) -> dict[str, int]:
        return dict(COUNTS)


@pytest.mark.parametrize("method", ["bpe", "wordpiece", "sentencepiece_bpe", "word"])
def test_the_most_frequent_pairs_come_first(method: str) -> None:
    recipe = Recipe(method=method, vocab_size=300, options={"coverage": 1})
    pieces = [piece.decode() for piece in train_tokenizer(recipe, Counted()).pieces[256:]]
    assert [piece for piece in pieces if piece in ORDER] == ORDER


def test_the_reference_counts_beyond_32_bits() -> None:
    made = train_bpe(COUNTS, vocab_size=261)
    assert [(made.pieces[step.made].decode(), step.count) for step in made.merges] == [
        (pair, COUNTS[pair]) for pair in ORDER
    ]


@pytest.mark.parametrize(("room", "fast"), [(9, False), (10, True), (11, True)])
def test_rustbpe_gets_no_more_bytes_than_it_can_count(
    monkeypatch: pytest.MonkeyPatch, room: int, fast: bool
) -> None:
    assert byte_bpe._MOST_BYTES == 2**31 - 1
    monkeypatch.setattr(byte_bpe, "_MOST_BYTES", room)
    called = []
    monkeypatch.setattr(byte_bpe, "train_bpe", lambda *a, **b: called.append(1) or train_bpe(*a, **b))
    texts = ["ab\u00e9", "ab", "c", "", "abc"]  # 10 bytes, 9 characters
    made = train_tokenizer(Recipe(method="byte_bpe", vocab_size=300), Corpus(lambda: texts))
    assert (not called) == fast and b"ab" in made.pieces
