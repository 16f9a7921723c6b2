"""All segmenters on one segmented corpus: trained on the same sentences, scored on the same others.

Nothing is said to be better whose interval of the difference holds zero.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from paribus.errors import RequestError
from paribus.text.segmenting.methods import METHODS, Method, get_method, train_segmenter
from paribus.text.segmenting.scoring import Estimate, Score, count_words, f1_difference, score
from paribus.text.segmenting.segmented_text import Sentence, sentences_of, word_counts


@dataclass(frozen=True, kw_only=True)
class Row:
    """One segmenter: its score, and its F1 minus that of the best maximum matching, on the same sentences.

    `verdict` is better, worse or cannot tell; baselines have none. Speed is that of this one run.
    """

    method: str
    score: Score
    difference: Estimate | None
    verdict: str | None
    train_seconds: float
    characters_per_second: float


@dataclass(frozen=True, kw_only=True)
class SegmenterComparison:
    """Rows by falling F1. `baseline` is the maximum matching of the highest F1, None if none was compared.

    `repeated` counts the test sentences that stand in the training text too.
    """

    rows: tuple[Row, ...]
    baseline: str | None
    train_sentences: int
    test_sentences: int
    test_words: int
    unknown: float
    repeated: int

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain types, for JSON."""
        return dataclasses.asdict(self)

    def markdown(self) -> str:
        """The table, shares in per cent with intervals of 95 %."""
        head = [
            "method",
            "precision",
            "recall",
            "F1",
            "recall of unknown words",
            f"F1 − {self.baseline}",
            "verdict",
        ]
        lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for row in self.rows:
            of_unknown = row.score.unknown_recall
            cells = [
                row.method,
                _percent(row.score.precision),
                _percent(row.score.recall),
                _percent(row.score.f1),
                _percent(of_unknown) if of_unknown else "–",
                _percent(row.difference, signed=True) if row.difference else "–",
                row.verdict or ("baseline" if row.method == self.baseline else "–"),
            ]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def compare_segmenters(
    train_lines: Iterable[str],
    test_lines: Iterable[str],
    methods: Sequence[Method | str] = tuple(METHODS),
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> SegmenterComparison:
    """Train every method on the first lines and score it on the others; a line is a sentence, its words divided by spaces.

    The segmenter gets the words joined without spaces. Raises `RequestError` for lines without words, an unknown
    method, and a method given twice.
    """
    train, test = sentences_of(train_lines), sentences_of(test_lines)
    rows = [get_method(each) if isinstance(each, str) else each for each in methods]
    if not rows or len({each.name for each in rows}) < len(rows):
        raise RequestError("each method is compared once, and there must be one")
    known = word_counts(train).keys()
    texts = ["".join(words) for words in test]
    tables, seconds, speeds = {}, {}, {}
    for method in rows:
        began = time.perf_counter()
        segmenter = train_segmenter(method, train)
        trained = time.perf_counter()
        found = [segmenter.segment(text) for text in texts]
        seconds[method.name] = trained - began
        speeds[method.name] = sum(map(len, texts)) / (time.perf_counter() - trained)
        tables[method.name] = count_words(test, found, known=known)
    scores = {name: score(table, replicates=replicates, seed=seed) for name, table in tables.items()}
    # The first of equals, so that the order of the table does not decide.
    baselines = sorted(
        (each.name for each in rows if each.baseline), key=lambda name: (-scores[name].f1.value, name)
    )
    baseline = baselines[0] if baselines else None

    def row(method: Method) -> Row:
        difference = None
        if baseline is not None and not method.baseline:
            difference = f1_difference(
                tables[method.name], tables[baseline], replicates=replicates, seed=seed
            )
        return Row(
            method=method.name,
            score=scores[method.name],
            difference=difference,
            verdict=None if difference is None else _verdict(difference),
            train_seconds=seconds[method.name],
            characters_per_second=speeds[method.name],
        )

    in_order = sorted(map(row, rows), key=lambda each: -each.score.f1.value)
    return SegmenterComparison(
        rows=tuple(in_order),
        baseline=baseline,
        train_sentences=len(train),
        test_sentences=len(test),
        test_words=in_order[0].score.words,
        unknown=in_order[0].score.unknown,
        repeated=sum(
            text in trained_on for trained_on in [{"".join(words) for words in train}] for text in texts
        ),
    )


def divide(sentences: Sequence[Sentence], *, held_out: float) -> tuple[list[Sentence], list[Sentence]]:
    """Training and test sentences of one corpus, by a hash of each sentence's text, so that repeats stay together.

    About the share `held_out` is for testing. Raises `RequestError` for a share outside (0, 1) and if a side is empty.
    """
    if not 0 < held_out < 1:
        raise RequestError(f"held_out is a share between 0 and 1; it is {held_out}")
    sides: tuple[list[Sentence], list[Sentence]] = ([], [])
    for words in sentences:
        digest = hashlib.sha256("".join(words).encode("utf-8", "surrogatepass")).digest()
        sides[int.from_bytes(digest[:8], "big") < held_out * 2**64].append(words)
    if not all(sides):
        raise RequestError(
            f"{len(sentences):,} sentences cannot be divided at held_out={held_out:g}: one side is empty"
        )
    return sides


def _verdict(difference: Estimate) -> str:
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "cannot tell"


def _percent(estimate: Estimate, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    low, high = (f"{100 * end:{sign}.1f}" for end in (estimate.low, estimate.high))
    return f"{100 * estimate.value:{sign}.1f} [{low}, {high}]"
