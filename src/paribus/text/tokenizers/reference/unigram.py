"""The unigram language model of subwords: begin with too many pieces, fit them, drop those that are missed least.

Kudo, 2018 (arXiv:1804.10959), by the rules of SentencePiece 0.2.3, which prunes before it looks whether it is done.
Sums are float64 here and float32 there, so near equals may fall otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from paribus.errors import RequestError
from paribus.text.tokenizers.reference.piece_trie import UNKNOWN
from paribus.text.tokenizers.reference.sentencepiece_text import (
    RESERVED,
    SPECIALS,
    LineEnd,
    PieceRules,
    required_characters,
)
from paribus.text.tokenizers.reference.unigram_lattice import Floats, Lattices, counted
from paribus.text.tokenizers.reference.unigram_model import UNKNOWN_PENALTY, Pruned, Round, Unigram
from paribus.text.tokenizers.reference.unigram_seeds import seed_scores
from paribus.text.tokenizers.reference.words import Ints, checked

Written = TypeVar("Written", str, LineEnd)

_LONGEST_WORD = 4192  # bytes; the library leaves out longer lines
_LEAST_EXPECTED = 0.5
_SPARE = 1.1  # training ends with this many times the pieces asked for


def train_unigram(
    words: Mapping[str, int],
    *,
    vocab_size: int,
    line_ends: Mapping[LineEnd, int] | None = None,
    rules: PieceRules | None = None,
    coverage: float = 1.0,
    specials: Sequence[str] = SPECIALS,
    most_seeds: int = 1_000_000,
    shrink: float = 0.75,
    unknown_is_first: bool = True,
    told: bool = False,
) -> Unigram:
    """Unigram pieces from words that start with U+2581 (`sentencepiece_words`).

    `line_ends` says how words end lines, which bears on the first pieces only (`sentencepiece_line_ends`).
    `most_seeds` pieces that repeat are the start. Then, until 1.1 x `vocab_size` are left: two steps of EM (expected
    counts by forward-backward; pieces expected less than 0.5 times go; score = digamma(count) - digamma(sum)), and
    the pieces whose loss is least are dropped, at most 1 - `shrink` of all (see `Pruned`). At the end go those that
    their own parts beat; the characters that make up `coverage` of the text stay in any case. `told` keeps every
    dropped piece in the trace. `unknown_is_first`: in training the library counts characters that have lost their piece
    as its first piece, which makes that one look more frequent; False counts them as nothing. Words of more than 4,192
    bytes are left out.

    Raises `RequestError` for no words, or a vocabulary smaller than its characters.
    """
    rules = rules or PieceRules()
    given = checked(
        {
            word: count
            for word, count in words.items()
            if len(word.encode("utf-8", "replace")) <= _LONGEST_WORD
        }
    )
    characters = required_characters(given, coverage)
    reserved = len(specials) + len(characters)
    if vocab_size < reserved:
        raise RequestError(
            f"a vocabulary of {vocab_size:,} is too small: {len(specials)} special tokens and {len(characters):,} "
            f"characters make {reserved:,}"
        )
    rare = str.maketrans(dict.fromkeys(set("".join(given)) - set(characters), RESERVED))
    kept = _summed((word.translate(rare), count) for word, count in given.items())
    ends = _summed(
        ((word.translate(rare), after.translate(rare)), count)
        for (word, after), count in (line_ends or {}).items()
        if word in given
    )
    seeds = seed_scores(kept, ends, rules=rules, most=most_seeds)
    fitting = _Fitting(kept, seeds, unknown_is_first=unknown_is_first)
    rounds: list[Round] = []
    enough = int(vocab_size * _SPARE)
    while True:
        sizes, objective = [], 0.0
        for _ in range(2):
            objective = fitting.step()
            sizes.append(len(fitting.pieces))
        pruned = fitting.prune(max(enough, int(shrink * len(fitting.pieces))), told=told)
        rounds.append(Round(tuple(sizes), objective, len(fitting.pieces), pruned))
        if len(fitting.pieces) <= enough:
            break
    scores = fitting.final(characters, vocab_size - len(specials))
    tokens = sorted(scores, key=lambda piece: (-scores[piece], piece))
    return Unigram(
        tokens=(*specials, *tokens),
        scores=(*(0.0 for _ in specials), *(scores[token] for token in tokens)),
        specials=tuple(specials),
        seeds=len(seeds),
        rounds=tuple(rounds),
    )


class _Fitting:
    """Pieces and their scores, fitted to the words."""

    def __init__(
        self, words: Mapping[str, int], seeds: Mapping[str, float], *, unknown_is_first: bool
    ) -> None:
        self.pieces = list(seeds)
        counts = np.array(list(seeds.values()))
        self._scores: Floats = _as_held(np.log(counts) - np.log(counts.sum()))
        self._unknown_is_first = unknown_is_first
        ordered = sorted(words)  # sums of floats depend on their order
        self._weights: Ints = np.array([words[word] for word in ordered])
        self._lattices = Lattices.of(ordered, self.pieces)

    def step(self) -> float:
        """One step of EM. Gives the negative log likelihood of a word before it, in nats."""
        found, likelihood = self._lattices.expected(self._with_unknown(), self._weights)
        expected = self._given_away(found)
        stays = np.flatnonzero(expected >= _LEAST_EXPECTED)
        self._keep(stays)
        self._scores = _as_held(digamma(expected[stays]) - digamma(expected[stays].sum()))
        return -likelihood / float(self._weights.sum())

    def prune(self, size: int, *, told: bool) -> tuple[Pruned, ...]:
        """Drop pieces until `size` are left: those that the best segmentations do not use, then by their loss."""
        longer, parts_score, strings, parts = self._alternatives()
        string, piece = self._lattices.best(self._with_unknown()).used()
        used = self._given_away(counted(piece, self._weights[string], len(self.pieces)))
        total = used.sum()
        # If a piece went, each of its parts would occur as much more often as the piece does.
        own = used[longer]
        numbers = np.bincount(strings, minlength=len(longer))
        # Pieces that are not used go before their loss is looked at.
        with np.errstate(divide="ignore", invalid="ignore"):
            part_used = np.r_[used, used[0] if self._unknown_is_first else 0.0][parts]
            log_parts = counted(strings, np.log(part_used + own[strings]), len(longer))[:-1]
            log_parts -= numbers * np.log(total + own * (numbers - 1))
            loss = own / total * (np.log(own / total) - log_parts)
        splits = parts_score > self._scores[longer]
        compared = (own > 0) & ~splits
        is_longer = np.zeros(len(self.pieces), dtype=bool)
        is_longer[longer] = True
        always = np.flatnonzero(~is_longer & (used > 0))
        order = np.lexsort((longer[compared], -loss[compared]))
        stays = np.r_[always, longer[compared][order][: max(0, size - len(always))]]
        pruned = (
            self._told(stays, used, dict(zip(longer.tolist(), loss.tolist(), strict=True))) if told else ()
        )
        self._keep(stays)
        return pruned

    def final(self, characters: Sequence[str], size: int) -> dict[str, float]:
        """The scores of the `size` best pieces and of all `characters`."""
        longer, parts_score, _, _ = self._alternatives()
        reached = np.ones(len(self.pieces), dtype=bool)
        reached[longer[parts_score > self._scores[longer]]] = False
        self._keep(np.flatnonzero(reached))
        scores = dict(zip(self.pieces, self._scores.tolist(), strict=True))
        lowest = min(scores.values())
        # A character that was lost comes back below all others, each a little above the one before.
        missing = [character for character in characters if character not in scores]
        found = {character: scores[character] for character in characters if character in scores}
        found |= {character: lowest + 0.0001 * number for number, character in enumerate(missing)}
        for piece in sorted(scores, key=lambda each: (-scores[each], each)):
            if len(found) == size:
                break
            found.setdefault(piece, scores[piece])
        return found

    def _alternatives(self) -> tuple[Ints, Floats, Ints, Ints]:
        """What each piece would be without itself: the pieces of two characters and more [n], the score of their best
        segmentation into others [n], and its parts as (place among the n, part).
        """
        longer = np.array(
            [number for number, piece in enumerate(self.pieces) if len(piece) > 1], dtype=np.int64
        )
        if not longer.size:
            return longer, np.zeros(0), longer, longer
        lattices = Lattices.of([self.pieces[number] for number in longer], self.pieces)
        best = lattices.without_whole().best(self._with_unknown())
        return longer, best.scores, *best.used()

    def _keep(self, stays: Ints) -> None:
        new_ids = np.full(len(self.pieces), UNKNOWN)
        new_ids[stays] = np.arange(len(stays))
        self._lattices = self._lattices.renamed(new_ids)
        self.pieces = [self.pieces[number] for number in stays.tolist()]
        self._scores = self._scores[stays]

    def _told(self, stays: Ints, used: Floats, loss: Mapping[int, float]) -> tuple[Pruned, ...]:
        kept = set(stays.tolist())
        gone = (number for number in range(len(self.pieces)) if number not in kept)
        return tuple(
            Pruned(
                self.pieces[number], float(self._scores[number]), int(used[number]), loss.get(number, np.nan)
            )
            for number in gone
        )

    def _given_away(self, counts: Floats) -> Floats:
        """[pieces]: `counts` [pieces + 1] without the last, the unknown's, or with it as the first piece's."""
        known = counts[:-1].copy()
        if self._unknown_is_first:
            known[0] += counts[-1]
        return known

    def _with_unknown(self) -> Floats:
        return np.r_[self._scores, self._scores.min() - UNKNOWN_PENALTY]


def digamma(x: Floats) -> Floats:
    """The derivative of log gamma, for x > 0, to 1e-12: recurrence up to 10, then the asymptotic series."""
    x = np.array(x, dtype=np.float64)
    below = np.zeros_like(x)
    while (small := x < 10).any():
        below -= np.where(small, 1 / x, 0.0)
        x += small
    inverse = 1 / (x * x)
    series = inverse * (
        1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse * (1 / 240 - inverse / 132)))
    )
    return np.log(x) - 0.5 / x - series + below


def _as_held(scores: Floats) -> Floats:
    """In single precision, as the library holds them: what is expected equally often then scores alike."""
    return scores.astype(np.float32).astype(np.float64)


def _summed(counts: Iterable[tuple[Written, int]]) -> dict[Written, int]:
    """The counts of what is written alike, together."""
    found: Counter[Written] = Counter()
    for written, count in counts:
        found[written] += count
    return dict(found)
