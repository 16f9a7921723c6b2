"""What is told of training is what training does: the steps, replayed, give its pieces."""

import argparse
import itertools
from collections import Counter
from pathlib import Path

import pytest

from paribus.errors import RequestError
from paribus.text.tokenizers.explaining import explain_training
from paribus.text.tokenizers.explaining.cutting import TopDownTraining
from paribus.text.tokenizers.explaining.merge_methods import MERGE_METHODS
from paribus.text.tokenizers.explaining.merging import MergeTraining, Pair
from paribus.text.tokenizers.explaining.pruning import UnigramTraining
from paribus.text.tokenizers.explaining.training import EXPLAINED
from paribus.text.tokenizers.explaining.writing import written
from paribus.text.tokenizers.methods import Corpus, sentencepiece, train_tokenizer
from paribus.text.tokenizers.methods.sentencepiece import read
from paribus.text.tokenizers.recipe import Recipe

TEXTS = (
    "the cat sat on the mat, the other cat sat on the hat\n" * 4,
    "aaaa aaa lowest lower low Größe 猫は帽子の上 ##a # \x00\n" * 2,
)
CORPUS = Corpus(lambda: TEXTS)
ALL = 10**6


def recipe(method: str, *, vocab_size: int = 350, **fields: object) -> Recipe:
    return Recipe(method=method, vocab_size=vocab_size, **fields)  # type: ignore[arg-type]


def told(method: str, **fields: object) -> MergeTraining:
    found = explain_training(recipe(method, **fields), CORPUS, steps=ALL, most_words=ALL)
    assert isinstance(found, MergeTraining)
    return found


def trained_pieces(method: str) -> list[str]:
    """The pieces that the method for use gives, as they are written."""
    model = train_tokenizer(recipe(method), CORPUS).model
    inner = getattr(model, "inner", model)
    if method.startswith("wordpiece"):
        return list(inner.trained.tokens)
    if method == "sentencepiece_bpe":
        return list(map(read, inner.reference.tokens))
    return list(map(written, inner.pieces))


@pytest.mark.parametrize("method", [*MERGE_METHODS, "wordpiece_topdown"])
def test_the_pieces_told_are_those_of_the_trained_tokenizer(method: str) -> None:
    found = explain_training(recipe(method), CORPUS, steps=ALL)
    assert list(found.pieces) == trained_pieces(method)


def library_pieces(wanted: Recipe, corpus: Corpus) -> set[str]:
    model = train_tokenizer(wanted, corpus).model
    return set(map(read, getattr(model, "inner", model).reference.tokens))


def test_the_pieces_told_of_unigram_are_those_of_the_library() -> None:
    # Its sums are float32 and fall out otherwise now and then, so that of equals another is kept.
    corpus = Corpus(lambda: [Path(str(argparse.__file__)).read_text("utf-8")[:20_000]])
    wanted = recipe("unigram", vocab_size=500)
    theirs = library_pieces(wanted, corpus)
    found = explain_training(wanted, corpus)
    assert len(found.pieces) == len(theirs) > 200
    assert len(theirs & set(found.pieces)) >= 0.99 * len(theirs)


def test_long_words_are_told_in_the_parts_that_unigram_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentencepiece, "LONGEST_WORD", 3)
    found = explain_training(recipe("unigram", vocab_size=300), Corpus(lambda: ["abcdefg" * 100]))
    assert found.distinct_words == 8  # seven parts of three letters, and one letter is left over
    assert max(map(len, found.pieces)) == len("<unk>") and max(map(len, found.pieces[1:])) == 3


@pytest.mark.parametrize("method", ["unigram", "sentencepiece_bpe"])
def test_the_name_of_a_special_token_is_a_boundary_as_in_the_library(method: str) -> None:
    corpus = Corpus(lambda: ["no <unk> no <unk>\nnot<unk>ken\n" * 3])
    wanted = recipe(method, vocab_size=290, split="lines")
    assert set(explain_training(wanted, corpus).pieces) == library_pieces(wanted, corpus)


