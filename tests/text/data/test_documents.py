"""The split and the order follow from what the documents say and from nothing else."""

import hashlib
import random

import numpy as np
import pytest

from paribus.errors import RequestError
from paribus.text.data.documents import DocumentIndex, DocumentTable, Sides, divide
from paribus.text.data.near_duplicates import Sketcher, Sketches

from .conftest import assert_sentence

Sizes = dict[str, int] | list[tuple[str, int]]


def digest_of(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def table_of(sizes: Sizes) -> tuple[DocumentTable, Sketches]:
    """A document for each name; those whose names begin alike up to "~" say nearly the same."""
    index, sketcher = DocumentIndex(), Sketcher()
    offset = 0
    for name, size in sizes.items() if isinstance(sizes, dict) else sizes:
        index.add(digest_of(name), offset=offset, num_tokens=size + 1, num_bytes=size)
        sketcher.add((hashlib.shake_256(name.split("~")[0].encode()).hexdigest(300) + name).encode())
        offset += size + 1
    return index.table(), sketcher.sketches()


def digests(table: DocumentTable) -> list[bytes]:
    return [digest.tobytes() for digest in table["digest"]]


def sides_of(sizes: Sizes, held_out: float = 0.1) -> Sides:
    return divide(*table_of(sizes), held_out=held_out, place="here")


SIZES = {f"document {number}": 10 + number % 7 for number in range(200)}


def test_each_document_is_on_exactly_one_side() -> None:
    sides = sides_of(SIZES)
    both = digests(sides.train) + digests(sides.heldout)
    assert sorted(both) == sorted(digest_of(name) for name in SIZES)


def test_rows_keep_their_place_and_size() -> None:
    table, sketches = table_of(SIZES)
    where = {row["digest"].tobytes(): (row["offset"], row["tokens"], row["bytes"]) for row in table}
    sides = divide(table, sketches, held_out=0.1, place="here")
    for row in (*sides.train, *sides.heldout):
        assert where[row["digest"].tobytes()] == (row["offset"], row["tokens"], row["bytes"])


@pytest.mark.parametrize("held_out", [0.01, 0.1, 0.5, 0.9])
def test_held_out_is_the_shortest_prefix_in_order_of_digest_that_holds_its_share(held_out: float) -> None:
    size_of = {digest_of(name): size for name, size in SIZES.items()}
    expected, total = [], 0
    for digest in sorted(size_of):
        if total >= held_out * sum(size_of.values()):
            break
        expected.append(digest)
        total += size_of[digest]
    assert sorted(digests(sides_of(SIZES, held_out).heldout)) == expected


def test_order_of_reading_changes_nothing() -> None:
    shuffled = list(SIZES.items())
    random.Random(0).shuffle(shuffled)
    first, second = sides_of(SIZES), sides_of(shuffled)
    assert digests(first.train) == digests(second.train)
    assert digests(first.heldout) == digests(second.heldout)
    assert first.sha256("bytes") == second.sha256("bytes")


def test_the_order_within_a_side_is_unrelated_to_the_order_that_decided_the_side() -> None:
    for side in (sides_of(SIZES).train, sides_of(SIZES, 0.9).heldout):
        leading = side["digest"][:, 0].astype(np.float64)
        assert abs(np.corrcoef(leading, np.arange(len(leading)))[0, 1]) < 0.2


def test_copies_are_kept_once_and_counted() -> None:
    sides = sides_of([*SIZES.items(), *list(SIZES.items())[:50]])
    assert sides.duplicates == 50
    assert digests(sides.train) == digests(sides_of(SIZES).train)


@pytest.mark.parametrize("number", range(20))
def test_a_document_of_more_than_half_of_all_bytes_stays_in_training(number: int) -> None:
    sides = sides_of({f"giant {number}": 1000, "a": 10, "b": 10, "c": 10}, 0.1)
    assert hashlib.sha256(f"giant {number}".encode()).digest() in digests(sides.train)


def test_two_equal_halves_give_one_to_each_side() -> None:
    sides = sides_of({"a": 10, "b": 10})
    assert len(sides.train) == len(sides.heldout) == 1


@pytest.mark.parametrize(("sizes", "held_out"), [({"a": 10}, 0.1), ({"a": 10, "b": 10}, 0.9)])
def test_an_empty_side_is_refused(sizes: dict[str, int], held_out: float) -> None:
    with pytest.raises(RequestError) as refusal:
        sides_of(sizes, held_out)
    assert_sentence(
        refusal, "here cannot be split", f"held_out={held_out:g}", f"{len(sizes)} different document"
    )


def test_identity_changes_with_the_tokenizer_the_split_and_the_documents() -> None:
    identities = {
        sides_of(SIZES).sha256("bytes"),
        sides_of(SIZES).sha256("other"),
        sides_of(SIZES, 0.3).sha256("bytes"),
        sides_of(SIZES | {"more": 10}).sha256("bytes"),
    }
    assert len(identities) == 4


# Near-duplicates

FAMILIES = {
    f"family {family}~{copy}": 10 + family % 3 for family in range(60) for copy in range(1 + family % 4)
}


def families_of(table: DocumentTable) -> list[str]:
    family_of = {digest_of(name): name.split("~")[0] for name in FAMILIES}
    return [family_of[digest] for digest in digests(table)]


@pytest.mark.parametrize("held_out", [0.05, 0.3, 0.5, 0.8])
def test_near_duplicates_stand_on_one_side(held_out: float) -> None:
    sides = sides_of(FAMILIES, held_out)
    assert not set(families_of(sides.train)) & set(families_of(sides.heldout))
    assert sorted(digests(sides.train) + digests(sides.heldout)) == sorted(map(digest_of, FAMILIES))
    assert held_out <= sides.heldout["bytes"].sum() / sum(FAMILIES.values()) < held_out + 0.06


def test_near_duplicates_and_their_groups_are_counted() -> None:
    sides = sides_of([*FAMILIES.items(), *list(FAMILIES.items())[:7]])
    assert (sides.duplicates, sides.near_duplicate_groups, sides.near_duplicates) == (7, 45, 135)
    sides = sides_of(SIZES)
    assert (sides.near_duplicate_groups, sides.near_duplicates) == (0, 0)


def test_groups_are_numbered_as_they_first_appear_on_a_side() -> None:
    for side in (sides_of(FAMILIES).train, sides_of(FAMILIES).heldout):
        number_of = {family: number for number, family in enumerate(dict.fromkeys(families_of(side)))}
        assert side["group"].tolist() == [number_of[family] for family in families_of(side)]


def test_order_of_reading_changes_nothing_for_groups() -> None:
    shuffled = list(FAMILIES.items())
    random.Random(0).shuffle(shuffled)
    first, second = sides_of(FAMILIES), sides_of(shuffled)
    for name in ("digest", "group"):
        assert (first.train[name] == second.train[name]).all()
        assert (first.heldout[name] == second.heldout[name]).all()
    assert first.sha256("bytes") == second.sha256("bytes")


def test_a_near_duplicate_does_not_change_where_other_documents_stand() -> None:
    before = set(digests(sides_of(SIZES, 0.3).heldout))
    after = set(digests(sides_of(SIZES | {"document 5~": 1}, 0.3).heldout))
    moved = before ^ (after - {digest_of("document 5~")})
    assert len(moved - {digest_of("document 5")}) <= 1  # the one at the border


def test_large_groups_are_not_likelier_to_be_held_out() -> None:
    # 200 corpora of one group of 12 and 48 lone documents: it is held out as often as any other group, 1 in 5.
    held = 0
    for corpus in range(200):
        sizes = {f"{corpus} group~{copy}": 1 for copy in range(12)}
        sizes |= {f"{corpus} alone {number}": 12 for number in range(48)}
        sides = sides_of(sizes, 0.2)
        held += digest_of(f"{corpus} group~0") in digests(sides.heldout)
    assert abs(held / 200 - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 200)


def test_a_group_of_more_than_half_of_all_bytes_stays_in_training() -> None:
    sizes = {f"group~{copy}": 10 for copy in range(20)} | {f"alone {number}": 10 for number in range(10)}
    sides = sides_of(sizes, 0.5)
    assert sorted(digests(sides.heldout)) == sorted(digest_of(f"alone {number}") for number in range(10))


def test_nothing_but_near_duplicates_is_refused() -> None:
    with pytest.raises(RequestError) as refusal:
        sides_of({f"group~{copy}": 10 for copy in range(20)})
    assert_sentence(refusal, "20 different documents of 200 bytes in all, in 1 group of near-duplicates")


def test_identity_knows_the_groups() -> None:
    table, sketches = table_of(SIZES)
    alike = sketches.copy()
    alike[1] = alike[0]
    first, second = (divide(table, rows, held_out=0.1, place="here") for rows in (sketches, alike))
    assert digests(first.train) == digests(second.train)
    assert digests(first.heldout) == digests(second.heldout)
    assert first.sha256("bytes") != second.sha256("bytes")
