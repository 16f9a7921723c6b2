"""WordPiece cut from the top: of all substrings of the words, those that occur often enough are kept, longest first.

The recursion is that of the learner in TensorFlow Text (`wordpiece_tokenizer_learner_lib.py`), told in its guide
"Subword tokenizers". Guide and code disagree: by the guide a substring that is *kept* lowers the counts of its prefixes;
in the code every substring does, kept or not, which leaves a substring the count of the words that *end* with it. Both
can be had here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError, nearest
from paribus.text.tokenizers.reference.wordpiece import PREFIX, UNKNOWN, WordPiece
from paribus.text.tokenizers.reference.words import Ints, checked, code_points

LOWERED_BY = ("all", "kept")
#: 60 bytes each where none repeats, so 8 GB; in ordinary text, where most do, far less.
MOST_SUBSTRINGS = 2**27


@dataclass(frozen=True, slots=True)
class Tried:
    """A step of the search: the vocabulary that a threshold gives has `size` tokens."""

    threshold: int
    size: int


@dataclass(frozen=True)
class TopDownWordPiece(WordPiece):
    """Word pieces with the trace of how they came: the `counts` of the tokens that are no special tokens, the
    `threshold` (the least count of a kept substring) and what the search for it `tried`, in order.
    """

    counts: dict[str, int] = field(default_factory=dict)
    threshold: int = 0
    tried: tuple[Tried, ...] = ()


def train_wordpiece_topdown(
    words: Mapping[str, int],
    *,
    vocab_size: int,
    specials: Sequence[str] = (UNKNOWN,),
    lowered_by: str = "all",
    rounds: int = 4,
    slack: float = 0.05,
    lowest: int = 1,
    highest: int = 10_000_000,
    longest_word: int = 50,
    most_characters: int = 1000,
    longest_piece: int | None = None,
    prefix: str = PREFIX,
) -> TopDownWordPiece:
    """WordPiece of at most `vocab_size` tokens, and at least (1 - `slack`) of it where a threshold gives that.

    A round counts all substrings of each word that start where the longest-match encoding by the last round's tokens
    starts a piece (in the first round, anywhere), then goes from the longest to the shortest: a substring whose count
    is at least the threshold is kept, and its count is taken from its prefixes (`lowered_by` "kept", the guide; "all",
    the code: also when it is not kept). All characters stay, with and without the prefix. The threshold is searched by
    halving between `lowest` (TensorFlow's default is 10) and `highest`, both drawn in to the counts of the words; of what
    was tried the largest vocabulary that is not too large is taken. Words longer than `longest_word`, special tokens and
    words with a character beyond the `most_characters` most frequent are left out. Only substrings of up to
    `longest_piece` characters are counted (default: all); time and memory are those of that many copies of the words.

    Ids: special tokens, characters by code point, then the others by count downwards and by name. Raises `RequestError`
    for no words, more than `MOST_SUBSTRINGS`, or a vocabulary smaller than its alphabet.
    """
    if lowered_by not in LOWERED_BY:
        raise RequestError(f"prefixes cannot be lowered by {lowered_by!r}: {nearest(lowered_by, LOWERED_BY)}")
    if UNKNOWN not in specials:
        raise RequestError(f"WordPiece needs {UNKNOWN} among its special tokens, which are {list(specials)}")
    given = checked(words)
    kept = _allowed(given, specials=specials, longest_word=longest_word, most_characters=most_characters)
    if not kept:
        raise RequestError(
            f"no word is left to train on: all are special tokens or longer than {longest_word} characters"
        )
    substrings = _Substrings(kept, prefix, min(longest_piece or longest_word, 2**31))
    alphabet = [*specials, *sorted(set("".join(kept)))]
    low, high = max(lowest, min(given.values())), min(highest, max(given.values()))
    tried: list[Tried] = []
    best: TopDownWordPiece | None = None
    while True:
        threshold = (low + high) // 2
        of_nodes = substrings.counts(threshold, rounds=rounds, lowered_by=lowered_by)
        size = len(specials) + substrings.number_kept(of_nodes, threshold)
        # Of two substrings that are written alike ("##a" and what goes on with "a") only one is a token.
        if size <= 2 * vocab_size:
            counts = substrings.kept(of_nodes, threshold)
            order = sorted(counts, key=lambda token: (-counts[token], token))
            tokens = list(dict.fromkeys([*alphabet, *order]))
            size = len(tokens)
        tried.append(Tried(threshold, size))
        if (best.vocab_size if best else 0) < size <= vocab_size:
            best = TopDownWordPiece(
                tokens=tuple(tokens),
                unknown=list(specials).index(UNKNOWN),
                specials=tuple(specials),
                prefix=prefix,
                counts=counts,
                threshold=threshold,
            )
        near = size <= vocab_size and vocab_size - size <= slack * vocab_size
        if near or low >= high or threshold <= 1:
            break
        low, high = (threshold + 1, high) if size > vocab_size else (low, threshold - 1)
    if best is None:
        raise RequestError(
            f"a vocabulary of {vocab_size:,} is too small: the least that was found for these words is "
            f"{min(step.size for step in tried):,}"
        )
    return replace(best, tried=tuple(tried))


def _allowed(
    words: Mapping[str, int], *, specials: Sequence[str], longest_word: int, most_characters: int
) -> dict[str, int]:
    """The words to learn from."""
    words = {
        word: count for word, count in words.items() if len(word) <= longest_word and word not in specials
    }
    occurs: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            occurs[character] += count
    frequent = set(sorted(occurs, key=lambda character: (-occurs[character], character))[:most_characters])
    return {word: count for word, count in words.items() if frequent.issuperset(word)}


@dataclass(frozen=True)
class _Level:
    """All substrings of one length: `places` [n] where each occurrence starts, `nodes` [n] which substring it is."""

    places: npt.NDArray[np.int32]
    nodes: npt.NDArray[np.int32]


class _Substrings:
    """The substrings of the words as nodes of a trie; one that starts a word is another than one that goes on."""

    def __init__(self, words: Mapping[str, int], prefix: str, longest: int) -> None:
        self._text, self._prefix = "".join(words), prefix
        symbols, lengths = code_points(list(words)), np.array([len(word) for word in words])
        short = np.minimum(lengths, longest)
        if (number := int((short * (2 * lengths - short + 1) // 2).sum())) > MOST_SUBSTRINGS:
            raise RequestError(
                f"top-down WordPiece counts every substring, and these words have {number:,}, more than "
                f"{MOST_SUBSTRINGS:,}: take less text, or a split with shorter words"
            )
        self._starts = np.r_[0, np.cumsum(lengths)[:-1]]
        self._weight = np.repeat(np.array(list(words.values())), lengths)
        # Characters from a place to the end of its word.
        self._room = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(symbols))
        self._begins = np.zeros(len(symbols), dtype=bool)
        self._begins[self._starts] = True
        self._levels: list[_Level] = []
        parents: list[npt.NDArray[np.int32]] = []
        samples: list[npt.NDArray[np.int32]] = []  # a place where each node's substring stands
        places, above, size = np.arange(len(symbols)), np.zeros(len(symbols), dtype=np.int64), 0
        if prefix:
            above[self._begins] = 1
        while places.size and len(self._levels) < longest:
            depth = len(self._levels)
            keys, sample, nodes = np.unique(
                above << 21 | symbols[places + depth], return_index=True, return_inverse=True
            )
            nodes += size
            self._levels.append(_Level(places.astype(np.int32), nodes.astype(np.int32)))
            parents.append((keys >> 21).astype(np.int32))
            samples.append(places[sample].astype(np.int32))
            longer = self._room[places] > depth + 1
            places, above, size = places[longer], nodes[longer], size + len(keys)
        self._bounds = np.cumsum([0, *map(len, parents)])  # the nodes of a level lie in a row
        self._parent, self._sample = np.concatenate(parents), np.concatenate(samples)
        self._everywhere = self._counted(np.ones(len(symbols), dtype=bool))

    def counts(self, threshold: int, *, rounds: int, lowered_by: str) -> Ints:
        """[nodes]: the counts in the last round."""
        lowering = threshold if lowered_by == "kept" else None
        counts = self._lowered(self._everywhere, lowering)
        for _ in range(rounds - 1):
            keeps = counts >= threshold
            keeps[: self._bounds[1]] = True  # the characters
            counts = self._lowered(self._counted(self._piece_starts(keeps)), lowering)
        return counts

    def number_kept(self, counts: Ints, threshold: int) -> int:
        """How many tokens there are: characters, with and without prefix, and what reaches the threshold."""
        longer = counts[self._bounds[1] :]
        return 2 * len(set(self._text)) + int(np.count_nonzero(longer >= threshold))

    def kept(self, counts: Ints, threshold: int) -> dict[str, int]:
        """The tokens and their counts."""
        found = {each: 1 for letter in sorted(set(self._text)) for each in (letter, self._prefix + letter)}
        length = np.searchsorted(self._bounds, np.arange(len(counts)), side="right")
        for node in np.flatnonzero(counts >= threshold).tolist():
            start = self._sample[node]
            prefix = "" if self._begins[start] else self._prefix
            found[prefix + self._text[start : start + length[node]]] = int(counts[node])
        return found

    def _counted(self, starts: npt.NDArray[np.bool_]) -> Ints:
        """[nodes]: how often each substring stands at one of the `starts` [places]."""
        counts = np.zeros(len(self._parent), dtype=np.int64)
        for depth, level in enumerate(self._levels):
            used = starts[level.places]
            nodes = counts[self._bounds[depth] : self._bounds[depth + 1]]
            nodes += np.bincount(
                level.nodes[used] - self._bounds[depth],
                self._weight[level.places[used]],
                minlength=len(nodes),
            ).astype(np.int64)
        return counts

    def _lowered(self, counts: Ints, threshold: int | None) -> Ints:
        """`counts` without what longer substrings took: those that reach the threshold, or all when it is None."""
        left, taken = counts.copy(), np.zeros_like(counts)
        for depth in range(len(self._levels) - 1, -1, -1):
            nodes = slice(self._bounds[depth], self._bounds[depth + 1])
            left[nodes] -= taken[nodes]
            takes = left[nodes] if threshold is None else np.where(left[nodes] >= threshold, left[nodes], 0)
            if depth:
                np.add.at(taken, self._parent[nodes], taken[nodes] + takes)
        return left

    def _piece_starts(self, keeps: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """[places]: where longest match by the kept substrings starts a piece."""
        longest = np.zeros(len(self._room), dtype=np.int64)
        for depth, level in enumerate(self._levels):
            longest[level.places[keeps[level.nodes]]] = depth + 1
        starts = np.zeros(len(self._room), dtype=bool)
        at = self._starts
        while at.size:
            starts[at] = True
            at = (at + longest[at])[longest[at] < self._room[at]]
        return starts
