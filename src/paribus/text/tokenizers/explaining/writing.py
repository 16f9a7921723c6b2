"""How pieces and text are written for people: blanks and what no terminal should print are made visible."""

from __future__ import annotations

_NAMES = {" ": "␣", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def written(piece: bytes) -> str:
    """A piece as text; bytes that are no whole character as `\\xe2`."""
    return piece.decode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """`text` with a sign for a blank and escapes for what prints nothing."""
    return "".join(map(_visible, text))


def _visible(letter: str) -> str:
    if letter in _NAMES:
        return _NAMES[letter]
    return letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode()
