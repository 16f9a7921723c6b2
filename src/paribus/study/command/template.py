"""A command as a template: split into arguments first and filled in afterwards, so that no shell is needed.

Whatever a value holds (blanks, quotes, semicolons, braces), it arrives as part of one argument and as it was
written. `{name}` is a placeholder, `{{name}}` the text {name}; every other brace, as in JSON, stands for itself.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, nearest

Words = tuple[str, ...]

NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"
#: What the study fills in itself, and why a command cannot do without it.
_NEEDED = {
    "lr": "every arm runs at every rate of the grid; write --lr {lr}, or what the program calls it",
    "seed": "chance is measured over seeds; write --seed {seed}, or what the program calls it",
    "out": "the program writes {out}/metrics.jsonl; write --out {out}, or what the program calls it",
}
_OURS = (*_NEEDED, "tokens")
_PLACEHOLDER = re.compile(rf"\{{\{{({NAME})\}}\}}|\{{({NAME})\}}")
_SHELL = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1"}


def split(command: str) -> Words:
    """The arguments of a command; raises `RequestError` if it has none, or begins with no program."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise RequestError(
            f"the command cannot be split into arguments: {str(error).lower()}: {command!r}"
        ) from None
    if "\0" in command:
        raise RequestError(f"the command has a NUL character, which no argument can have: {command!r}")
    if not words:
        raise RequestError(
            "the command is empty; it is a program with its arguments, as in 'python train.py --lr {lr}'"
        )
    if not placeholders(words[:1]) and shutil.which(words[0]) is None:
        raise RequestError(
            f"the command begins with {words[0]!r}, which is no program here; no shell runs it, so settings of the "
            "environment go as 'env NAME=value program ...'"
        )
    return words


def check_placeholders(words: Words, vary: Mapping[str, Any], tokens: int | None) -> set[str]:
    """The names in the command; raises `RequestError` for one that nothing fills in, or that is missing."""
    names = placeholders(words)
    if ours := [key for key in vary if key in _OURS]:
        raise RequestError(
            f"{{{ours[0]}}} is filled in by the study and cannot be varied; name the key otherwise"
        )
    if unknown := sorted(names - vary.keys() - set(_OURS)):
        raise RequestError(
            f"the command has {{{unknown[0]}}}, which nothing fills in; {nearest(unknown[0], {*vary, *_OURS})} "
            f"(write {{{{{unknown[0]}}}}} for the text itself)"
        )
    if unused := [key for key in vary if key not in names]:
        raise RequestError(
            f"{unused[0]!r} is varied and the command has no {{{unused[0]}}}, so it would change nothing"
        )
    for name, why in _NEEDED.items():
        if name not in names:
            raise RequestError(f"the command has no {{{name}}}: {why}")
    if "tokens" in names and tokens is None:
        raise RequestError(
            "the command has {tokens} and nobody said how many; give a number of training tokens"
        )
    if tokens is not None and tokens < 2:
        raise RequestError(f"the number of training tokens is {tokens}; it must be at least 2")
    return names


def notes(words: Words) -> list[str]:
    """What may surprise whoever wrote this command for a shell."""
    odd = [word for word in words if word in _SHELL]
    return [f"no shell runs the command, so the program is given {odd[0]!r} as an argument"] if odd else []


def file_hashes(words: Words, settings: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Content hash of every file that an argument, or what follows its first `=`, names in some setting."""
    keep = {name: f"{{{name}}}" for name in _OURS}
    filled = {fill(word, {**keep, **values}) for values in settings for word in words}
    hashes = {}
    for text in sorted({text for word in filled for text in (word, word.partition("=")[2]) if text}):
        try:
            if Path(text).is_file():
                with Path(text).open("rb") as file:
                    hashes[text] = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError):  # not a name that a file could have, or not ours to read
            continue
    return hashes


def placeholders(words: Iterable[str]) -> set[str]:
    """The names that are filled in."""
    return {match[2] for word in words for match in _PLACEHOLDER.finditer(word) if match[2]}


def fill(word: str, values: Mapping[str, str]) -> str:
    """The argument with its values, in one pass: what a value holds is never taken for a placeholder."""
    return _PLACEHOLDER.sub(lambda match: f"{{{match[1]}}}" if match[1] else values[match[2]], word)


def shown(words: Words) -> str:
    """The command as one would type it, placeholders and all."""
    return " ".join(word if re.fullmatch(r"[\w@%+=:,./{}-]+", word) else shlex.quote(word) for word in words)
