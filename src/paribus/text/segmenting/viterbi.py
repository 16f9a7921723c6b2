"""The best sequence of the tags B (begin), M (middle), E (end) and S (single), and the words that it spells.

Allowed neighbours are those that spell words: E or S before B and S, B or M before M and E; the last tag is E or S.
Where the scores come from (counts, a network) belongs elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

TAGS = "BMES"
#: Log probability of what cannot be. Not minus infinity: JSON has none, and sums of it stay comparable (jieba's value).
MISSING = -3.14e100
#: Which tags may stand before each.
BEFORE = {"B": "ES", "M": "MB", "S": "SE", "E": "BM"}

Scores = Sequence[float]


def best_tags(
    rows: Iterable[Scores], *, start: Mapping[str, float], move: Mapping[str, Mapping[str, float]]
) -> str:
    """The tags of the highest sum start + moves + scores, one for each row; a row scores B, M, E, S in this order.

    Equal sums go to the larger letter, as in jieba, and are summed in its order. Time and memory are linear: one byte a
    row beside the result.
    """
    if (first := next(rows := iter(rows), None)) is None:
        return ""
    b, m, e, s = (start[tag] + score for tag, score in zip(TAGS, first, strict=True))
    eb, sb = move["E"].get("B", MISSING), move["S"].get("B", MISSING)
    bm, mm = move["B"].get("M", MISSING), move["M"].get("M", MISSING)
    be, me = move["B"].get("E", MISSING), move["M"].get("E", MISSING)
    es, ss = move["E"].get("S", MISSING), move["S"].get("S", MISSING)
    # A bit for each tag: whether its predecessor is the larger letter of the two (S of E and S, M of B and M).
    larger = bytearray()
    for to_b, to_m, to_e, to_s in rows:
        e_to_b, s_to_b = e + eb + to_b, s + sb + to_b
        b_to_m, m_to_m = b + bm + to_m, m + mm + to_m
        b_to_e, m_to_e = b + be + to_e, m + me + to_e
        e_to_s, s_to_s = e + es + to_s, s + ss + to_s
        bits = 0
        if s_to_b >= e_to_b:
            b, bits = s_to_b, 1
        else:
            b = e_to_b
        if m_to_m >= b_to_m:
            m, bits = m_to_m, bits | 2
        else:
            m = b_to_m
        if m_to_e >= b_to_e:
            e, bits = m_to_e, bits | 4
        else:
            e = b_to_e
        if s_to_s >= e_to_s:
            s, bits = s_to_s, bits | 8
        else:
            s = e_to_s
        larger.append(bits)
    tag = 3 if s >= e else 2
    found = bytearray([tag])
    for bits in reversed(larger):
        from_larger = bits >> tag & 1
        if tag == 0 or tag == 3:  # B and S come after S or E
            tag = 3 if from_larger else 2
        else:  # M and E come after M or B
            tag = 1 if from_larger else 0
        found.append(tag)
    found.reverse()
    return found.translate(_LETTERS).decode("ascii")


_LETTERS = bytes(ord(TAGS[tag]) if tag < len(TAGS) else 0 for tag in range(256))


def spelled(text: str, tags: str) -> list[str]:
    """The words of `text`: each ends at a character with the tag E or S."""
    words, begin = [], 0
    for place, tag in enumerate(tags, 1):
        if tag in "ES":
            words.append(text[begin:place])
            begin = place
    return words


def tags_of(words: Iterable[str]) -> str:
    """The tags that spell these words."""
    return "".join("S" if len(word) == 1 else "B" + "M" * (len(word) - 2) + "E" for word in words)
