"""What is done to a text before it is cut into words. Each says what it loses; "none" loses nothing.

A normaliser joins by one row in `NORMALISERS`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from paribus.errors import RequestError, nearest


@dataclass(frozen=True)
class Normaliser:
    """A function from text to text, and what of the text does not come back."""

    name: str
    apply: Callable[[str], str]
    loses: tuple[str, ...] = ()


def _form(form: str) -> Callable[[str], str]:
    return lambda text: unicodedata.normalize(form, text)  # type: ignore[arg-type]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _lowered(text: str) -> str:
    # Every letter by itself, as other libraries do it: str.lower asks whether a sigma ends a word.
    return text.replace("\N{GREEK CAPITAL LETTER SIGMA}", "\N{GREEK SMALL LETTER SIGMA}").lower()


NORMALISERS: dict[str, Normaliser] = {
    row.name: row
    for row in (
        Normaliser("none", lambda text: text),
        Normaliser("nfc", _form("NFC"), ("decomposed characters",)),
        Normaliser("nfkc", _form("NFKC"), ("what NFKC folds, such as full-width letters",)),
        Normaliser("lowercase", _lowered, ("capital letters",)),
        Normaliser("nfkc_casefold", _folded, ("what NFKC folds", "capital letters")),
    )
}


def get_normaliser(name: str) -> Normaliser:
    """The normaliser called `name`. Raises `RequestError` for an unknown one."""
    if name not in NORMALISERS:
        raise RequestError(f"there is no normaliser {name!r}: {nearest(name, NORMALISERS)}")
    return NORMALISERS[name]
