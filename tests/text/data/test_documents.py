"""The split and the order follow from what the documents say and from nothing else."""

import hashlib
import random

import numpy as np
import pytest

from paribus.text.data.documents import DocumentIndex, DocumentTable, Sides, divide

from .conftest import Refused


def table_of(sizes: dict[str, int] | list[tuple[str, int]]) -> DocumentTable:
    index = DocumentIndex()
    offset = 0
    for name, size in sizes.items() if isinstance(sizes, dict) else sizes:
        digest = hashlib.sha256(name.encode()).digest()
        index.add(digest, offset=offset, num_tokens=size + 1, num_bytes=size)
        offset += size + 1
    return index.table()


def digests(table: DocumentTable) -> list[bytes]:
    return [digest.tobytes() for digest in table["digest"]]


def sides_of(sizes: dict[str, int] | list[tuple[str, int]], held_out: float = 0.1) -> Sides:
    return divide(table_of(sizes), held_out=held_out, place="here")


SIZES = {f"document {number}": 10 + number % 7 for number in range(200)}


def test_each_document_is_on_exactly_one_side() -> None:
    sides = sides_of(SIZES)
    both = digests(sides.train) + digests(sides.heldout)
    assert sorted(both) == sorted(hashlib.sha256(name.encode()).digest() for name in SIZES)


def test_rows_keep_their_place_and_size() -> None:
    table = table_of(SIZES)
    where = {row["digest"].tobytes(): (row["offset"], row["tokens"], row["bytes"]) for row in table}
    sides = divide(table, held_out=0.1, place="here")
    for row in (*sides.train, *sides.heldout):
        assert where[row["digest"].tobytes()] == (row["offset"], row["tokens"], row["bytes"])


@pytest.mark.parametrize("held_out", [0.01, 0.1, 0.5, 0.9])
def test_held_out_is_the_shortest_prefix_in_order_of_digest_that_holds_its_share(held_out: float) -> None:
    size_of = {hashlib.sha256(name.encode()).digest(): size for name, size in SIZES.items()}
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
def test_an_empty_side_is_refused(sizes: dict[str, int], held_out: float, refused: Refused) -> None:
    with refused("here cannot be split", f"held_out={held_out:g}", f"{len(sizes)} different document"):
        sides_of(sizes, held_out)


def test_identity_changes_with_the_tokenizer_the_split_and_the_documents() -> None:
    identities = {
        sides_of(SIZES).sha256("bytes"),
        sides_of(SIZES).sha256("other"),
        sides_of(SIZES, 0.3).sha256("bytes"),
        sides_of(SIZES | {"more": 10}).sha256("bytes"),
    }
    assert len(identities) == 4
