"""From a source to shards: nothing lost, nothing on both sides, nothing half done."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paribus.errors import RequestError, WorkError
from paribus.text.data import Dataset, Split
from paribus.text.tokenizers import ByteTokenizer

from .conftest import Prepare, assert_sentence


def documents_of(split: Split) -> list[str]:
    """The documents of a split in order, each closed by its end."""
    tokenizer = ByteTokenizer()
    documents: list[list[int]] = [[]]
    for token in split.read(0, split.num_tokens).tolist():
        if token == tokenizer.end_of_document:
            documents.append([])
        else:
            documents[-1].append(token)
    assert documents.pop() == []
    return [tokenizer.decode(document) for document in documents]


@pytest.fixture
def source(folder_of: Callable[..., Path], texts: list[str]) -> Path:
    return folder_of(texts)


def test_every_document_is_on_exactly_one_side(source: Path, texts: list[str], prepared: Prepare) -> None:
    dataset = prepared(source)
    train, heldout = documents_of(dataset.train), documents_of(dataset.heldout)
    assert not set(train) & set(heldout)
    assert sorted(train + heldout) == sorted(texts)


def test_the_counts_are_those_of_the_text(source: Path, texts: list[str], prepared: Prepare) -> None:
    dataset = prepared(source)
    assert (dataset.name, dataset.tokenizer, dataset.documents) == ("source", "bytes", len(texts))
    assert dataset.bytes == sum(len(text.encode()) for text in texts)
    for split in (dataset.train, dataset.heldout):
        assert split.num_documents == len(documents_of(split))
        assert split.num_bytes == sum(len(text.encode()) for text in documents_of(split))
        assert split.num_tokens == split.num_bytes + split.num_documents
    assert 0.1 <= dataset.heldout.num_bytes / dataset.bytes < 0.2


def test_file_names_and_folders_change_nothing(
    source: Path, texts: list[str], prepared: Prepare, tmp_path: Path
) -> None:
    first = prepared(source)
    other = tmp_path / "other"
    for number, text in enumerate(random.Random(1).sample(texts, len(texts))):
        path = other / f"{number % 5}" / f"{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    second = prepared(other, cache=tmp_path / "cache 2")
    assert second.sha256 == first.sha256
    assert documents_of(second.train) == documents_of(first.train)
    assert documents_of(second.heldout) == documents_of(first.heldout)


def test_building_again_gives_the_same_bytes(source: Path, prepared: Prepare, tmp_path: Path) -> None:
    first, second = prepared(source), prepared(source, cache=tmp_path / "cache 2")
    for path in first.folder.iterdir():
        assert path.read_bytes() == (second.folder / path.name).read_bytes()


def test_the_size_of_a_shard_changes_nothing_but_the_files(
    source: Path, prepared: Prepare, tmp_path: Path
) -> None:
    first, second = prepared(source), prepared(source, cache=tmp_path / "cache 2", shard_tokens=1000)
    assert len(second.train.shards) > 3
    assert set(second.train.shards[:-1]) == {1000}
    assert second.sha256 == first.sha256
    assert documents_of(second.train) == documents_of(first.train)


def test_copies_and_empty_documents_and_binary_files_are_left_out(
    source: Path, texts: list[str], prepared: Prepare
) -> None:
    (source / "copy.txt").write_bytes(texts[3].encode())
    (source / "empty.txt").touch()
    (source / "blank.txt").write_text(" \n\t\n")
    (source / "picture").write_bytes(b"\x89PNG\0\0")
    (source / "latin").write_bytes(b"caf\xe9")
    (source / "b.zip").touch()
    dataset = prepared(source)
    assert (dataset.documents, dataset.duplicates, dataset.skipped) == (len(texts), 1, 3)
    assert sorted(documents_of(dataset.train) + documents_of(dataset.heldout)) == sorted(texts)


def test_near_duplicates_stand_on_one_side_and_are_counted(
    source: Path, texts: list[str], prepared: Prepare
) -> None:
    long = [text for text in texts if len(text) > 200]
    for number, text in enumerate(long):
        (source / f"vendored {number}.txt").write_bytes(f"Copyright {number}\n{text}".encode())
        indented = "".join(f"    {line}\n" for line in text.splitlines())
        (source / f"indented {number}.txt").write_bytes(indented.encode())
    dataset = prepared(source, held_out=0.4)
    assert dataset.documents == len(texts) + 2 * len(long)
    assert (dataset.near_duplicate_groups, dataset.near_duplicates) == (len(long), 3 * len(long))

    def bare(document: str) -> str:
        return "".join(document.removeprefix("Copyright ").split())

    for split, other in ((dataset.train, dataset.heldout), (dataset.heldout, dataset.train)):
        beyond = [bare(document) for document in documents_of(other)]
        for document in map(bare, documents_of(split)):
            if len(document) > 150:
                assert not any(document in text or text in document for text in beyond)


def test_a_split_keeps_where_its_documents_start_and_the_groups_they_form(
    source: Path, texts: list[str], prepared: Prepare
) -> None:
    (source / "edited").write_bytes((max(texts, key=len) + " and a bit").encode())
    dataset = prepared(source, shard_tokens=1000)
    for split in (dataset.train, dataset.heldout):
        lengths = [len(document.encode()) + 1 for document in documents_of(split)]
        assert split.documents.tolist() == [sum(lengths[:number]) for number in range(len(lengths))]
        assert split.num_groups == len(set(split.groups.tolist())) == split.groups.max() + 1
    assert dataset.train.num_groups + dataset.heldout.num_groups == len(texts)
    assert dataset.documents == len(texts) + 1


def test_a_lone_file_is_split_into_pieces_that_make_it_up(prepared: Prepare, tmp_path: Path) -> None:
    lines = [f"paragraph {number} of a longer text\n\n" for number in range(2000)]
    path = tmp_path / "novel.txt"
    path.write_text("".join(lines))
    dataset = prepared(path)
    pieces = documents_of(dataset.train) + documents_of(dataset.heldout)
    assert sorted("".join(pieces).splitlines()) == sorted("".join(lines).splitlines())
    assert dataset.bytes == path.stat().st_size
    assert 0.1 <= dataset.heldout.num_bytes / dataset.bytes < 0.2


def test_a_large_vocabulary_takes_four_bytes_a_token(source: Path, prepared: Prepare) -> None:
    class Wide(ByteTokenizer):
        name = "wide"
        vocab_size = 100_000
        end_of_document = 99_999

    dataset = prepared(source, tokenizer=Wide())
    assert dataset.train.dtype == "<u4"
    assert dataset.train.read(dataset.train.num_tokens - 1, 1).tolist() == [99_999]


def test_progress_starts_at_nothing_grows_and_ends_when_all_is_done(source: Path, prepared: Prepare) -> None:
    calls: list[tuple[int, int]] = []
    prepared(source, progress=lambda *call: calls.append(call))
    total = sum(path.stat().st_size for path in source.iterdir())
    assert calls[0] == (0, total)
    assert calls[-1] == (total, total)
    assert calls == sorted(set(calls))
    assert len(calls) > 10


# What ends a build


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "datasets").glob("*") if not path.name.endswith("-lock"))


def test_an_interrupted_build_is_gone_on_with(source: Path, prepared: Prepare, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(source, progress=interrupt)
    [workplace] = leftovers(tmp_path / "cache")
    assert workplace.startswith(".building-")
    dataset = prepared(source)
    assert leftovers(tmp_path / "cache") == [dataset.sha256]


def test_what_an_interrupted_build_left_is_swept_up_by_that_of_another_source(
    source: Path, folder_of: Callable[..., Path], texts: list[str], prepared: Prepare, tmp_path: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(source, progress=interrupt)
    other = prepared(folder_of(texts[:30], name="other"))
    assert leftovers(tmp_path / "cache") == [other.sha256]


PROGRAM = """
import os, resource, signal, sys
from paribus.errors import ParibusError
from paribus.text.data import prepare
from paribus.text.tokenizers import ByteTokenizer

