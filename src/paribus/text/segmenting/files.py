"""A segmenter as one JSON file, and back: nothing in it is run, and every part is judged before it is used.

Format `paribus segmenter`, version 1: `method` names the segmenter, and beside it stand the parts that its class is
made from, each under the name of its argument.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, WorkError, nearest, shown
from paribus.files.appearing import write_whole
from paribus.files.json_object import json_object
from paribus.files.opening import bytes_of, place
from paribus.text.segmenting.characters import CharacterSegmenter
from paribus.text.segmenting.dictionary import Dictionary
from paribus.text.segmenting.dictionary_hmm import DictionaryHmmSegmenter
from paribus.text.segmenting.graph import DictionaryGraph
from paribus.text.segmenting.hmm import HiddenMarkov, HmmSegmenter
from paribus.text.segmenting.matching import BackwardMatching, BidirectionalMatching, ForwardMatching
from paribus.text.segmenting.protocol import Segmenter
from paribus.text.segmenting.rule import CharacterClass, Rules, RuleSegmenter
from paribus.text.segmenting.syllables import SyllableSegmenter

FORMAT, VERSION = "paribus segmenter", 1
_MOST_BYTES = 256 * 2**20
_MATCHING = ("dictionary", "join_letters")

#: Class and parts of each method that can be kept.
_KINDS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    CharacterSegmenter.name: (CharacterSegmenter, ()),
    SyllableSegmenter.name: (SyllableSegmenter, ("language",)),
    RuleSegmenter.name: (RuleSegmenter, ("rules",)),
    ForwardMatching.name: (ForwardMatching, _MATCHING),
    BackwardMatching.name: (BackwardMatching, _MATCHING),
    BidirectionalMatching.name: (BidirectionalMatching, _MATCHING),
    DictionaryGraph.name: (DictionaryGraph, _MATCHING),
    HmmSegmenter.name: (HmmSegmenter, ("model",)),
    DictionaryHmmSegmenter.name: (DictionaryHmmSegmenter, ("dictionary", "model")),
}


def save_segmenter(segmenter: Segmenter, path: str | os.PathLike[str]) -> None:
    """Write a segmenter to one file, which appears when it is complete.

    Raises `RequestError` for one that has no such file (a network is kept by `paribus.train.segmenter`) or holds half a
    surrogate pair, `WorkError` if the disk fails.
    """
    content = content_of(segmenter)
    target = Path(path).expanduser()
    try:
        encoded = json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RequestError(
            "a word or character of it is half a surrogate pair, which no UTF-8 file holds"
        ) from None
    try:
        write_whole(target, encoded)
    except OSError as error:
        raise WorkError(f"writing {shown(target)} failed: {error.strerror or error}") from error


def content_of(segmenter: Segmenter) -> dict[str, Any]:
    """All of a segmenter as JSON has it. Raises `RequestError` for one that is not kept so."""
    if segmenter.name not in _KINDS:
        raise RequestError(
            f"a segmenter {segmenter.name!r} is not kept as one file: {nearest(segmenter.name, _KINDS)}"
        )
    _, parts = _KINDS[segmenter.name]
    content = {"format": FORMAT, "version": VERSION, "method": segmenter.name}
    return content | {part: _plain(getattr(segmenter, part)) for part in parts}


def load_segmenter(path: str | os.PathLike[str]) -> Segmenter:
    """The segmenter in a file of `save_segmenter`.

    Raises `RequestError` with one sentence for a file that cannot be read, is no such file, or holds what no segmenter
    of its method has.
    """
    source = Path(path).expanduser()
    where = place(source)
    return segmenter_of(json_object(bytes_of(source, "a segmenter", at_most=_MOST_BYTES), where), where)


def segmenter_of(content: dict[str, Any], where: str) -> Segmenter:
    """The segmenter of which `content` is the `content_of`; `where` says in messages where it stands."""
    if content.get("format") != FORMAT:
        raise RequestError(
            f"{where} is no segmenter of paribus: its format is {shown(content.get('format'), at_most=60)!r}"
        )
    if content.get("version") != VERSION:
        given = shown(content.get("version"), at_most=40)
        raise RequestError(f"{where} is of version {given}, and version {VERSION} is read here")
    method = content.get("method")
    if not isinstance(method, str) or method not in _KINDS:
        known = nearest(method if isinstance(method, str) else "", _KINDS)
        raise RequestError(
            f"{where} holds a segmenter {shown(method, at_most=60)!r}, which there is not: {known}"
        )
    make, parts = _KINDS[method]
    if wrong := (content.keys() - {"format", "version", "method"}) ^ set(parts):
        word = "lacks" if (first := min(wrong)) in parts else "has an unknown part"
        raise RequestError(
            f"{where} {word} {shown(first, at_most=60)!r}; a {method} is made of: {', '.join(parts) or 'nothing'}"
        )
    try:
        made: Segmenter = make(**{part: _READ[part](content[part]) for part in parts})
    except RequestError as error:
        raise RequestError(f"in {where} {error}") from None
    return made


def _plain(part: Any) -> Any:
    """A part as JSON can hold it."""
    if isinstance(part, Dictionary):
        return part.counts
    if isinstance(part, HiddenMarkov):
        return {name: getattr(part, name) for name in ("start", "move", "emission", "unseen")}
    return dataclasses.asdict(part) if isinstance(part, Rules) else part


def _dictionary(given: Any) -> Dictionary:
    for word, count in _mapping(given, "dictionary").items():
        _of_type(count, int, f"the count of {shown(word, at_most=40)!r}")
    return Dictionary(given)


def _model(given: Any) -> HiddenMarkov:
    for name in ("start", "move", "emission"):
        _mapping(_mapping(given, "model").get(name), name)
    moves = [_mapping(each, "move") for each in given["move"].values()]
    scores = [
        _of_type(each, list, "a character's scores")
        for each in (*given["emission"].values(), given.get("unseen"))
    ]
    for number in (
        n for row in (given["start"].values(), *(each.values() for each in moves), *scores) for n in row
    ):
        _of_type(number, float | int, "a log probability")
    return HiddenMarkov(
        start=given["start"], move=given["move"], emission=given["emission"], unseen=given["unseen"]
    )


def _rules(given: Any) -> Rules:
    _mapping(given, "rules")
    classes = [_mapping(each, "a class") for each in _of_type(given.get("classes"), list, "classes")]
    for each in classes:
        _of_type(each.get("together"), bool, "together")
        for name in ("name", "characters"):
            _of_type(each.get(name), str, f"a class's {name}")
    made = tuple(
        CharacterClass(name=each["name"], characters=each["characters"], together=each["together"])
        for each in classes
    )
    rules = Rules(
        name=_of_type(given.get("name"), str, "name"),
        classes=made,
        continuing=_of_type(given.get("continuing"), str, "continuing"),
    )
    # Now, so that characters that cannot be read are found with the file.
    assert rules.pattern
    return rules


_READ: dict[str, Callable[[Any], Any]] = {
    "dictionary": _dictionary,
    "model": _model,
    "rules": _rules,
    "language": lambda given: _of_type(given, str, "language"),
    "join_letters": lambda given: _of_type(given, bool, "join_letters"),
}


def _mapping(given: Any, what: str) -> dict[str, Any]:
    found: dict[str, Any] = _of_type(given, dict, what)
    return found


def _of_type(given: Any, kind: Any, what: str) -> Any:
    # A bool is an int for Python, and for no reader.
    if not isinstance(given, kind) or (isinstance(given, bool) and kind is not bool):
        raise RequestError(f"{what} is {shown(json.dumps(given), at_most=40)}, which it cannot be")
    return given
