"""Which files a source is made of."""

import gzip
import json
import os
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paribus.errors import RequestError
from paribus.text.data.corpus import list_source

from .conftest import Prepare, assert_sentence


def names_of(source: Path) -> list[str]:
    return [str(file.path.relative_to(source)) for file in list_source(source).files]


def test_a_folder_is_listed_to_its_depths_without_hidden_files(tmp_path: Path) -> None:
    for name in ["b.txt", "a/z.md", "a/b/c/d", ".git/config", "a/.hidden"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    assert names_of(tmp_path) == ["a/b/c/d", "a/z.md", "b.txt"]


def test_a_folder_may_mix_formats(tmp_path: Path, texts: list[str]) -> None:
    (tmp_path / "a.md").write_text(texts[0])
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": texts[1]}))
    (tmp_path / "c.JSONL.gz").write_bytes(gzip.compress(json.dumps({"text": texts[2]}).encode()))
    pq.write_table(pa.table({"text": texts[3:5]}), tmp_path / "d.parquet")
    found = [document.text for document in list_source(tmp_path).documents("text")]
    assert sorted(map(str, found)) == sorted(texts[:5])


def test_positions_grow_to_the_size_of_the_source(folder_of: Callable[..., Path], texts: list[str]) -> None:
    source = list_source(folder_of(texts))
    positions = [document.position for document in source.documents("text")]
    assert positions == sorted(positions)
    assert positions[-1] == source.num_bytes == sum(len(text.encode()) for text in texts)


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "a.txt").write_text("text")
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    (folder / "there").symlink_to(outside)
    (folder / "b.txt").symlink_to(outside / "deep" / "a.txt")
    assert names_of(folder) == ["b.txt", "there/deep/a.txt"]
    assert list_source(folder).skipped == 2


def test_what_is_no_file_or_no_text_by_its_ending_is_counted_and_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.zip").write_text("not really")
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    source = list_source(tmp_path)
    assert [file.path.name for file in source.files] == ["a.txt"]
    assert source.skipped == 2


def test_the_cache_inside_a_folder_is_not_part_of_it(
    tmp_path: Path, texts: list[str], prepared: Prepare
) -> None:
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
    first = prepared(tmp_path)
    (tmp_path / "0.txt").touch()  # a new listing, so the folder is read again
    os.utime(tmp_path / "0.txt", ns=(1, 1))
    assert prepared(tmp_path) == first


def test_the_fingerprint_knows_path_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    os.utime(path, ns=(5, 5))
    prints = [list_source(path).fingerprint(), list_source(tmp_path).fingerprint()]
    os.utime(path, ns=(6, 6))
    prints.append(list_source(path).fingerprint())
    path.write_text("texts")
    os.utime(path, ns=(6, 6))
    prints.append(list_source(path).fingerprint())
    path.rename(tmp_path / "b.txt")
    prints.append(list_source(tmp_path / "b.txt").fingerprint())
    assert len(set(prints)) == 5


# The standard library


def test_the_standard_library_is_source_text_without_tests_tables_and_machine_files() -> None:
    root = Path(sysconfig.get_path("stdlib"))
    paths = [file.path.relative_to(root) for file in list_source("stdlib").files]
    names = {str(path) for path in paths}
    assert {"abc.py", "json/decoder.py", "unittest/case.py"} <= names
    left_out = {
        "test",
        "tests",
        "idle_test",
        "site-packages",
        "encodings",
        "pydoc_data",
        "__pycache__",
        "lib-dynload",
    }
    for path in paths:
        assert path.suffix == ".py"
        assert not left_out & set(path.parts)
        assert not path.name.startswith(("_sysconfigdata", "test_"))


def test_the_standard_library_gives_the_same_data_every_time(tmp_path: Path, prepared: Prepare) -> None:
    first = prepared("stdlib")
    second = prepared("stdlib", cache=tmp_path / "other")
    assert first.name == second.name == "stdlib"
    assert first.sha256 == second.sha256
    assert first.documents > 400
    assert 0.1 <= first.heldout.num_bytes / first.bytes < 0.15


# What cannot be used


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as refusal:
        list_source(tmp_path / "nothing.txt")
    assert_sentence(refusal, "no file or folder", "nothing.txt", "stdlib")


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "~nobody-of-this-name/text", "\ud800", "a\nb. c"])
def test_an_impossible_path_is_refused_in_one_line(path: str) -> None:
    with pytest.raises(RequestError) as refusal:
        list_source(path.replace(". ", "_"))
    assert_sentence(refusal, "no file or folder")


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(RequestError) as refusal:
        list_source("")
    assert_sentence(refusal, "empty string")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(RequestError) as refusal:
        list_source(tmp_path / "a.txt")
    assert_sentence(refusal, "a.txt is empty")


def test_a_device_is_refused() -> None:
    with pytest.raises(RequestError) as refusal:
        list_source("/dev/zero")
    assert_sentence(refusal, "/dev/zero is neither a file nor a folder")


@pytest.mark.parametrize("ending", [".zip", ".pdf", ".PDF", ".txt.gz", ".docx"])
def test_an_ending_that_is_not_read_is_refused_with_those_that_are(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    path.write_text("x")
    with pytest.raises(RequestError) as refusal:
        list_source(path)
    assert_sentence(refusal, path.suffix.lower(), "not read", ".jsonl.gz", ".parquet")


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".hidden").touch()
    (tmp_path / "a.zip").touch()
    with pytest.raises(RequestError) as refusal:
        list_source(tmp_path)
    assert_sentence(refusal, str(tmp_path), "no text", "looked at: 1", "not UTF-8: 1")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_path_behind_a_closed_folder_is_refused(as_nobody: Path, what: str) -> None:
    closed = as_nobody / "closed"
    closed.mkdir()
    (closed / "a.txt").write_text("text")
    closed.chmod(0)
    with pytest.raises(RequestError) as refusal:
        list_source(closed / "a.txt" if what == "file" else as_nobody)
    assert_sentence(refusal, "closed", "permission denied")
    closed.chmod(0o700)
