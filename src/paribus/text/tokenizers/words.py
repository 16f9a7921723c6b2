"""A corpus as words and their counts: all that most trainers see of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from paribus.text.tokenizers.normalisers import Normaliser
from paribus.text.tokenizers.splits import Split

#: So many characters are cut at once: `findall` makes a list of all words of what it is given.
_PART = 2**20


def count_words(texts: Iterable[str], *, normaliser: Normaliser, split: Split) -> dict[str, int]:
    """How often each word occurs in all of `texts`, in order of first appearance."""
    counts: Counter[str] = Counter()
    for text in texts:
        for part in parts(normaliser.apply(text)):
            counts.update(split.words(part))
    return dict(counts)


def parts(text: str) -> Iterator[str]:
    """`text` in parts of a bounded size that end with a line where there is one: few words are cut in two by that."""
    start = 0
    while start < len(text):
        end = start + _PART
        if end < len(text) and (line := text.rfind("\n", start, end)) > start:
            end = line + 1
        yield text[start:end]
        start = end
