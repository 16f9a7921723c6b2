"""What is done about letters and digits that no dictionary knows: those that stand together stay together."""

from __future__ import annotations

from collections.abc import Iterable

_ASCII = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def joined(pieces: Iterable[str]) -> list[str]:
    """The pieces, neighbours of one ASCII letter or digit made one. A longer piece stays as it is and divides runs."""
    found: list[str] = []
    run: list[str] = []
    for piece in pieces:
        if piece in _ASCII:
            run.append(piece)
            continue
        if run:
            found.append("".join(run))
            run = []
        found.append(piece)
    if run:
        found.append("".join(run))
    return found
