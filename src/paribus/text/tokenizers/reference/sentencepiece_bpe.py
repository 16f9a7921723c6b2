"""BPE by the rules of SentencePiece 0.2.3, which differ from those of `bpe.py` in what may merge and in ties.

Kudo and Richardson, 2018 (arXiv:1808.06226); the rules are those of the release's source. The older trainer (0.2.1 and
before) looks at a part of the pairs only and gives other pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from paribus.errors import RequestError
from paribus.text.tokenizers.reference.applying import merge_by_rank
from paribus.text.tokenizers.reference.choosing import ByCount, grow
from paribus.text.tokenizers.reference.pairs import Merge, Pairs, pair_of
from paribus.text.tokenizers.reference.scored_pieces import ScoredPieces
from paribus.text.tokenizers.reference.sentencepiece_text import (
    SPECIALS,
    PieceRules,
    ids_of,
    required_characters,
)
from paribus.text.tokenizers.reference.words import checked, code_points

_NO_SYMBOL = -1  # a character that is not in the vocabulary, across which nothing merges


@dataclass(frozen=True)
class SentencePieceBPE(ScoredPieces):
    """Special tokens, merged pieces in order, characters: the score of the piece made n-th is -n, and characters go on from
    there.
    """

    merges: tuple[Merge, ...] = ()

    def encode_word(
        self, word: str, *, dropout: float = 0.0, rng: np.random.Generator | None = None
    ) -> list[int]:
        """Ids of one word, written with U+2581 for a space: the neighbours that join to the piece of the best score
        are merged first, whichever pair made that piece. A run of unknown characters is one unknown token.

        `dropout` passes over merges at random (see `merge_by_rank`).
        """

        def ranked(left: str, right: str) -> tuple[float, str] | None:
            number = self._ids.get(left + right)
            return None if number is None else (-self.scores[number], left + right)

        return ids_of(merge_by_rank(word, ranked, dropout=dropout, rng=rng), self._ids, self.unknown)


def train_sentencepiece_bpe(
    words: Mapping[str, int],
    *,
    vocab_size: int,
    rules: PieceRules | None = None,
    coverage: float = 1.0,
    specials: Sequence[str] = SPECIALS,
    runners_up: int = 0,
) -> SentencePieceBPE:
    """SentencePiece's BPE from words that start with U+2581 (`sentencepiece_words`).

    The pair with the largest count that `rules` allow is merged; of equals the one with fewer characters, then with
    the smaller string. SentencePiece also passes over a piece that another split made; as a pair is merged everywhere
    at once, there is none. Pairs that have come to occur no more are taken too when nothing else is left. `coverage` is
    the part of the text whose characters get pieces of their own. Fewer pieces come out when there are no more pairs.
    Raises `RequestError` for no words, or a vocabulary smaller than its characters.
    """
    kept, rules = checked(words), rules or PieceRules()
    characters = required_characters(kept, coverage)
    reserved = len(specials) + len(characters)
    if vocab_size < reserved:
        raise RequestError(
            f"a vocabulary of {vocab_size:,} is too small: {len(specials)} special tokens and {len(characters):,} "
            f"characters make {reserved:,}"
        )
    ids = np.full(0x110000, _NO_SYMBOL)
    ids[list(map(ord, characters))] = np.arange(len(characters))
    pairs = Pairs(
        ids[code_points(list(kept))], np.array([len(word) for word in kept]), np.array(list(kept.values()))
    )
    strings = list(characters)

    def tie(key: int) -> tuple[int, str] | None:
        left, right = pair_of(key)
        piece = strings[left] + strings[right]
        return (len(piece), piece) if rules.allow(piece) else None

    def take(left: int, right: int) -> bool:
        strings.append(strings[left] + strings[right])
        return True

    room = (len(characters), len(characters) + vocab_size - reserved)
    merges = grow(pairs, ByCount(pairs, 0, tie), take, ids=room, runners_up=runners_up)
    tokens = [*strings[len(characters) :], *characters]

    def numbered(symbol: int) -> int:
        """In training characters come first; in the file they come last."""
        return len(specials) + (symbol - len(characters)) % len(strings)

    return SentencePieceBPE(
        tokens=(*specials, *tokens),
        scores=(*(0.0 for _ in specials), *(-float(number) for number in range(len(tokens)))),
        specials=tuple(specials),
        merges=tuple(_renumbered(step, numbered) for step in merges),
    )


def _renumbered(step: Merge, numbered: Callable[[int], int]) -> Merge:
    others = tuple(
        replace(pair, left=numbered(pair.left), right=numbered(pair.right)) for pair in step.runners_up
    )
    return replace(
        step,
        left=numbered(step.left),
        right=numbered(step.right),
        made=numbered(step.made),
        runners_up=others,
    )
