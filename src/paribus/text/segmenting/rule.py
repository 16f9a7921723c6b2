"""Rules: classes of characters, in order, and for each whether its neighbours stay together.

A character belongs to the first class that has it; what belongs to none is a piece of its own. So text is cut where the
class changes: by script, or at the change from kanji to kana. The rules are data, from the table or a user's file.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from paribus.errors import RequestError, nearest, shown

_MOST_CLASSES = 200
_MOST_CHARACTERS = 10_000
#: Combining marks, variation selectors, joiners and skin tones belong to what they follow.
_MARKS = r"\p{M}" + "\u200c\u200d\U0001f3fb-\U0001f3ff"
#: The long vowel mark continues what it lengthens, in hiragana too.
_LENGTHENS = "ーｰ"


def _check(characters: str, where: str) -> None:
    """Refuse what would be more than the inside of one pair of brackets."""
    if not 1 <= len(characters) <= _MOST_CHARACTERS:
        raise RequestError(
            f"{where} has 1 to {_MOST_CHARACTERS:,} characters; {len(characters):,} were given"
        )
    escaped = False
    for letter in characters:
        if letter in "[]" and not escaped:
            raise RequestError(
                rf"{where} holds a bare {letter}; a bracket that is meant is written \{letter}"
            )
        escaped = letter == "\\" and not escaped
    if characters.startswith("^") or escaped or any(sign in characters for sign in ("--", "&&", "||", "~~")):
        raise RequestError(
            f"{where} is a list of characters and ranges, without ^ in front, --, &&, || or ~~: "
            f"{shown(characters, at_most=60)!r}"
        )


def _compiled(pattern: str) -> Any:
    try:
        # By name: it is an extra, and whoever only asks for the table must not need it.
        regex = importlib.import_module("regex")
    except ImportError:
        raise RequestError(
            "rules of characters take the package regex: pip install 'paribus[tokenizers]'"
        ) from None
    try:
        return regex.compile(pattern, regex.V1 | regex.DOTALL)
    except regex.error as error:
        raise RequestError(f"the characters of the rules cannot be read: {error.msg}") from None


@dataclass(frozen=True, kw_only=True)
class CharacterClass:
    """A class: its characters as in the brackets of a regular expression (`a-z`, `\\p{Han}`), and `together` or not."""

    name: str
    characters: str
    together: bool = True


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Classes in order, and the characters that continue any piece.

    Raises `RequestError` for characters that are no such list.
    """

    name: str
    classes: tuple[CharacterClass, ...]
    continuing: str = _MARKS

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= _MOST_CLASSES:
            raise RequestError(
                f"rules have 1 to {_MOST_CLASSES} classes; {shown(self.name)!r} has {len(self.classes):,}"
            )
        for name, characters in ((each.name, each.characters) for each in self.classes):
            _check(characters, f"the class {shown(name)!r}")
        _check(self.continuing, "what continues a piece")

    @cached_property
    def pattern(self) -> Any:
        """The compiled expression whose matches are the pieces."""
        earlier, parts = "", []
        for each in self.classes:
            # A class is what its predecessors left over.
            own = f"[[{each.characters}]--[{earlier}]]" if earlier else f"[{each.characters}]"
            within = f"[{own}[{self.continuing}]]*+" if each.together else f"[{self.continuing}]*+"
            parts.append(own + within)
            earlier += each.characters
        parts.append(f".[{self.continuing}]*+")
        return _compiled("|".join(parts))


_OF_ALL = (
    CharacterClass(name="letters", characters=r"\p{L}"),
    CharacterClass(name="digits", characters=r"\p{N}"),
    CharacterClass(name="white space", characters=r"\s"),
    CharacterClass(name="emoji", characters=r"\p{Extended_Pictographic}\p{Regional_Indicator}"),
)
#: Rules by name.
RULES: dict[str, Rules] = {
    rules.name: rules
    for rules in (
        Rules(
            name="classes",
            classes=_OF_ALL,
        ),
        Rules(
            name="scripts",
            classes=(
                *(
                    CharacterClass(name=script.lower(), characters=rf"\p{{Script={script}}}")
                    for script in [
                        "Latin",
                        "Greek",
                        "Cyrillic",
                        "Armenian",
                        "Georgian",
                        "Hebrew",
                        "Arabic",
                        "Devanagari",
                        "Bengali",
                        "Tamil",
                        "Telugu",
                        "Thai",
                        "Lao",
                        "Khmer",
                        "Myanmar",
                        "Tibetan",
                        "Ethiopic",
                        "Hangul",
                        "Hiragana",
                        "Katakana",
                        "Bopomofo",
                        "Han",
                    ]
                ),
                *_OF_ALL,
            ),
            continuing=_MARKS + _LENGTHENS,
        ),
        Rules(
            name="japanese",
            classes=(
                # ヵ and ヶ stand between kanji (一ヶ月) and are read as one.
                CharacterClass(name="kanji", characters=r"\p{Script=Han}〆ヵヶ"),
                CharacterClass(name="hiragana", characters=r"\p{Script=Hiragana}"),
                CharacterClass(name="katakana", characters=r"\p{Script=Katakana}"),
                CharacterClass(name="latin", characters=r"\p{Script=Latin}"),
                *_OF_ALL,
            ),
            continuing=_MARKS + _LENGTHENS,
        ),
    )
}


class RuleSegmenter:
    """Pieces of one class each, by `rules` or by those of that name. Raises `RequestError` for a name that is unknown."""

    name: ClassVar[str] = "rule"

    def __init__(self, rules: Rules | str = "classes") -> None:
        if isinstance(rules, str):
            if rules not in RULES:
                raise RequestError(f"there are no rules {rules!r}; {nearest(rules, RULES)}")
            rules = RULES[rules]
        self.rules = rules

    def segment(self, text: str) -> list[str]:
        pieces: Sequence[str] = self.rules.pattern.findall(text)
        return list(pieces)
