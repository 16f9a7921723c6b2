"""Words while pairs are merged: what they look like after each merge, and how often each symbol stands in them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence


class Followed:
    """Words as rows of ids. `occurs` counts each id over all words, `words` [n] are the rows now.

    Which pair is merged is told from outside, so that what is shown is what a trainer did.
    """

    def __init__(self, words: Iterable[Sequence[int]], counts: Iterable[int]) -> None:
        self.words: list[list[int]] = [list(word) for word in words]
        self.counts = list(counts)
        self.occurs: Counter[int] = Counter()
        self._having: defaultdict[int, set[int]] = defaultdict(set)  # also words that had the id once
        for number, (word, count) in enumerate(zip(self.words, self.counts, strict=True)):
            for symbol in word:
                self.occurs[symbol] += count
                self._having[symbol].add(number)

    def merge(self, left: int, right: int, made: int) -> list[int]:
        """Put `made` for the pair, left to right without overlaps; the numbers of the words that changed, ascending."""
        changed = []
        for number in sorted(self._having[left] & self._having[right]):
            word = self.words[number]
            row: list[int] = []
            place = 0
            while place < len(word):
                if word[place] == left and place + 1 < len(word) and word[place + 1] == right:
                    row.append(made)
                    place += 2
                else:
                    row.append(word[place])
                    place += 1
            if times := len(word) - len(row):
                self.words[number] = row
                self._having[made].add(number)
                self.occurs[made] += times * self.counts[number]
                self.occurs[left] -= times * self.counts[number]
                self.occurs[right] -= times * self.counts[number]
                changed.append(number)
        return changed