@pytest.mark.parametrize("method", MERGE_METHODS)
def test_each_merge_is_the_best_of_the_words_as_they_were_shown(method: str) -> None:
    found = told(method)
    words = {now.word: list(MERGE_METHODS[method].cut(now.word)) for now in found.words}
    counts = {now.word: now.count for now in found.words}
    least = 2 if method == "wordpiece_likelihood" else 1
    assert len(found.steps) > 20
    for step in found.steps:
        occurs: Counter[str] = Counter()
        together: Counter[tuple[str, str]] = Counter()
        for word, pieces in words.items():
            occurs.update({piece: counts[word] * n for piece, n in Counter(pieces).items()})
            together.update(
                {pair: counts[word] * n for pair, n in Counter(itertools.pairwise(pieces)).items()}
            )

        def score(
            left: str, right: str, occurs: Counter[str] = occurs, together: Counter = together
        ) -> float:
            number = together[left, right]
            return number / (occurs[left] * occurs[right]) if found.by_likelihood else number

        shown = [step.pair, *step.runners_up]
        for pair in shown:
            assert pair.count == together[pair.left, pair.right]
            assert (pair.left_count, pair.right_count) == (occurs[pair.left], occurs[pair.right])
            assert pair.score == score(pair.left, pair.right)
        best = sorted((score(*pair) for pair, number in together.items() if number >= least), reverse=True)
        assert [pair.score for pair in shown] == best[: len(shown)] or method == "sentencepiece_bpe"
        # SentencePiece goes on with pairs that other merges have used up.
        assert step.pair.score == (best or [0])[0]
        after = {word: merged(pieces, step.pair, step.made) for word, pieces in words.items()}
        changed = {word: tuple(pieces) for word, pieces in after.items() if pieces != words[word]}
        assert changed == {now.word: now.pieces for now in step.words} and step.changed == len(changed)
        words = after
    assert {now.word: now.pieces for now in found.words} == {word: tuple(p) for word, p in words.items()}


def merged(pieces: list[str], pair: Pair, made: str) -> list[str]:
    row: list[str] = []
    rest = list(pieces)
    while rest:
        if rest[:2] == [pair.left, pair.right]:
            row.append(made)
            rest = rest[2:]
        else:
            row.append(rest.pop(0))
    return row


def test_a_window_of_steps_is_a_part_of_all_steps() -> None:
    every = told("bpe").steps
    some = explain_training(recipe("bpe"), CORPUS, first=5, steps=3, most_words=ALL)
    assert isinstance(some, MergeTraining) and some.steps == every[4:7]
    few = explain_training(recipe("bpe", vocab_size=2**20), CORPUS, merges=2)
    assert isinstance(few, MergeTraining) and [step.number for step in few.steps] == [1, 2] and not few.ended
    over = explain_training(recipe("bpe", vocab_size=2**20), CORPUS, first=10**5, steps=1)
    assert isinstance(over, MergeTraining) and over.steps == () and over.ended


def test_thresholds_are_told_as_the_search_went() -> None:
    found = explain_training(recipe("wordpiece_topdown", vocab_size=325), CORPUS, steps=5)
    assert isinstance(found, TopDownTraining)
    assert [step.fits for step in found.tried] == [step.tokens <= found.room for step in found.tried]
    assert {step.fits for step in found.tried} == {True, False}
    assert (found.threshold, len(found.pieces), True) in [
        (step.threshold, step.tokens, step.fits) for step in found.tried
    ]
    assert len(found.kept) == 5 and all(row.count >= found.threshold for row in found.kept)


def test_rounds_add_up_and_drop_the_least_loss_first() -> None:
    parts = (("re", "un", "in"), ("do", "pay", "set", "form"), ("ing", "s", "able", "ed"))
    text = " ".join("".join(each) * times for times in (1, 2) for each in itertools.product(*parts))
    found = explain_training(recipe("unigram", vocab_size=285), Corpus(lambda: [text]), steps=ALL)
    assert isinstance(found, UnigramTraining)
    before = found.seeds
    for each in found.rounds:
        assert (each.before, each.kept) == (before, each.fitted[-1] - each.dropped)
        losses = [row.loss for row in each.pruned if row.loss is not None]
        assert losses == sorted(losses) and all(row.used > 0 for row in each.pruned if row.loss is not None)
        assert each.unused == sum(row.used == 0 for row in each.pruned) and len(each.pruned) == each.dropped
        before = each.kept
    assert any(each.dropped for each in found.rounds) and not found.seeds <= found.rounds[-1].kept
    assert all("".join(now.pieces) == now.word for now in found.words)


@pytest.mark.parametrize("method", EXPLAINED)
def test_what_cannot_be_trained_is_refused(method: str) -> None:
    few = 256 if method == "byte_bpe" else 260
    with pytest.raises(RequestError, match=rf"vocab_size {few} leaves .* give \d+ or more"):
        explain_training(recipe(method, vocab_size=few), CORPUS)
    with pytest.raises(RequestError):
        explain_training(recipe(method), Corpus(lambda: [""]))


@pytest.mark.parametrize(
    ("method", "arguments", "said"),
    [
        ("char", {}, "has no steps"),
        ("bpee", {}, "did you mean bpe"),
        ("bpe", {"steps": 0}, "steps is 0"),
        ("bpe", {"merges": 0}, "merges is 0"),
        ("bpe", {"merges": 3, "first": 4}, "the first step to show is 4, and there are 3"),
        ("unigram", {"merges": 3}, "merges nothing"),
    ],
)
def test_a_wrong_request_is_told_in_a_sentence(method: str, arguments: dict[str, int], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        explain_training(recipe(method), CORPUS, **arguments)  # type: ignore[arg-type]
