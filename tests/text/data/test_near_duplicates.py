"""Sketches estimate how much documents share, and what shares enough falls into one group."""

import hashlib
import random
from itertools import pairwise

import numpy as np
import pytest

from paribus.text.data import near_duplicates
from paribus.text.data.near_duplicates import (
    BINS,
    LEAST_MATCHES,
    SHINGLE_BYTES,
    Sketcher,
    Sketches,
    near_duplicate_groups,
)

LETTERS = b"abcdefghijklmnopqrstuvwxyz"


def letters(draw: random.Random, number: int) -> bytes:
    return bytes(draw.choices(LETTERS, k=number))


def sketches_of(*contents: bytes) -> Sketches:
    sketcher = Sketcher()
    for content in contents:
        sketcher.add(content)
    return sketcher.sketches()


def similarity(one: bytes, other: bytes) -> float:
    """|A & B| / |A | B| of the shingles themselves."""
    first, second = (
        {text[start : start + SHINGLE_BYTES] for start in range(len(text) - SHINGLE_BYTES + 1)}
        for text in (one, other)
    )
    return len(first & second) / len(first | second)


def pair(draw: random.Random, length: int, wanted: float) -> tuple[bytes, bytes]:
    """Two texts with the same beginning and about the wanted similarity."""
    shared = letters(draw, round(2 * length * wanted / (1 + wanted)))
    return tuple(shared + letters(draw, length - len(shared)) for _ in range(2))  # type: ignore[return-value]


def partition(groups: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(groups == group).tolist()) for group in set(groups.tolist())}


# Sketches


@pytest.mark.parametrize("length", [80, 1000, 100_000])
@pytest.mark.parametrize("wanted", [0.0, 0.3, 0.6, 0.9])
def test_the_share_of_equal_bins_estimates_the_similarity(length: int, wanted: float) -> None:
    draw = random.Random(0)
    repeats = 2 if length > 1000 else 20
    pairs = [pair(draw, length, wanted) for _ in range(repeats)]
    sketches = sketches_of(*(text for both in pairs for text in both))
    estimates = (sketches[0::2] == sketches[1::2]).mean(axis=1)
    errors = estimates - [similarity(one, other) for one, other in pairs]
    assert np.abs(errors).max() < 4 * np.sqrt(0.25 / BINS)
    assert abs(errors.mean()) < 4 * np.sqrt(0.25 / BINS / repeats)


def test_a_sketch_depends_on_the_set_of_shingles_only() -> None:
    # A text said over and over has no more of them than one said twice, though it fills several blocks.
    period = letters(random.Random(1), 900)
    sketches = sketches_of(2 * period, 7 * period, 300 * period, period[450:] + 3 * period)
    assert (sketches == sketches[0]).all()


@pytest.mark.parametrize("number", [1, 2, 3, 20])
def test_few_shingles_fill_all_bins_with_no_more_values_than_there_are(number: int) -> None:
    text = letters(random.Random(2), SHINGLE_BYTES + number - 1)
    [sketch] = sketches_of(text)
    assert len(set(sketch.tolist())) <= number


def test_a_sketch_does_not_depend_on_what_is_sketched_beside_it() -> None:
    draw = random.Random(3)
    contents = [letters(draw, draw.choice([0, 1, 15, 16, 17, 300, 5000, 70_000])) for _ in range(60)]
    together = sketches_of(*contents)
    assert together.shape == (60, BINS)
    for content, sketch in zip(contents, together, strict=True):
        assert (sketches_of(content)[0] == sketch).all()


def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(12)
    contents = [letters(draw, number) for number in (0, 20, 3000, 5)]
    whole = sketches_of(*contents)
    for size in (SHINGLE_BYTES, 33, 100):  # each border of a block would lose 15 shingles
        monkeypatch.setattr(near_duplicates, "_BLOCK_BYTES", size)
        assert (sketches_of(*contents) == whole).all()


def test_blanks_do_not_matter_and_every_other_byte_does() -> None:
    text = b"def area(radius):\n    return 3.14 * radius ** 2\n"
    same, short, other = b"def area( radius ):\r\n\treturn 3.14*radius**2", b"area", b"Area"
    sketches = sketches_of(text, same, short, other, b"ar ea", b"")
    assert (sketches[0] == sketches[1]).all()
    assert (sketches[2] == sketches[4]).all()
    assert (sketches[2] != sketches[3]).all()


def test_no_documents_have_no_sketches() -> None:
    assert sketches_of().shape == (0, BINS)
    assert near_duplicate_groups(sketches_of()).tolist() == []


