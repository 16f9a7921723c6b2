"""Plays a list of merges again, counting everything anew at each step: the judge of trainers, ours and others'.

It shares no code with the trainers. Where a library's tie rule is not defined, any pair of the largest count may be next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

Pair = tuple[str, str]


def split_plain(word: str) -> list[str]:
    return list(word)


def split_continuing(word: str) -> list[str]:
    return [word[:1], *("##" + letter for letter in word[1:])]


def join_plain(pair: Pair) -> str:
    return pair[0] + pair[1]


def join_continuing(pair: Pair) -> str:
    return pair[0] + pair[1].removeprefix("##")


def replay(
    words: Mapping[str, int],
    made: Sequence[str],
    *,
    split: Callable[[str], list[str]] = split_plain,
    join: Callable[[Pair], str] = join_plain,
) -> tuple[str | None, int]:
    """The first fault of `made`, the strings that merging made in order, or None; and how many steps were tied.

    At each step some pair of the largest count must join to the string.
    """
    rows = [(split(word), count) for word, count in words.items()]
    tied = 0
    for number, string in enumerate(made):
        counts: Counter[Pair] = Counter()
        for row, count in rows:
            for pair in pairwise(row):
                counts[pair] += count
        if not counts:
            return f"merge {number} makes {string!r}, but no pair is left", tied
        most = max(counts.values())
        best = [pair for pair, count in counts.items() if count == most]
        tied += len(best) > 1
        chosen = [pair for pair in best if join(pair) == string]
        if not chosen:
            return f"merge {number} makes {string!r}, but only {sorted(best)} occur {most} times", tied
        rows = [(_merged(row, chosen[0], string), count) for row, count in rows]
    return None, tied


def _merged(row: list[str], pair: Pair, string: str) -> list[str]:
    out: list[str] = []
    for symbol in row:
        if out and (out[-1], symbol) == pair:
            # A symbol that this merge just made differs from either part, so nothing is merged twice.
            out[-1] = string
        else:
            out.append(symbol)
    return out
