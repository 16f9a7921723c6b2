"""Our Unigram trainer stage by stage against the library, its arithmetic against enumeration, its encoder exactly."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import RequestError
from paribus.text.tokenizers.reference import (
    PieceRules,
    Unigram,
    sentencepiece_line_ends,
    sentencepiece_words,
    sentences,
    train_unigram,
)
from paribus.text.tokenizers.reference.unigram import digamma
from paribus.text.tokenizers.reference.unigram_lattice import Lattices
from paribus.text.tokenizers.reference.unigram_seeds import seed_scores

SIZE = 400
PIECES = {"a": -1.5, "b": -1.9, "c": -2.2, "ab": -2.0, "bc": -3.5, "abc": -3.4, "ba": -2.6}
MODEL = Unigram(tokens=("<unk>", "<s>", "</s>", *PIECES), scores=(0.0, 0.0, 0.0, *PIECES.values()))


@pytest.fixture(scope="module")
def lines(text: str) -> list[str]:
    return [*text.split("\n"), "a last line of the text"]


@pytest.fixture(scope="module")
def ours(lines: list[str]) -> Unigram:
    found = sentences(lines)
    return train_unigram(
        sentencepiece_words(found), vocab_size=SIZE, line_ends=sentencepiece_line_ends(found), told=True
    )


@pytest.fixture(scope="module")
def library(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[object, str]:
    """The library's model, and what it wrote while training."""
    sentencepiece = pytest.importorskip("sentencepiece")
    if not sentencepiece.__version__.startswith("0.2.3"):
        pytest.skip("the rules are those of sentencepiece 0.2.3")
    folder = tmp_path_factory.mktemp("unigram")
    (folder / "text").write_text("\n".join(lines), "utf-8")
    program = (
        "import sentencepiece\n"
        "sentencepiece.SentencePieceTrainer.train(input='text', model_prefix='m', model_type='unigram',"
        f"vocab_size={SIZE}, character_coverage=1.0, normalization_rule_name='identity',"
        "split_by_unicode_script=False, split_by_number=False, num_threads=1)"
    )
    log = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, check=True, capture_output=True, text=True
    ).stderr
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "m.model")), log


def test_seeds_are_as_many_as_the_librarys(ours: Unigram, library: tuple[object, str]) -> None:
    assert ours.seeds == int(re.findall(r"Initialized (\d+) seed pieces", library[1])[0])


def test_the_seeds_of_hf_tokenizers_example() -> None:
    """Its vector of seeds with log-probabilities; the space is an underscore, for here none ends a piece."""
    words = {"This_is_a": 1, "こんにちは友達": 1}
    line_ends = {("This_is_a", "こんにちは友達"): 1, ("こんにちは友達", ""): 1}
    found = seed_scores(words, line_ends, rules=PieceRules(), most=100)
    total = math.log(sum(found.values()))
    seeds = {seed: math.log(score) - total for seed, score in found.items()}
    once, twice = -3.258096538021482, -2.5649493574615367
    expected = dict.fromkeys("Tahこんにちは友達", once) | dict.fromkeys("_is", twice)
    assert seeds == pytest.approx(expected | {"is_": -1.466337068793427, "s_": -1.871802176901591}, abs=1e-12)


def test_sizes_and_likelihoods_follow_the_library_step_by_step(
    ours: Unigram, library: tuple[object, str]
) -> None:
    steps = re.findall(r"EM sub_iter=(\d) size=(\d+) obj=([\d.]+)", library[1])
    sizes = [int(size) for _, size, _ in steps]
    assert len(sizes) == 2 * len(ours.rounds) > 4
    for (_, size, objective), fitted, found in zip(
        steps,
        [size for step in ours.rounds for size in step.fitted],
        [each for step in ours.rounds for each in (None, step.objective)],
        strict=True,
    ):
        assert abs(fitted - int(size)) <= 2
        assert found is None or found == pytest.approx(float(objective), rel=2e-3)


def test_pieces_and_scores_are_nearly_the_librarys(ours: Unigram, library: tuple[object, str]) -> None:
    theirs = {library[0].id_to_piece(number): library[0].get_score(number) for number in range(3, SIZE)}
    found = dict(zip(ours.tokens[3:], ours.scores[3:], strict=True))
    shared = theirs.keys() & found.keys()
    assert len(shared) >= 0.97 * len(theirs)
    assert np.mean([abs(theirs[piece] - found[piece]) for piece in shared]) < 0.01


def of_library(library: object) -> Unigram:
    return Unigram(
        tokens=tuple(library.id_to_piece(number) for number in range(SIZE)),
        scores=tuple(library.get_score(number) for number in range(SIZE)),
    )


def test_encoding_with_a_fixed_model_equals_the_library(
    lines: list[str], library: tuple[object, str]
) -> None:
    model = of_library(library[0])
    for line in [*lines, "unseen ☃☃ and Ω", "a" * 5_000]:
        for word in {
            word for sentence in sentences([line], longest=6_000) for word in sentencepiece_words([sentence])
        }:
            assert model.encode_word(word) == library[0].encode(word.removeprefix("\u2581")), word


