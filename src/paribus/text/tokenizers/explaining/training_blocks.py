"""Training as blocks: one row for each merge, threshold or dropped piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paribus.text.tokenizers.explaining.blocks import Document, Piece, Pieces, Section, Table, Text
from paribus.text.tokenizers.explaining.cutting import TopDownTraining
from paribus.text.tokenizers.explaining.merging import MergeTraining, Pair, WordNow
from paribus.text.tokenizers.explaining.pruning import PruningRound, UnigramTraining
from paribus.text.tokenizers.explaining.training import Training
from paribus.text.tokenizers.explaining.writing import visible


def training_document(training: Training, *, source: str) -> Document:
    """The training on `source`, which is named as a reader would."""
    answer, sections = (
        _merges(training)
        if isinstance(training, MergeTraining)
        else _thresholds(training)
        if isinstance(training, TopDownTraining)
        else _rounds(training)
    )
    return Document(f"How {training.method} is trained on {source}", answer, tuple(sections))


def _merges(training: MergeTraining) -> tuple[str, Iterator[Section]]:
    made = len(training.pieces) - training.alphabet
    answer = (
        f"{training.distinct_words:,} different words begin as {training.alphabet:,} pieces; after {made:,} merges there are "
        f"{len(training.pieces):,}. Each step merges {training.best}."
    )
    if training.ended:
        answer += " Then no pair is left."
    return answer, _merge_sections(training)


def _merge_sections(training: MergeTraining) -> Iterator[Section]:
    scored = ("score",) if training.by_likelihood else ()
    rows = []
    for step in training.steps:
        pair = step.pair
        rows.append(
            (
                f"{step.number:,}",
                f"{visible(pair.left)} + {visible(pair.right)} → {visible(step.made)}",
                f"{pair.count:,}",
                *((_score(pair),) if scored else ()),
                ", ".join(_rival(other, training.by_likelihood) for other in step.runners_up) or "none",
                _words(step.words, step.changed),
            )
        )
    if rows:
        yield Section(
            "Merges",
            (
                Table(
                    ("step", "merge", "count", *scored, "runners-up", "words after it"),
                    tuple(rows),
                    numbers=frozenset({"step", "count"}),
                ),
            ),
        )
    else:
        yield Section("Merges", (Text("There is no such merge: no pair is left before it."),))
    yield Section("Words after the last of these merges", (_word_table(training.words),))


def _score(pair: Pair) -> str:
    return f"{pair.count:,} / ({pair.left_count:,} × {pair.right_count:,}) = {pair.score:.4g}"


def _rival(pair: Pair, by_likelihood: bool) -> str:
    number = f"{pair.score:.4g}" if by_likelihood else f"{pair.count:,}"
    return f"{visible(pair.left)} + {visible(pair.right)} ({number})"


def _words(words: Sequence[WordNow], changed: int) -> tuple[Pieces, ...]:
    shown = [_pieces(word) for word in words]
    if changed > len(words):
        shown.append(Pieces((), f"and {changed - len(words):,} more"))
    return tuple(shown)


def _pieces(word: WordNow) -> Pieces:
    return Pieces(tuple(Piece(visible(piece)) for piece in word.pieces), f"× {word.count:,}")


def _word_table(words: Sequence[WordNow]) -> Table:
    return Table(("word", "pieces"), tuple((visible(word.word), (_pieces(word),)) for word in words))


def _thresholds(training: TopDownTraining) -> tuple[str, Iterator[Section]]:
    answer = (
        f"Of all substrings of {training.distinct_words:,} different words those are kept that occur at least "
        f"{training.threshold:,} times, the longest first, each taking its count from those that begin it: "
        f"{len(training.pieces):,} tokens, of at most {training.room:,}."
    )
    return answer, _threshold_sections(training)


def _threshold_sections(training: TopDownTraining) -> Iterator[Section]:
    tried = tuple(
        (f"{step.threshold:,}", f"{step.tokens:,}", "yes" if step.fits else "no") for step in training.tried
    )
    yield Section(
        "Thresholds in the order of the search",
        (Table(("least count", "tokens", "fits"), tried, numbers=frozenset({"least count", "tokens"})),),
    )
    kept = tuple((visible(row.piece), f"{row.count:,}") for row in training.kept)
    yield Section(
        f"Pieces of two characters and more: {len(kept):,} of {training.longer:,}",
        (Table(("piece", "count"), kept, numbers=frozenset({"count"})),),
    )
    yield Section("The most frequent words in these pieces", (_word_table(training.words),))


def _rounds(training: UnigramTraining) -> tuple[str, Iterator[Section]]:
    answer = (
        f"{training.distinct_words:,} different words begin with {training.seeds:,} pieces; each round fits their "
        f"probabilities in two steps of EM and drops those that are missed least, down to {len(training.pieces):,} with "
        "the unknown token. Shown by the readable trainer; sentencepiece, which trains for use, sums in single "
        "precision and now and then keeps another of pieces that are missed alike."
    )
    return answer, _round_sections(training)


def _round_sections(training: UnigramTraining) -> Iterator[Section]:
    columns = ("round", "pieces", "after EM", "−log P of a word", "dropped", "kept")
    rows = tuple(
        (
            f"{each.number}",
            f"{each.before:,}",
            ", ".join(f"{size:,}" for size in each.fitted),
            f"{each.objective:.4f}",
            f"{each.dropped:,}",
            f"{each.kept:,}",
        )
        for each in training.rounds
    )
    yield Section("Rounds", (Table(columns, rows, numbers=frozenset(columns)),))
    for each in training.rounds:
        if each.pruned:
            yield Section(f"Dropped in round {each.number}", tuple(_dropped(each)))
    best = tuple((visible(row.piece), f"{row.score:.4f}") for row in training.best)
    yield Section(
        "Pieces of the highest probability",
        (Table(("piece", "log P"), best, numbers=frozenset({"log P"})),),
    )
    yield Section("The most frequent words on their best paths", (_word_table(training.words),))


def _dropped(each: PruningRound) -> Iterator[Text | Table]:
    yield Text(
        f"Those of the least loss first, {len(each.pruned):,} of {each.dropped:,}; {each.unused:,} of all were on no best "
        "path. The loss is what the log likelihood of a token falls by if the piece is always its parts."
    )
    rows = tuple(
        (
            visible(row.piece),
            f"{row.score:.4f}",
            f"{row.used:,}",
            "unused" if row.loss is None else f"{row.loss:.3g}",
        )
        for row in each.pruned
    )
    yield Table(
        ("piece", "log P", "times used", "loss"), rows, numbers=frozenset({"log P", "times used", "loss"})
    )
