"""The table of segmenters: the name of each, what it is trained from, and how.

A segmenter joins by one row; a network's row is in `paribus.train.segmenter`, for this wing holds no torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, nearest
from paribus.text.segmenting.characters import CharacterSegmenter
from paribus.text.segmenting.dictionary import Dictionary
from paribus.text.segmenting.dictionary_hmm import DictionaryHmmSegmenter
from paribus.text.segmenting.graph import DictionaryGraph
from paribus.text.segmenting.hmm import HiddenMarkov, HmmSegmenter
from paribus.text.segmenting.matching import BackwardMatching, BidirectionalMatching, ForwardMatching
from paribus.text.segmenting.protocol import Segmenter
from paribus.text.segmenting.rule import RuleSegmenter
from paribus.text.segmenting.segmented_text import Sentence
from paribus.text.segmenting.syllables import SyllableSegmenter


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way to cut text. `train(sentences, **options)` makes its segmenter; `options` holds their defaults.

    `learns_from` says in words what it is trained from, and `needs_text` whether sentences must be given. A `baseline`
    is a form of maximum matching, which the others are measured against.
    """

    name: str
    summary: str
    learns_from: str
    train: Callable[..., Segmenter]
    options: Mapping[str, Any] = field(default_factory=dict)
    needs_text: bool = True
    baseline: bool = False


def _dictionary(sentences: Sequence[Sentence], words: str | Path | None, min_count: int) -> Dictionary:
    if words is not None:
        return Dictionary.read(Path(words))
    return Dictionary.learned(sentences, min_count=min_count)


def _by_words(make: Callable[[Dictionary], Segmenter]) -> Callable[..., Segmenter]:
    def train(
        sentences: Sequence[Sentence], *, words: str | Path | None = None, min_count: int = 1
    ) -> Segmenter:
        return make(_dictionary(sentences, words, min_count))

    return train


def _hmm(sentences: Sequence[Sentence], *, smoothing: float) -> HmmSegmenter:
    return HmmSegmenter(HiddenMarkov.learned(sentences, smoothing=smoothing))


def _dictionary_hmm(
    sentences: Sequence[Sentence], *, words: str | Path | None, min_count: int, smoothing: float
) -> DictionaryHmmSegmenter:
    model = HiddenMarkov.learned(sentences, smoothing=smoothing)
    return DictionaryHmmSegmenter(_dictionary(sentences, words, min_count), model)


_WORDS = {"words": None, "min_count": 1}
_FROM_WORDS = "segmented text, or a file of words and counts (words)"

#: Every method of this wing, by name.
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="characters",
            summary="a piece is a character",
            learns_from="nothing",
            train=lambda sentences: CharacterSegmenter(),
            needs_text=False,
        ),
        Method(
            name="syllable",
            summary="Latin words by maximal onset, Hangul and Chinese by character",
            learns_from="nothing; language is en, es, it or de",
            train=lambda sentences, language: SyllableSegmenter(language=language),
            options={"language": "en"},
            needs_text=False,
        ),
        Method(
            name="rule",
            summary="cuts where the class of characters changes",
            learns_from="nothing; rules are classes, scripts or japanese",
            train=lambda sentences, rules: RuleSegmenter(rules),
            options={"rules": "classes"},
            needs_text=False,
        ),
        Method(
            name="forward",
            summary="maximum matching from the left",
            learns_from=_FROM_WORDS,
            train=_by_words(ForwardMatching),
            options=_WORDS,
            baseline=True,
        ),
        Method(
            name="backward",
            summary="maximum matching from the right",
            learns_from=_FROM_WORDS,
            train=_by_words(BackwardMatching),
            options=_WORDS,
            baseline=True,
        ),
        Method(
            name="bidirectional",
            summary="of both, the one with fewer words",
            learns_from=_FROM_WORDS,
            train=_by_words(BidirectionalMatching),
            options=_WORDS,
            baseline=True,
        ),
        Method(
            name="dictionary",
            summary="the most probable path through the graph of words",
            learns_from=_FROM_WORDS,
            train=_by_words(DictionaryGraph),
            options=_WORDS,
        ),
        Method(
            name="hmm",
            summary="a hidden Markov model of the tags BMES",
            learns_from="segmented text",
            train=_hmm,
            options={"smoothing": 0.3},
        ),
        Method(
            name="dictionary_hmm",
            summary="the graph of words, and the model for what it leaves in single characters",
            learns_from="segmented text, the words perhaps from a file of words and counts (words)",
            train=_dictionary_hmm,
            options={**_WORDS, "smoothing": 0.3},
        ),
    )
}


def get_method(name: str, methods: Mapping[str, Method] = METHODS) -> Method:
    """The row of that name. Raises `RequestError` for an unknown one, offering the nearest."""
    if name not in methods:
        raise RequestError(f"there is no segmenter {name!r}: {nearest(name, methods, in_order=True)}")
    return methods[name]


def train_segmenter(method: Method | str, sentences: Sequence[Sentence] = (), **options: Any) -> Segmenter:
    """A segmenter of this method, trained on segmented text where it learns from that.

    Raises `RequestError` for an unknown method or option, and for no text where some is needed.

    >>> train_segmenter("hmm", sentences_of(["我 喜欢 北京"]), smoothing=0.5)
    """
    row = get_method(method) if isinstance(method, str) else method
    for option, given in options.items():
        if option not in row.options:
            known = nearest(option, row.options) if row.options else "it has none"
            raise RequestError(f"{row.name} has no option {option!r}; {known}")
        _check_kind(row, option, given)
    if row.needs_text and not sentences and options.get("words") is None:
        raise RequestError(f"{row.name} learns from {row.learns_from}, and none was given")
    return row.train(sentences, **{**row.options, **options})


def _check_kind(row: Method, option: str, given: Any) -> None:
    """Raise `RequestError` for a word where the option is a number, or anything but a path where it has no default."""
    default = row.options[option]
    kind: Any = {int: int, float: int | float, str: object}.get(type(default), str | os.PathLike | None)
    if not isinstance(given, kind):
        wanted = "the path of a file or folder" if default is None else f"a number such as {default:g}"
        raise RequestError(f"{row.name} takes {wanted} as {option}, not {given!r}")
