"""WordPiece grown from the bottom: characters are merged, by frequency or by likelihood; encoding is longest match.

A piece that does not start a word is written with a prefix, "##". The frequency form is BPE over such symbols, which is
what HF tokenizers train; the likelihood form merges the pair that raises the likelihood of a unigram model of the pieces
most for its count, c(ab) / (c(a) c(b)): Schuster and Nakajima, 2012, as told in HF's course. The form that cuts words
from the top stands in `topdown.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError
from paribus.text.tokenizers.reference.pairs import Candidate, Merge, Pairs, Queue, pair_of
from paribus.text.tokenizers.reference.words import Ints, checked, code_points, utf8

UNKNOWN = "[UNK]"
PREFIX = "##"


@dataclass(frozen=True)
class WordPiece:
    """A vocabulary of word pieces; ids are places in `tokens`, which are as `vocab.txt` has them.

    `merges` is the trace of training, empty for a vocabulary that was not made by merging. A word of more than
    `longest_word` characters is the unknown token.
    """

    tokens: tuple[str, ...]
    unknown: int
    specials: tuple[str, ...] = ()
    merges: tuple[Merge, ...] = ()
    prefix: str = PREFIX
    longest_word: int = 100

    @property
    def vocab_size(self) -> int:
        return len(self.tokens)

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """[vocab_size]: the bytes that each id stands for, none for a special token."""
        return tuple(
            b""
            if number < len(self.specials)
            else utf8(token[len(self.prefix) :] if _goes_on(token, self.prefix) else token)
            for number, token in enumerate(self.tokens)
        )

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens) if number >= len(self.specials)}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.tokens))

    def encode_word(self, word: str) -> list[int]:
        """Ids of one word: the longest piece that starts it, the longest that goes on, and so forth.

        A word with any gap is the unknown token as a whole. A piece written with the prefix never starts a word, not
        even one that has "##" in its text, so that the pieces always join to the word.
        """
        if len(word) > self.longest_word:
            return [self.unknown]
        ids: list[int] = []
        start = 0
        while start < len(word):
            prefix = self.prefix if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                token = prefix + word[start:end]
                if (found := self._ids.get(token)) is not None and (
                    start or not _goes_on(token, self.prefix)
                ):
                    ids.append(found)
                    start = end
                    break
            else:
                return [self.unknown]
        return ids


def train_wordpiece(
    words: Mapping[str, int],
    *,
    vocab_size: int,
    min_count: int = 1,
    specials: Sequence[str] = (UNKNOWN,),
    runners_up: int = 0,
) -> WordPiece:
    """The frequency form: the most frequent pair is merged, of equals the one of smallest (left id, right id).

    Ids: special tokens, all characters by code point, the characters that go on a word with their prefix, likewise, then
    what was merged. HF tokenizers do the same but number the continuing characters at random, so their ties fall
    differently from run to run. A piece that starts a word is not made where it would be written like one that goes on
    ("##a"). Raises
    `RequestError` for no words, a vocabulary smaller than its alphabet, or specials without "[UNK]".
    """
    growing = _Growing(
        words, vocab_size=vocab_size, min_count=min_count, specials=specials, runners_up=runners_up
    )
    return growing.grown()


def train_wordpiece_likelihood(
    words: Mapping[str, int],
    *,
    vocab_size: int,
    min_count: int = 2,
    specials: Sequence[str] = (UNKNOWN,),
    runners_up: int = 0,
) -> WordPiece:
    """The likelihood form: the pair of largest c(ab) / (c(a) c(b)) is merged, counts being those of that moment.

    The score is the float64 nearest to the fraction; of equals the pair with the larger count, then the token that
    sorts first, then the left part that sorts first. `min_count` is the least count of a pair: without one the score
    favours pairs that occur once. Ids and errors are those of `train_wordpiece`.
    """
    growing = _GrowingByLikelihood(
        words, vocab_size=vocab_size, min_count=min_count, specials=specials, runners_up=runners_up
    )
    return growing.grown()


class _Growing:
    """Tokens that grow by merging the most frequent pair."""

    def __init__(
        self,
        words: Mapping[str, int],
        *,
        vocab_size: int,
        min_count: int,
        specials: Sequence[str],
        runners_up: int,
    ) -> None:
        self._vocab_size, self._min_count, self._runners_up = vocab_size, max(1, min_count), runners_up
        self._specials = tuple(specials)
        if UNKNOWN not in self._specials:
            raise RequestError(
                f"WordPiece needs {UNKNOWN} among its special tokens, which are {list(specials)}"
            )
        kept = checked(words)
        symbols, lengths = code_points(list(kept)), np.array([len(word) for word in kept])
        starts = np.r_[0, np.cumsum(lengths)[:-1]]
        goes_on = np.ones(len(symbols), dtype=bool)
        goes_on[starts] = False
        self.tokens = [*self._specials, *map(chr, np.unique(symbols).tolist())]
        self.tokens += [PREFIX + chr(value) for value in np.unique(symbols[goes_on]).tolist()]
        if vocab_size < len(self.tokens):
            raise RequestError(
                f"a vocabulary of {vocab_size:,} is too small: special tokens and characters, with and without "
                f"{PREFIX}, make {len(self.tokens):,}"
            )
        self.pairs = Pairs(
            _ids(symbols, goes_on, len(self._specials)), lengths, np.array(list(kept.values()))
        )

    def score(self, key: int) -> float:
        return self.pairs.counts[key]

    def rank(self, key: int) -> Any:
        """What `Queue` goes by: smaller is merged earlier, None never."""
        count = self.pairs.counts[key]
        return -count if count >= self._min_count else None

    def merge(self, key: int, made: int) -> list[int]:
        """Merge the pair into the id `made`; the pairs whose rank may have grown better."""
        return self.pairs.merge(key, made)[0]

    def written(self, key: int) -> str:
        """The token that the pair would become; its right part goes on a word, so it has the prefix."""
        left, right = pair_of(key)
        return self.tokens[left] + self.tokens[right][len(PREFIX) :]

    def grown(self) -> WordPiece:
        merges: list[Merge] = []
        queue = Queue(self.pairs.counts, self.rank)
        while len(self.tokens) < self._vocab_size and (key := queue.pop()) is not None:
            token, made = self.written(key), len(self.tokens)
            if _goes_on(token, PREFIX) != _goes_on(self.tokens[key >> 32], PREFIX):
                continue
            others = map(self._candidate, queue.runners_up(self._runners_up, to=key))
            best = self._candidate(key)
            merges.append(Merge(best.left, best.right, made, best.count, best.score, tuple(others)))
            self.tokens.append(token)
            queue.add(self.merge(key, made))
        return WordPiece(
            tokens=tuple(self.tokens),
            unknown=self._specials.index(UNKNOWN),
            specials=self._specials,
            merges=tuple(merges),
        )

    def _candidate(self, key: int) -> Candidate:
        return Candidate(*pair_of(key), self.pairs.counts[key], self.score(key))


class _GrowingByLikelihood(_Growing):
    """Tokens that grow by merging the pair of largest c(ab) / (c(a) c(b))."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._occurs = self.pairs.symbol_counts()
        self._beside: defaultdict[int, set[int]] = defaultdict(set)  # the pairs that a symbol is part of
        self._note(self.pairs.counts)

    def score(self, key: int) -> float:
        left, right = pair_of(key)
        return self.pairs.counts[key] / (self._occurs[left] * self._occurs[right])

    def rank(self, key: int) -> Any:
        count = self.pairs.counts[key]
        if count < self._min_count:
            return None
        return -self.score(key), -count, self.written(key), self.tokens[key >> 32]

    def merge(self, key: int, made: int) -> list[int]:
        left, right = pair_of(key)
        fresh, times = self.pairs.merge(key, made)
        self._occurs[made] = times
        self._occurs[left] -= times
        self._occurs[right] -= times
        self._note(fresh)
        # The parts became rarer, so the scores of all their other pairs rose.
        touched = self._beside[left] | self._beside[right]
        for gone in [other for other in touched if not self.pairs.counts[other]]:
            touched.discard(gone)
            for symbol in pair_of(gone):
                self._beside[symbol].discard(gone)
        return [*touched, *fresh]

    def _note(self, keys: Iterable[int]) -> None:
        for key in keys:
            for symbol in pair_of(key):
                self._beside[symbol].add(key)


def _goes_on(token: str, prefix: str) -> bool:
    """Whether a token goes on a word, by how it is written."""
    return bool(prefix) and token.startswith(prefix) and token != prefix


def _ids(symbols: Ints, goes_on: npt.NDArray[np.bool_], first: int) -> Ints:
    """The ids of the characters that start words, and of those that go on."""
    plain, continuing = np.unique(symbols), np.unique(symbols[goes_on])
    ids = first + np.searchsorted(plain, symbols)
    ids[goes_on] = first + len(plain) + np.searchsorted(continuing, symbols[goes_on])
    return ids
