"""However many work, however often they are stopped: the same dataset, and no piece made twice."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paribus.errors import RequestError, WorkError
from paribus.text.data import Dataset, prepare, spans
from paribus.text.data.build import Recipe
from paribus.text.data.preparing import prepare_folder
from paribus.text.tokenizers import ByteTokenizer, get_tokenizer

from ..tokenizers.made import byte_level, saved
from .conftest import assert_sentence

BLOCK = 6000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "BLOCK_BYTES", BLOCK)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of all formats, some files of several blocks."""
    draw = random.Random(1)

    def texts(number: int) -> list[str]:
        return ["".join(draw.choices("abcdefg hi\näß世", k=draw.randint(20, 900))) for _ in range(number)]

    folder = tmp_path / "source"
    folder.mkdir()
    for number, text in enumerate(texts(20)):
        (folder / f"{number}.txt").write_bytes(text.encode())
    rows = "".join(json.dumps({"text": text}) + "\n" for text in texts(60)).encode()
    (folder / "a.jsonl").write_bytes(rows)
    (folder / "b.jsonl.gz").write_bytes(
        gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in texts(60)).encode(), mtime=0)
    )
    pq.write_table(pa.table({"text": texts(60)}), folder / "c.parquet", row_group_size=10)
    return folder


Make = Callable[..., Dataset]


@pytest.fixture
def made(source: Path, tmp_path: Path) -> Make:
    def make(name: str, source: Path = source, **options: Any) -> Dataset:
        return prepare_folder(source, tmp_path / name, Recipe(tokenizer=ByteTokenizer(), **options))[0]

    return make


def files_of(dataset: Dataset) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in dataset.folder.iterdir()}


def test_in_the_cache_too_any_number_of_workers_makes_the_same(
    source: Path, tmp_path: Path, pools: list[int]
) -> None:
    one, two = (
        prepare(source, tokenizer=ByteTokenizer(), cache=tmp_path / f"{number}", workers=number)
        for number in (1, 2)
    )
    assert files_of(one) == files_of(two) and one.sha256 == two.sha256
    assert pools == [2]
    again = prepare(source, tokenizer=ByteTokenizer(), cache=tmp_path / "1", workers=2)
    assert again.folder == one.folder and pools == [2]  # found, not made


def test_any_number_of_workers_makes_the_same_bytes(made: Make, source: Path, tmp_path: Path) -> None:
    one, three = made("one"), made("three", workers=3)
    assert files_of(one) == files_of(three)
    assert one.documents == 200
    (tmp_path / "novel.txt").write_text("".join(f"a line, number {n}\n" for n in range(3000)))
    lone = [made(f"lone {n}", source=tmp_path / "novel.txt", workers=n) for n in (1, 2)]
    assert files_of(lone[0]) == files_of(lone[1])


def test_the_first_wrong_line_is_said_whoever_reads_it(made: Make, tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"text {number}"}) for number in range(2000)]
    lines[700] = lines[1900] = "{"
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    for workers in (1, 3):
        with pytest.raises(RequestError) as refusal:
            made("out", source=tmp_path / "a.jsonl", workers=workers)
        assert_sentence(refusal, "line 701 of", "not JSON")
        assert list((tmp_path / "out").iterdir()) == []


def test_workers_open_the_tokenizer_from_its_files(source: Path, tmp_path: Path) -> None:
    kept = saved(byte_level(), tmp_path / "tokenizer")
    tokenizer = get_tokenizer(str(kept))
    datasets = [
        prepare_folder(source, tmp_path / f"{workers}", Recipe(tokenizer=tokenizer, workers=workers))[0]
        for workers in (1, 2)
    ]
    one, two = ({path.name: path.read_bytes() for path in data.folder.glob("*.*")} for data in datasets)
    assert one == two
    assert datasets[1].open_tokenizer().name == tokenizer.name != "bytes"


def test_a_tokenizer_that_workers_cannot_open_is_refused(source: Path, tmp_path: Path) -> None:
    class Mine(ByteTokenizer):
        name = "mine"

    with pytest.raises(RequestError) as refusal:
        prepare_folder(source, tmp_path / "out", Recipe(tokenizer=Mine(), workers=2))
    assert_sentence(refusal, "no tokenizer 'mine'")


