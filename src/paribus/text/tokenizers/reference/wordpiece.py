"""WordPiece grown from the bottom: characters are merged, by frequency or by likelihood; encoding is longest match.

A piece that does not start a word is written with a prefix, "##". The frequency form is BPE over such symbols, which is
what HF tokenizers train; the likelihood form merges the pair that raises the likelihood of a unigram model of the pieces
most for its count, c(ab) / (c(a) c(b)): Schuster and Nakajima, 2012, as told in HF's course. The form that cuts words
from the top stands in `topdown.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError
from paribus.text.tokenizers.reference.choosing import ByCount, ByLikelihood, Chooser, grow
from paribus.text.tokenizers.reference.pairs import Merge, Pairs, pair_of
from paribus.text.tokenizers.reference.words import Ints, checked, code_points
from paribus.text.tokenizers.unicode import utf8

UNKNOWN = "[UNK]"
PREFIX = "##"
_SHORT = 16


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
            b"" if number < len(self.specials) else utf8(self.form(token)[1])
            for number, token in enumerate(self.tokens)
        )

    def form(self, token: str) -> tuple[bool, str]:
        """Whether a token goes on a word, and its text."""
        goes_on = _goes_on(token, self.prefix)
        return goes_on, token[len(self.prefix) :] if goes_on else token

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens) if number >= len(self.specials)}

    @cached_property
    def _long(self) -> dict[str, list[tuple[str, str]]]:
        """Tokens of more than `_SHORT` characters, the longest first, with their text; by prefix and first characters."""
        found: dict[str, list[tuple[str, str]]] = {}
        for token in sorted(self._ids, key=len, reverse=True):
            prefix = self.prefix if _goes_on(token, self.prefix) else ""
            if len(token) > len(prefix) + _SHORT:
                found.setdefault(token[: len(prefix) + _SHORT], []).append((token, token[len(prefix) :]))
        return found

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
            token = self._token_at(word, start)
            if token is None:
                return [self.unknown]
            ids.append(self._ids[token])
            start += len(token) - (len(self.prefix) if start else 0)
        return ids

    def _token_at(self, word: str, start: int) -> str | None:
        """The longest token there; only those of up to `_SHORT` characters are looked for length by length."""
        prefix = self.prefix if start else ""
        for token, text in self._long.get(prefix + word[start : start + _SHORT], ()):
            if word.startswith(text, start):
                return token
        for end in range(min(len(word), start + _SHORT), start, -1):
            token = prefix + word[start:end]
            if token in self._ids and (start or not _goes_on(token, self.prefix)):
                return token
        return None


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
    ("##a"). Raises `RequestError` for no words, a vocabulary smaller than its alphabet, or specials without "[UNK]".
    """
    start = _Start(words, vocab_size=vocab_size, specials=specials)
    return start.grown(ByCount(start.pairs, max(1, min_count)), vocab_size=vocab_size, runners_up=runners_up)


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
    start = _Start(words, vocab_size=vocab_size, specials=specials)
    chooser = ByLikelihood(
        start.pairs, min_count, tie=lambda key: (start.written(*pair_of(key)), start.tokens[key >> 32])
    )
    return start.grown(chooser, vocab_size=vocab_size, runners_up=runners_up)


class _Start:
    """The words as characters, and the tokens so far."""

    def __init__(self, words: Mapping[str, int], *, vocab_size: int, specials: Sequence[str]) -> None:
        self._specials = tuple(specials)
        if UNKNOWN not in self._specials:
            raise RequestError(
                f"WordPiece needs {UNKNOWN} among its special tokens, which are {list(specials)}"
            )
        kept = checked(words)
        symbols, lengths = code_points(list(kept)), np.array([len(word) for word in kept])
        goes_on = np.ones(len(symbols), dtype=bool)
        goes_on[np.r_[0, np.cumsum(lengths)[:-1]]] = False
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

    def written(self, left: int, right: int) -> str:
        """The token that a pair would become; its right part goes on a word, so it has the prefix."""
        return self.tokens[left] + self.tokens[right][len(PREFIX) :]

    def grown(self, chooser: Chooser, *, vocab_size: int, runners_up: int) -> WordPiece:
        def take(left: int, right: int) -> bool:
            token = self.written(left, right)
            if _goes_on(token, PREFIX) != _goes_on(self.tokens[left], PREFIX):
                return False
            self.tokens.append(token)
            return True

        merges = grow(self.pairs, chooser, take, ids=(len(self.tokens), vocab_size), runners_up=runners_up)
        return WordPiece(
            tokens=tuple(self.tokens),
            unknown=self._specials.index(UNKNOWN),
            specials=self._specials,
            merges=merges,
        )


def _goes_on(token: str, prefix: str) -> bool:
    """Whether a token goes on a word, by how it is written."""
    return bool(prefix) and token.startswith(prefix) and token != prefix


def _ids(symbols: Ints, goes_on: npt.NDArray[np.bool_], first: int) -> Ints:
    """The ids of the characters that start words, and of those that go on."""
    plain, continuing = np.unique(symbols), np.unique(symbols[goes_on])
    ids = first + np.searchsorted(plain, symbols)
    ids[goes_on] = first + len(plain) + np.searchsorted(continuing, symbols[goes_on])
    return ids
