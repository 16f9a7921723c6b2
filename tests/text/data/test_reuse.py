"""An unchanged source is not read again; anything else is."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from paribus.text.data import default_cache
from paribus.text.tokenizers import ByteTokenizer

from .conftest import Prepare


class Calls(list[tuple[int, int]]):
    """Remembers the calls of progress: none means that nothing was read."""

    def __call__(self, done: int, total: int) -> None:
        self.append((done, total))


@pytest.fixture
def source(folder_of: Callable[..., Path], texts: list[str]) -> Path:
    return folder_of(texts)


def test_an_unchanged_source_is_not_read(source: Path, prepared: Prepare) -> None:
    first = prepared(source)
    # Other text behind the same size and time: whoever read it would notice.
    path = source / "000.txt"
    times = path.stat().st_mtime_ns
    path.write_bytes(b"x" * path.stat().st_size)
    os.utime(path, ns=(times, times))
    calls = Calls()
    assert prepared(source, progress=calls) == first
    assert calls == []


@pytest.mark.parametrize("change", ["text", "time", "new file", "file gone"])
def test_a_changed_source_is_read_again(source: Path, prepared: Prepare, change: str) -> None:
    first = prepared(source)
    if change == "text":
        (source / "000.txt").write_text("other text")
    elif change == "time":
        os.utime(source / "000.txt", ns=(1, 1))
    elif change == "new file":
        (source / "new").write_text("other text")
    else:
        (source / "000.txt").unlink()
    calls = Calls()
    second = prepared(source, progress=calls)
    assert calls
    assert (second.sha256 == first.sha256) == (change == "time")


class OtherTokenizer(ByteTokenizer):
    name = "other"


@pytest.mark.parametrize(
    "option", [{"held_out": 0.3}, {"text_field": "body"}, {"tokenizer": OtherTokenizer()}]
)
def test_another_request_is_not_answered_by_an_earlier_one(
    source: Path, prepared: Prepare, option: dict[str, object]
) -> None:
    prepared(source)
    calls = Calls()
    prepared(source, progress=calls, **option)
    assert calls


@pytest.mark.parametrize("damage", ["truncated", "gone", "no meta", "broken pointer", "old format"])
def test_what_was_damaged_is_built_again(
    source: Path, prepared: Prepare, tmp_path: Path, damage: str
) -> None:
    first = prepared(source)
    tokens = first.train.read(0, first.train.num_tokens).tolist()
    shard = first.folder / "train-00000.bin"
    if damage == "truncated":
        os.truncate(shard, 10)
    elif damage == "gone":
        shard.unlink()
    elif damage == "no meta":
        (first.folder / "meta.json").unlink()
    elif damage == "old format":
        meta = json.loads((first.folder / "meta.json").read_text())
        (first.folder / "meta.json").write_text(json.dumps(meta | {"format": 1}))
    else:
        for pointer in (tmp_path / "cache" / "sources").iterdir():
            pointer.write_text("{")
    second = prepared(source)
    assert second == first
    assert second.train.read(0, second.train.num_tokens).tolist() == tokens


def test_the_same_text_elsewhere_shares_the_data_and_keeps_its_own_name_and_counts(
    source: Path, prepared: Prepare, tmp_path: Path, texts: list[str]
) -> None:
    first = prepared(source)
    lines = [json.dumps({"text": text}) for text in [*texts, *texts[:3]]]
    other = tmp_path / "other.jsonl"
    other.write_text("\n".join(lines))
    for _ in range(2):  # built, then reused
        second = prepared(other)
        assert (second.folder, second.sha256) == (first.folder, first.sha256)
        assert (second.name, second.duplicates) == ("other.jsonl", 3)
    assert prepared(source) == first


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PARIBUS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_cache() == tmp_path / ".cache" / "paribus"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "xdg" / "paribus"
    monkeypatch.setenv("PARIBUS_CACHE", "~/mine")
    assert default_cache() == tmp_path / "mine"


def test_text_is_prepared_again_by_code_that_has_changed(
    source: Path, prepared: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version may cut or group documents otherwise; what the old one made is not what it would make."""
    prepared(source)
    monkeypatch.setattr("paribus.text.data.reuse.digest", lambda *rooms: "other lines")
    calls = Calls()
    prepared(source, progress=calls)
    assert calls != []