PROGRAM = f"""
import os, resource, signal, sys
from pathlib import Path
from paribus.errors import ParibusError
from paribus.text.data import spans
from paribus.text.data.build import Recipe
from paribus.text.data.preparing import prepare_folder
from paribus.text.tokenizers import ByteTokenizer

spans.BLOCK_BYTES = {BLOCK}
source, out, workers, end = sys.argv[1:]

if end == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))  # room for pieces and not for shards

def stop(done, total):
    if end != "full" and done > total / 2:
        if end == "worker":
            children = Path(f"/proc/self/task/{{os.getpid()}}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGKILL)
        else:
            os.kill(os.getpid(), getattr(signal, end))

try:
    prepare_folder(source, out, Recipe(tokenizer=ByteTokenizer(), workers=int(workers), progress=stop))
except ParibusError as error:
    print(type(error).__name__, error)
    sys.exit(error.exit_code)
"""


def stopped(source: Path, out: Path, *, workers: int, end: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(source), str(out), str(workers), end],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("workers", "end"), [(1, "SIGKILL"), (2, "SIGKILL"), (1, "SIGINT")])
def test_what_was_finished_before_a_kill_is_not_made_again(
    made: Make, source: Path, tmp_path: Path, workers: int, end: str
) -> None:
    killed = stopped(source, tmp_path / "killed", workers=workers, end=end)
    assert killed.returncode == -getattr(signal, end), killed.stderr
    [workplace] = (tmp_path / "killed").iterdir()
    finished = {path: path.stat().st_ino for path in workplace.glob("pieces/*.piece")}
    assert len(finished) > 3
    calls: list[tuple[int, int]] = []
    made_again: list[Path] = []

    def progress(done: int, total: int) -> None:
        calls.append((done, total))
        made_again.extend(
            path for path, inode in finished.items() if path.exists() and path.stat().st_ino != inode
        )

    dataset = made("killed", progress=progress)
    assert calls[0][0] > 0.2 * calls[0][1]
    assert made_again == []
    assert files_of(dataset) == files_of(made("never killed"))


def test_a_finished_piece_that_is_damaged_is_made_again(made: Make, source: Path, tmp_path: Path) -> None:
    stopped(source, tmp_path / "killed", workers=1, end="SIGKILL")
    [workplace] = (tmp_path / "killed").iterdir()
    one, other, *_ = sorted(workplace.glob("pieces/*.piece"))
    content = bytearray(one.read_bytes())
    content[100] ^= 1
    one.write_bytes(content)
    os.truncate(other, 30)
    assert files_of(made("killed")) == files_of(made("never killed"))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the worker in /proc")
def test_a_killed_worker_is_said_and_what_was_finished_is_kept(
    made: Make, source: Path, tmp_path: Path
) -> None:
    failed = stopped(source, tmp_path / "out", workers=2, end="worker")
    assert failed.returncode == WorkError.exit_code, failed.stderr
    assert "a worker was ended by SIGKILL" in failed.stdout
    calls: list[tuple[int, int]] = []
    dataset = made("out", progress=lambda *call: calls.append(call))
    assert calls[0][0] > 0
    assert files_of(dataset) == files_of(made("never killed"))


def test_on_a_full_disk_what_was_finished_is_kept(made: Make, source: Path, tmp_path: Path) -> None:
    full = stopped(source, tmp_path / "out", workers=1, end="full")
    assert full.returncode == WorkError.exit_code, full.stderr
    assert "the disk is full" in full.stdout and str(tmp_path / "out") in full.stdout
    calls: list[tuple[int, int]] = []
    dataset = made("out", progress=lambda *call: calls.append(call))
    assert calls[0][0] == calls[0][1]
    assert files_of(dataset) == files_of(made("never full"))


def test_another_request_in_the_same_folder_begins_anew(made: Make, source: Path, tmp_path: Path) -> None:
    stopped(source, tmp_path / "out", workers=1, end="SIGKILL")
    calls: list[tuple[int, int]] = []
    made("out", held_out=0.3, progress=lambda *call: calls.append(call))
    assert calls[0][0] == 0
    assert not list((tmp_path / "out").glob(".building*"))


def test_a_file_that_changes_while_it_is_read_is_refused(made: Make, source: Path) -> None:
    def touch(done: int, total: int) -> None:
        with open(source / "a.jsonl", "a") as file:
            file.write("\n")

    with pytest.raises(RequestError) as refusal:
        made("out", progress=touch)
    assert_sentence(refusal, "a.jsonl changed while it was read", "keep the source still")
