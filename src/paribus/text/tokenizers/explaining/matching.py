"""How longest match writes a word: which pieces are tried at each place, the longest first."""

from __future__ import annotations

from dataclasses import dataclass, field

from paribus.text.tokenizers.reference.wordpiece import WordPiece


@dataclass(frozen=True)
class Match:
    """At character `start` these pieces were tried in this order; the last was `found`, or none was."""

    start: int
    tried: tuple[str, ...]
    found: str | None


@dataclass(frozen=True)
class Matches:
    """A word from left to right. Where nothing is found the word is unknown as a whole."""

    tries: tuple[Match, ...]
    kind: str = field(default="matches", init=False)


def matches(trained: WordPiece, word: str) -> Matches:
    """The places of `word` in turn, at each the pieces from the longest on that the vocabulary could have."""
    pieces = frozenset(trained.tokens[len(trained.specials) :])
    longest = max(map(len, trained.tokens))
    tries = []
    start = 0
    while start < len(word):
        prefix = trained.prefix if start else ""
        tried: list[str] = []
        found = None
        for end in range(min(len(word), start + longest), start, -1):
            tried.append(prefix + word[start:end])
            # What is written with the prefix goes on a word and never starts one.
            starts_wrongly = (
                not start and tried[-1].startswith(trained.prefix) and tried[-1] != trained.prefix
            )
            if tried[-1] in pieces and not starts_wrongly:
                found = tried[-1]
                break
        tries.append(Match(start, tuple(tried), found))
        if found is None:
            break
        start += len(found) - len(prefix)
    return Matches(tuple(tries))