def test_the_n_best_are_those_of_the_library(library: tuple[object, str]) -> None:
    model = of_library(library[0])
    theirs = library[0].nbest_encode("_store_default_actions", nbest_size=20, return_type="proto").nbests
    found = model.n_best("\u2581_store_default_actions", 20)
    assert len(found) == len(theirs) > 5
    np.testing.assert_allclose([score for score, _ in found], [each.score for each in theirs], rtol=1e-5)
    assert sorted(ids for _, ids in found) == sorted([piece.id for piece in each.pieces] for each in theirs)


def cuts(word: str) -> Iterator[list[str]]:
    """All ways to cut a word."""
    if not word:
        yield []
    for end in range(1, len(word) + 1):
        for rest in cuts(word[end:]):
            yield [word[:end], *rest]


def ways(word: str) -> dict[tuple[str, ...], float]:
    """All segmentations of `word` into PIECES, with their scores."""
    return {
        tuple(parts): sum(map(PIECES.get, parts))
        for parts in cuts(word)
        if all(part in PIECES for part in parts)
    }


def names(ids: list[int]) -> tuple[str, ...]:
    return tuple(MODEL.tokens[number] for number in ids)


@given(word=st.text("abc", min_size=1, max_size=8))
def test_best_and_n_best_are_those_of_enumeration(word: str) -> None:
    all_ways = ways(word)
    assert all_ways[names(MODEL.encode_word(word))] == pytest.approx(max(all_ways.values()))
    found = MODEL.n_best(word, 10_000)
    assert {names(ids): pytest.approx(score) for score, ids in found} == all_ways
    assert all(first >= second for (first, _), (second, _) in pairwise(found))
    assert found[:3] == MODEL.n_best(word, 3)


@given(
    words=st.dictionaries(st.text("abc", min_size=1, max_size=7), st.integers(1, 4), min_size=1, max_size=5)
)
def test_expected_counts_and_likelihood_are_those_of_enumeration(words: dict[str, int]) -> None:
    ids = {piece: number for number, piece in enumerate(PIECES)}
    scores = np.array([*PIECES.values(), -12.0])
    counts, likelihood = Lattices.of(list(words), list(PIECES)).expected(
        scores, np.array(list(words.values()))
    )
    expected, total = np.zeros(len(PIECES) + 1), 0.0
    for word, count in words.items():
        all_ways = ways(word)
        mass = math.fsum(map(math.exp, all_ways.values()))
        total += count * math.log(mass)
        for parts, score in all_ways.items():
            for part in parts:
                expected[ids[part]] += count * math.exp(score) / mass
    np.testing.assert_allclose(counts, expected, rtol=1e-9, atol=1e-12)
    assert likelihood == pytest.approx(total)


def test_unknown_characters_have_edges_of_their_own() -> None:
    counts, _ = Lattices.of(["a☃"], ["a"]).expected(np.array([-1.0, -11.0]), np.array([5]))
    assert counts.tolist() == pytest.approx([5.0, 5.0])
    assert MODEL.encode_word("a☃☃b") == [3, 0, 4]


def test_samples_have_the_probabilities_of_their_segmentations() -> None:
    rng, alpha = np.random.default_rng(0), 0.5
    all_ways = ways("abcab")
    mass = math.fsum(math.exp(alpha * score) for score in all_ways.values())
    drawn = Counter(names(MODEL.sample_word("abcab", alpha=alpha, rng=rng)) for _ in range(6000))
    for parts, score in all_ways.items():
        chance = math.exp(alpha * score) / mass
        assert abs(drawn[parts] / 6000 - chance) < 4.5 * math.sqrt(chance / 6000)


def test_samples_from_the_n_best_are_among_them_in_proportion() -> None:
    rng, alpha = np.random.default_rng(0), 1.0
    best = MODEL.n_best("abcab", 3)
    mass = math.fsum(math.exp(score) for score, _ in best)
    drawn = Counter(tuple(MODEL.sample_word("abcab", alpha=alpha, rng=rng, n_best=3)) for _ in range(4000))
    assert drawn.keys() == {tuple(ids) for _, ids in best}
    for score, ids in best:
        assert abs(drawn[tuple(ids)] / 4000 - math.exp(score) / mass) < 0.04


def test_a_seed_gives_the_same_samples_again() -> None:
    def some(seed: int) -> list[list[int]]:
        rng = np.random.default_rng(seed)
        return [MODEL.sample_word("abcabcab", alpha=0.1, rng=rng) for _ in range(20)]

    assert some(1) == some(1) != some(2)


def test_seeds_repeat_and_are_followed_by_different_bytes() -> None:
    words = {"\u2581abc": 2, "\u2581abd": 1, "\u2581xy": 3}
    rules = PieceRules()
    found = seed_scores(words, {}, rules=rules, most=100)
    assert {piece: score for piece, score in found.items() if len(piece) > 1} == {"\u2581ab": 9.0, "ab": 6.0}
    # When a line ends behind "xy" once, what follows it differs.
    ended = seed_scores(words, {("\u2581xy", ""): 1}, rules=rules, most=100)
    assert ended.keys() - found.keys() == {"\u2581xy", "xy"}
    assert list(seed_scores(words, {}, rules=rules, most=1)) == [*"\u2581abxycd", "\u2581ab"]