def kill(done, total):
    if how == "killed" and done > total / 2:
        os.kill(os.getpid(), signal.SIGKILL)

how, source, cache = sys.argv[1:]
if how == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    print(prepare(source, tokenizer=ByteTokenizer(), cache=cache, progress=kill).sha256)
except ParibusError as error:
    print(type(error).__name__, error)
    sys.exit(error.exit_code)
"""


def program(how: str, source: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, how, str(source), str(cache)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_killed_build_shows_nothing_and_is_swept_up_by_the_next(
    source: Path, prepared: Prepare, tmp_path: Path
) -> None:
    killed = program("killed", source, tmp_path / "cache")
    assert killed.returncode == -signal.SIGKILL
    [workplace] = leftovers(tmp_path / "cache")
    assert workplace.startswith(".building-")
    dataset = prepared(source)
    assert leftovers(tmp_path / "cache") == [dataset.sha256]


def test_a_full_disk_is_said_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    full = program("full", source, tmp_path / "cache")
    assert full.returncode == WorkError.exit_code, full.stderr
    assert "disk is full" in full.stdout
    assert str(tmp_path / "cache") in full.stdout
    assert leftovers(tmp_path / "cache") == []


def test_two_builds_at_once_both_end_well(source: Path, prepared: Prepare, tmp_path: Path) -> None:
    inner: list[Dataset] = []

    def build_again(done: int, total: int) -> None:
        if done > total / 2 and not inner:
            inner.append(prepared(source))  # starts and ends while the first is half way

    outer = prepared(source, progress=build_again)
    assert inner == [outer]
    assert leftovers(tmp_path / "cache") == [outer.sha256]
    assert documents_of(outer.train) == documents_of(inner[0].train)


def test_two_processes_at_once_both_end_well(source: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "", str(source), str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (process.communicate()[0].strip() for process in both)
    assert first == second
    assert leftovers(tmp_path / "cache") == [first]


# What cannot be prepared


@pytest.mark.parametrize("held_out", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(source: Path, prepared: Prepare, held_out: float) -> None:
    with pytest.raises(RequestError) as refusal:
        prepared(source, held_out=held_out)
    assert_sentence(refusal, "held_out is", "more than 0 and less than 1")


def test_a_lone_file_of_one_piece_is_refused(prepared: Prepare, tmp_path: Path) -> None:
    (tmp_path / "small.txt").write_text("short\n\n" * 300)
    with pytest.raises(RequestError) as refusal:
        prepared(tmp_path / "small.txt")
    assert_sentence(refusal, "small.txt", "1 different document of 2,100 bytes", "4,096 bytes")


def test_nothing_but_copies_is_refused(folder_of: Callable[..., Path], prepared: Prepare) -> None:
    with pytest.raises(RequestError) as refusal:
        prepared(folder_of(["the same text"] * 30))
    assert_sentence(refusal, "1 different document of 13 bytes in all, so give more text")


def test_nothing_but_near_duplicates_is_refused(
    folder_of: Callable[..., Path], texts: list[str], prepared: Prepare
) -> None:
    alike = [max(texts, key=len) + " " + "I" * number for number in range(20)]
    with pytest.raises(RequestError) as refusal:
        prepared(folder_of(alike))
    assert_sentence(refusal, "20 different documents", "in 1 group of near-duplicates")


def test_a_folder_of_binary_files_is_refused_with_their_number(prepared: Prepare, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(b"\0" * 10)
    (folder / "a.zip").touch()
    with pytest.raises(RequestError) as refusal:
        prepared(folder)
    assert_sentence(refusal, "pictures", "no text", "looked at: 4", "not UTF-8: 4")


def test_a_file_of_blanks_is_refused(prepared: Prepare, tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text("\n" * 10_000)
    with pytest.raises(RequestError) as refusal:
        prepared(tmp_path / "blank.txt")
    assert_sentence(refusal, "blank.txt", "no text")


@pytest.mark.parametrize("lone", [True, False])
def test_a_closed_file_is_refused(as_nobody: Path, prepared: Prepare, lone: bool) -> None:
    (as_nobody / "open.txt").write_text("text")
    (as_nobody / "closed.txt").write_text("text")
    (as_nobody / "closed.txt").chmod(0)
    with pytest.raises(RequestError) as refusal:
        prepared(as_nobody / "closed.txt" if lone else as_nobody, cache=as_nobody / ".cache")
    assert_sentence(refusal, "closed.txt", "permission denied")


def test_a_cache_that_is_a_file_is_refused(source: Path, prepared: Prepare, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RequestError) as refusal:
        prepared(source, cache=tmp_path / "file")
    assert_sentence(refusal, str(tmp_path / "file"), "PARIBUS_CACHE")


def test_a_wrong_line_leaves_nothing_behind(prepared: Prepare, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": ')
    with pytest.raises(RequestError) as refusal:
        prepared(path)
    assert_sentence(refusal, "line 2")
    assert os.listdir(tmp_path / "cache" / "datasets") == []