def test_the_sketch_is_the_one_that_prepared_data_were_divided_by() -> None:
    # Pinned: whoever changes it divides the same text otherwise, and must raise FORMAT in dataset.py.
    sketches = sketches_of(letters(random.Random(4), 1000), "Straße\u4e16\u754c".encode() * 9, b"")
    digest = hashlib.sha256(sketches.astype("<u2").tobytes()).hexdigest()
    assert digest[:16] == "21c434214f98a5c3"


# Groups


@pytest.mark.parametrize(
    ("wanted", "least", "most"),
    [(0.2, 0.0, 0.0), (0.3, 0.0, 0.02), (0.5, 0.2, 0.6), (0.6, 0.7, 0.95), (0.7, 0.95, 1.0), (0.8, 1.0, 1.0)],
)
def test_how_often_a_pair_is_found_rises_around_one_half(wanted: float, least: float, most: float) -> None:
    draw = random.Random(5)
    pairs = [pair(draw, 1000, wanted) for _ in range(200)]
    groups = near_duplicate_groups(sketches_of(*(text for both in pairs for text in both)))
    assert least <= (groups[0::2] == groups[1::2]).mean() <= most


def test_a_group_is_what_a_chain_of_likenesses_connects() -> None:
    draw = random.Random(6)
    parts = [letters(draw, 1000) for _ in range(12)]
    chain = [b"".join(parts[start : start + 8]) for start in range(5)]  # neighbours share 7 of 9 parts
    assert similarity(chain[0], chain[4]) < 0.35
    assert near_duplicate_groups(sketches_of(letters(draw, 900), *chain)).tolist() == [0, 1, 1, 1, 1, 1]


def test_the_order_of_rows_only_renames_groups() -> None:
    draw = random.Random(7)
    families = [letters(draw, 600) for _ in range(30)]
    contents = [
        family[: 600 - 20 * copy] + letters(draw, 20 * copy) for family in families for copy in range(5)
    ]
    groups = near_duplicate_groups(sketches_of(*contents))
    assert partition(groups) == {frozenset(range(5 * number, 5 * number + 5)) for number in range(30)}
    order = draw.sample(range(150), 150)
    shuffled = near_duplicate_groups(sketches_of(*(contents[place] for place in order)))
    renamed = {frozenset(order[row] for row in group) for group in partition(shuffled)}
    assert renamed == partition(groups)


def test_a_group_is_named_by_its_lowest_row() -> None:
    draw = random.Random(8)
    first, second = letters(draw, 500), letters(draw, 500)
    contents = [second, first, letters(draw, 500), first + b"x", second + b"x", first + b"y"]
    assert near_duplicate_groups(sketches_of(*contents)).tolist() == [0, 1, 2, 1, 0, 1]


def test_a_thousand_alike_are_one_group() -> None:
    draw = random.Random(9)
    shared = letters(draw, 400)
    groups = near_duplicate_groups(sketches_of(*(shared + letters(draw, 30) for _ in range(1000))))
    assert not groups.any()


def test_a_licence_that_all_carry_does_not_make_them_alike() -> None:
    draw = random.Random(10)
    licence = letters(draw, 300)
    groups = near_duplicate_groups(sketches_of(*(licence + letters(draw, 700) for _ in range(1000))))
    assert groups.tolist() == list(range(1000))


def test_two_that_agree_in_a_band_by_chance_do_not_part_those_that_are_alike() -> None:
    # All three are equal in the first band, and the two in no other band as a whole.
    rows = np.arange(3 * BINS, dtype=np.uint16).reshape(3, BINS)
    rows[:, :4] = 7
    shared = [bin for bin in range(4, BINS) if bin % 4 < 2]
    rows[2, shared] = rows[0, shared]
    assert (rows[0] == rows[2]).sum() == 4 + 30
    assert near_duplicate_groups(rows).tolist() == [0, 1, 0]


def test_likeness_is_judged_by_the_sketch_and_not_by_a_band() -> None:
    rows = np.arange(2 * BINS, dtype=np.uint16).reshape(2, BINS)
    for matches in range(4, BINS + 1):
        rows[1, :matches] = rows[0, :matches]
        first, second = near_duplicate_groups(rows)
        assert (first == second) == (matches >= LEAST_MATCHES)


def test_long_chains_end_in_one_group() -> None:
    # Each row is like the next and the one after that only, in an order that has nothing to do with the rows.
    draw = random.Random(11)
    parts = [letters(draw, 100) for _ in range(208)]
    order = draw.sample(range(200), 200)
    chain = {place: b"".join(parts[number : number + 8]) for number, place in enumerate(order)}
    neighbours = [similarity(chain[one], chain[other]) for one, other in pairwise(order)]
    assert min(neighbours) > 0.6
    groups = near_duplicate_groups(sketches_of(*(chain[place] for place in range(200))))
    assert not groups.any()