def test_the_ends_of_lines_are_seeds_where_the_next_lines_begin_with_different_bytes() -> None:
    lines = {"ab": 3, "cab": 2, "cd": 1}
    ends = sentencepiece_line_ends(lines)
    assert ends == {("ab", "a"): 2, ("ab", "c"): 1, ("cab", "c"): 2, ("cd", ""): 1}
    found = seed_scores(lines, ends, rules=PieceRules(), most=100)
    # NUL follows each "ab", and a, c or the end the NUL; "cab" is always followed by c, "cd" by nothing.
    assert {piece: score for piece, score in found.items() if len(piece) > 1} == {"ab": 10.0}
    # Counted once for what follows (c, NUL), and once more for what follows the NUL.
    lines = {"ab": 3, "xab": 2, "abc": 1}
    found = seed_scores(lines, sentencepiece_line_ends(lines), rules=PieceRules(), most=100)
    assert {piece: score for piece, score in found.items() if len(piece) > 1} == {"ab": 22.0, "xab": 6.0}


def test_lines_with_counts_are_lines_in_a_row() -> None:
    some = ["\u2581a\u2581b", "\u2581a\u2581b", "\u2581c"]
    assert sentencepiece_line_ends(some) == sentencepiece_line_ends(Counter(some))
    assert sentencepiece_line_ends(some) == {("\u2581b", "\u2581"): 2, ("\u2581c", ""): 1}


def test_the_trace_names_what_was_dropped_and_its_loss(ours: Unigram) -> None:
    for before, after in pairwise(ours.rounds):
        assert after.fitted[0] <= before.kept <= before.fitted[1]
    for step in ours.rounds:
        assert step.fitted[1] - step.kept == len(step.pruned)
    last = ours.rounds[-1].pruned
    assert all(math.isfinite(piece.loss) for piece in last if piece.used)
    assert len({piece.piece for piece in last}) == len(last)


def test_the_trace_may_be_left_out(lines: list[str], ours: Unigram) -> None:
    found = sentences(lines)
    plain = train_unigram(
        sentencepiece_words(found), vocab_size=SIZE, line_ends=sentencepiece_line_ends(found)
    )
    assert plain == replace(ours, rounds=tuple(replace(step, pruned=()) for step in ours.rounds))


def test_all_characters_stay_whatever_their_score(ours: Unigram, lines: list[str]) -> None:
    characters = {"\u2581", *"".join(lines).replace(" ", "")}
    assert characters <= set(ours.tokens)
    assert list(ours.scores[3:]) == sorted(ours.scores[3:], reverse=True)


def test_scores_are_of_single_precision_so_that_equals_are_equal(ours: Unigram) -> None:
    held = [score for score in ours.scores if score == float(np.float32(score))]
    assert len(held) >= ours.vocab_size - sum(len(token) == 1 for token in ours.tokens)
    assert len(set(ours.scores)) < ours.vocab_size - 20


def test_words_that_are_too_long_are_left_out_with_their_ends() -> None:
    words = {"\u2581abab": 3, "\u2581ba": 2}
    long = {**words, "\u2581" + "xy" * 2100: 3}
    assert train_unigram(words, vocab_size=9, line_ends=sentencepiece_line_ends(words)) == train_unigram(
        long,
        vocab_size=9,
        line_ends={**sentencepiece_line_ends(words), ("\u2581" + "xy" * 2100, "\u2581"): 3},
    )


def test_digamma_is_that_of_scipy() -> None:
    x = np.geomspace(1e-3, 1e9, 500)
    np.testing.assert_allclose(digamma(x), scipy.special.digamma(x), rtol=1e-12, atol=1e-12)


@settings(max_examples=30)
@given(
    words=st.dictionaries(st.text("ab☃", min_size=1, max_size=5), st.integers(1, 3), min_size=1, max_size=4)
)
def test_the_smallest_texts_are_trained_on_and_join_again(words: dict[str, int]) -> None:
    model = train_unigram(words, vocab_size=8)
    for word in words:
        assert b"".join(model.pieces[number] for number in model.encode_word(word)) == word.encode()


def test_what_cannot_be_done_is_refused_in_a_sentence() -> None:
    with pytest.raises(
        RequestError, match="vocabulary of 5 is too small: 3 special tokens and 3 characters make 6"
    ):
        train_unigram({"\u2581ab": 3}, vocab_size=5)
    with pytest.raises(RequestError, match="no words"):
        train_unigram({}, vocab_size=5)
    with pytest.raises(RequestError, match="alpha is -1"):
        MODEL.sample_word("ab", alpha=-1, rng=np.random.default_rng(0))
    with pytest.raises(RequestError, match="0 segmentations"):
        MODEL.n_best("ab", 0)
