"""Shingles, MinHash and clusters against sets of words that are compared one with another."""

import itertools
import random
import re
from pathlib import Path

import numpy as np
import pytest

from paribus.text.data.audit.clusters import Near, near_duplicates, near_of
from paribus.text.data.audit.minhash import bands, meeting
from paribus.text.data.audit.reading import read
from paribus.text.data.audit.shingles import shingles, similarity
from paribus.text.data.audit.store import Store
from paribus.text.tokenizers import ByteTokenizer

from .sources import part_of

WORDS = [f"w{number}" for number in range(400)]


def words_of(text: str) -> set[tuple[str, ...]]:
    """Word 5-grams by definition, for text without unspaced scripts."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + 5]) for at in range(max(len(words) - 4, 1))} if words else set()


def jaccard(one: str, other: str) -> float:
    a, b = words_of(one), words_of(other)
    return len(a & b) / len(a | b) if a | b else 0.0


def mutated(draw: random.Random, text: str, changes: int) -> str:
    words = text.split(" ")
    for _ in range(changes):
        words[draw.randrange(len(words))] = draw.choice(WORDS)
    return " ".join(words)


def corpus(seed: int) -> list[str]:
    """Different texts of 40 to 300 words, many of them mutations of others and of mutations."""
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(40, 300))) for _ in range(15)]
    for _ in range(60):
        texts.append(mutated(draw, draw.choice(texts), draw.choice([1, 1, 2, 3, 8, 20])))
    return list(dict.fromkeys(texts))


def stored(folder: Path, texts: list[str], heldout: list[str] | None = None) -> Store:
    folder.mkdir()
    store, left_out = read(
        part_of(texts),
        part_of(heldout) if heldout else None,
        tokenizer=ByteTokenizer(),
        folder=folder,
        workers=1,
        progress=lambda *_: None,
    )
    assert left_out == 0
    return store


def near(store: Store, *, least: float = 0.8, workers: int = 1) -> Near:
    everything = np.arange(store.sources)
    return near_duplicates(store, everything, least=least, workers=workers, told=lambda *_: None)


def test_a_set_of_shingles_has_one_number_for_each_different_five_words() -> None:
    texts = [*corpus(0)[:20], "", "one", "one, two... ONE", "a b c d e", "Ärger über\nfünf kleine Wörter"]
    for text, its in zip(texts, shingles(texts).sets(), strict=True):
        assert len(its) == len(words_of(text))


def test_similarity_is_that_of_the_sets_of_five_words() -> None:
    texts = corpus(1)
    sets = shingles(texts).sets()
    for one, other in itertools.combinations(range(len(texts)), 2):
        assert similarity(sets[one], sets[other]) == jaccard(texts[one], texts[other])


def test_case_punctuation_and_line_ends_do_not_count_and_words_do() -> None:
    same = ["The cat (and dog) sat_on, the MAT!", "the\n  cat and dog -- sat_on the mat"]
    other = "the cat and dog sat on the mat"
    one, two, three = shingles([*same, other]).sets()
    assert one.tolist() == two.tolist() != three.tolist()


@pytest.mark.parametrize("text", ["我们今天去公园看花", "カタカナとひらがな", "ภาษาไทยไม่มีช่องว่าง"])
def test_every_character_is_a_word_where_words_are_not_spaced(text: str) -> None:
    counts = shingles([text, text + " 0", "그는 어제 학교에 갔다"]).counts
    assert counts.tolist() == [len(text) - 4, len(text) - 3, 1]


def test_a_document_has_the_same_shingles_and_bands_in_any_company() -> None:
    texts = corpus(2)[:30] + ["é" + corpus(2)[0], "?"]
    together = shingles(texts)
    alone = [shingles([text]) for text in texts]
    assert together.hashes.tolist() == np.concatenate([each.hashes for each in alone]).tolist()
    assert bands(together).tolist() == np.concatenate([bands(each) for each in alone]).tolist()


def test_documents_meet_as_often_as_their_similarity_says() -> None:
    draw = random.Random(3)
    texts = []
    for _ in range(400):
        text = " ".join(draw.choices(WORDS, k=200))
        words = text.split(" ")
        # The last words are others: 196 - 28 of 196 + 28 shingles are in both.
        texts += [text, " ".join(words[:-28] + draw.choices(["x", "y", "z"], k=28))]
    found = bands(shingles(texts))
    share = (found[0::2] == found[1::2]).any(axis=1).mean()
    alike = jaccard(texts[0], texts[1])
    assert alike == pytest.approx(0.75, abs=0.01)
    assert share == pytest.approx(meeting(alike), abs=4 * 0.5 / 20)
    assert meeting(0.8) == pytest.approx(0.9235, abs=1e-4)  # datatrove's figure for 14 bands of 8 rows
    assert not (found[0::2][1:] == found[0::2][:-1]).any()


@pytest.mark.parametrize("seed", range(4))
def test_every_member_is_as_similar_as_said_to_a_document_that_is_kept(tmp_path: Path, seed: int) -> None:
    texts = corpus(seed)
    found = near(stored(tmp_path / "store", texts))
    members = np.flatnonzero(found.of >= 0)
    assert len(members) > 10
    for member in members.tolist():
        kept = int(found.of[member])
        assert kept < member and found.of[kept] == -1  # a star, not a chain
        assert found.similarity[member] == jaccard(texts[member], texts[kept]) >= 0.8


def test_what_is_kept_is_not_similar_to_what_was_kept_before(tmp_path: Path) -> None:
    missed = pairs = 0
    for seed in range(4):
        texts = corpus(seed)
        found = near(stored(tmp_path / str(seed), texts), least=0.9)
        kept = [number for number in range(len(texts)) if found.of[number] == -1]
        missed += sum(jaccard(texts[a], texts[b]) >= 0.9 for a, b in itertools.combinations(kept, 2))
        pairs += len(texts) - len(kept)
    # One pair at 0.9 in two thousand never meets.
    assert pairs > 60 and missed == 0


def test_a_chain_of_small_changes_does_not_become_one_cluster(tmp_path: Path) -> None:
    draw = random.Random(5)
    texts = [" ".join(draw.choices(WORDS, k=200))]
    for step in range(100):
        words = texts[-1].split(" ")
        words[2 * step % 200] = f"new{step}"
        texts.append(" ".join(words))
    assert all(jaccard(one, other) > 0.9 for one, other in itertools.pairwise(texts))
    assert jaccard(texts[0], texts[-1]) == 0
    found = near(stored(tmp_path / "store", texts))
    sizes = np.unique(found.of[found.of >= 0], return_counts=True)[1]
    assert sizes.max() < 20 and (found.of == -1).sum() > 5


def test_workers_and_a_small_cache_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored(tmp_path / "store", corpus(6))
    one = near(store)
    monkeypatch.setattr("paribus.text.data.audit.clusters._SETS_BYTES", 1)
    monkeypatch.setattr("paribus.text.data.audit.clusters._AT_ONCE", 7)
    other = near(store, workers=3)
    assert one.of.tolist() == other.of.tolist() and one.similarity.tolist() == other.similarity.tolist()


def test_many_pages_of_one_form_are_compared_with_a_bounded_number(tmp_path: Path) -> None:
    draw = random.Random(7)
    form = " ".join(draw.choices(WORDS, k=200))
    # At about 0.75 most meet most others, and none is near enough.
    texts = [mutated(draw, form, 3) for _ in range(300)]
    found = near(stored(tmp_path / "store", texts), least=0.99)
    assert 64 * 100 < found.compared <= 64 * len(texts) < 300 * 299 / 2


def test_held_out_documents_are_matched_with_the_most_similar_of_the_source(tmp_path: Path) -> None:
    draw = random.Random(8)
    texts = corpus(8)
    heldout = [mutated(draw, texts[3], 1), " ".join(draw.choices(WORDS, k=100)), texts[5] + " more"]
    store = stored(tmp_path / "store", texts, heldout)
    found = near_of(
        store,
        np.arange(store.sources),
        np.arange(store.sources, len(store.rows)),
        least=0.8,
        workers=2,
        told=lambda *_: None,
    )
    for number, text in enumerate(heldout):
        alike = [jaccard(text, other) for other in texts]
        at = store.sources + number
        if max(alike) < 0.8:
            assert found.of[at] == -1
        else:
            assert found.of[at] == int(np.argmax(alike)) and found.similarity[at] == max(alike)
    assert (found.of >= 0).sum() == 2
