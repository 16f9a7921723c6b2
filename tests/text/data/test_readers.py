"""Each format: what comes out is what was put in, and what is wrong is said in one sentence."""

import gzip
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from paribus.errors import RequestError
from paribus.text.data import json_lines, spans, text_files
from paribus.text.data.readers import documents_of, spans_of
from paribus.text.data.spans import Document, SourceFile
from paribus.text.data.text_files import PIECE_BYTES

from .conftest import assert_sentence


def read(path: Path, format: str, text_field: str = "text") -> list[Document]:
    """All documents of a file, with positions that count in the file."""
    status = path.stat()
    found, before = [], 0
    for span in spans_of(SourceFile(path, status.st_size, status.st_mtime_ns, format)):
        for text, position, _ in documents_of(span, text_field):
            found.append(Document(text, before + min(position, span.size)))
        before += span.size
    return found


def texts_of(documents: list[Document]) -> list[str | None]:
    return [document.text for document in documents]


def pieces_of(path: Path, content: bytes) -> list[str | None]:
    path.write_bytes(content)
    return texts_of(read(path, "text"))


# Lone text files


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_lone_file_is_cut_at_blank_lines_and_nothing_is_lost(tmp_path: Path, line_end: str) -> None:
    paragraph = ("word " * 100 + line_end) + line_end
    pieces = pieces_of(tmp_path / "a.txt", (paragraph * 30).encode())
    assert len(pieces) > 4
    assert "".join(map(str, pieces)) == paragraph * 30
    assert all(str(piece).endswith(line_end * 2) and len(str(piece)) >= PIECE_BYTES for piece in pieces)


def test_without_blank_lines_it_is_cut_at_line_ends(tmp_path: Path) -> None:
    line = "word " * 20 + "\n"
    pieces = pieces_of(tmp_path / "a.txt", (line * 300).encode())
    assert len(pieces) > 4
    assert "".join(map(str, pieces)) == line * 300
    assert all(str(piece).endswith("\n") and len(str(piece)) >= PIECE_BYTES for piece in pieces)


@pytest.mark.parametrize("letter", ["a", "é", "世", "\N{PILE OF POO}"])
@pytest.mark.parametrize("shift", range(4))
def test_one_huge_line_is_cut_between_characters(tmp_path: Path, letter: str, shift: int) -> None:
    text = "x" * shift + letter * 20_000
    pieces = pieces_of(tmp_path / "a.txt", text.encode())
    assert len(pieces) > 1
    assert "".join(map(str, pieces)) == text
    assert all(len(str(piece).encode()) >= PIECE_BYTES for piece in pieces)


def test_a_short_tail_joins_the_last_piece(tmp_path: Path) -> None:
    body = "a" * PIECE_BYTES + "\n\n"
    pieces = pieces_of(tmp_path / "a.txt", (body * 3 + "tail").encode())
    assert pieces == [body, body, body + "tail"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    assert pieces_of(tmp_path / "a.txt", b"\xef\xbb\xbfhello") == ["hello"]
    assert texts_of(read(tmp_path / "a.txt", "file")) == ["hello"]


def test_a_lone_binary_file_is_refused_with_the_offset(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as refusal:
        pieces_of(tmp_path / "photo.dat", b"a" * 9001 + b"\0")
    assert_sentence(refusal, "photo.dat", "binary", "offset 9,001")


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_invalid_utf8_in_a_lone_file_is_refused_with_the_offset(tmp_path: Path, start: bytes) -> None:
    content = start + b"line\n" * 2000 + b"caf\xe9 \n"
    with pytest.raises(RequestError) as refusal:
        pieces_of(tmp_path / "latin.txt", content)
    assert_sentence(refusal, "latin.txt", "UTF-8", "0xe9", f"offset {len(start) + 10_003:,}")


@pytest.mark.parametrize(
    "content", [b"text \0 more", b"\xff\xfeh\0i\0", b"caf\xe9 au lait", b"x" * 70_000 + b"\0"]
)
def test_in_a_folder_what_is_not_utf8_text_gives_no_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert texts_of(read(tmp_path / "a", "file")) == [None]


@pytest.mark.parametrize("letter", ["a\n", "é", "世", "\N{PILE OF POO}", "word\r\n\r\n"])
@pytest.mark.parametrize("block", [9000, 10_001, 30_002, 30_003])
def test_blocks_of_a_lone_file_tile_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letter: str, block: int
) -> None:
    monkeypatch.setattr(spans, "BLOCK_BYTES", block)
    text = "x" + letter * (90_000 // len(letter.encode()))
    pieces = pieces_of(tmp_path / "a.txt", text.encode())
    assert "".join(map(str, pieces)) == text
    assert len(pieces) > 8


def test_a_wrong_byte_is_found_at_its_place_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "BLOCK_BYTES", 10_000)
    with pytest.raises(RequestError) as refusal:
        pieces_of(tmp_path / "a.txt", b"line\n" * 10_000 + b"\xff")
    assert_sentence(refusal, "offset 50,000")


def test_in_a_folder_a_huge_file_is_cut_and_only_what_is_no_text_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "MOST_WHOLE_BYTES", 200_000)
    monkeypatch.setattr(spans, "BLOCK_BYTES", 50_000)
    (tmp_path / "a").write_bytes(b"line\n" * 30_000 + b"\xff\n" + b"more\n" * 30_000)
    found = texts_of(read(tmp_path / "a", "file"))
    assert found.count(None) == 1
    assert sum(len(text) for text in found if text) > 290_000
    (tmp_path / "film").write_bytes(b"\0" * 300_000)
    assert texts_of(read(tmp_path / "film", "file")) == [None]


# JSON lines


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_jsonl_gives_one_document_a_line(tmp_path: Path, ending: str, texts: list[str]) -> None:
    path = tmp_path / f"a{ending}"
    content = "\n\n".join(json.dumps({"id": 1, "body": text}) for text in texts).encode()
    path.write_bytes(gzip.compress(content) if ending.endswith(".gz") else content)
    documents = read(path, ending[1:], "body")
    assert texts_of(documents) == texts
    assert documents[-1].position == path.stat().st_size


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (b'{"text": "a"', ["not JSON", "column 13"]),
        (b"[1, 2]", ["not a JSON object", "a list"]),
        (b"null", ["not a JSON object", "null"]),
        (b'{"body": "x", "title": "y"}', ["no field 'text'", "'body', 'title'"]),
        (b"{}", ["no field 'text'", "none"]),
        (b'{"text": 3, "id": 1}', ["a number and not a string", "'text', 'id'"]),
        (b'{"text": null}', ["null and not a string"]),
        (b'{"text": "caf\xe9"}', ["not UTF-8", "byte 13"]),
        (b'{"text": ' + b"[" * 200_000, ["nested too deeply"]),
        (b'{"text": ' + b"9" * 10_000 + b"}", ["too many digits"]),
    ],
)
def test_a_wrong_line_is_refused_with_file_and_line(tmp_path: Path, line: bytes, parts: list[str]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "fine"}\n\n' + line + b"\n")
    with pytest.raises(RequestError) as refusal:
        read(path, "jsonl")
    assert_sentence(refusal, "line 3 of", "a.jsonl", *parts)


def test_an_endless_line_is_refused_and_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "MAX_LINE_BYTES", 1000)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "a" * 2000}))
    with pytest.raises(RequestError) as refusal:
        read(path, "jsonl")
    assert_sentence(refusal, "line 1 of", "longer than 1,000 bytes")


def test_a_lone_surrogate_in_json_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "\\ud800"}\n{"text": "\\ud83d\\udca9"}')
    assert texts_of(read(path, "jsonl")) == [None, "\N{PILE OF POO}"]


@pytest.mark.parametrize("damage", ["no gzip", "cut", "wrong checksum", "wrong data"])
def test_a_broken_gzip_file_is_refused(tmp_path: Path, damage: str, texts: list[str]) -> None:
    content = bytearray(gzip.compress("\n".join(json.dumps({"text": text}) for text in texts).encode()))
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "wrong checksum":
        content[-6] ^= 0xFF
    elif damage == "wrong data":
        content[10:40] = b"\xff" * 30
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(b'{"text": "a"}' if damage == "no gzip" else content)
    with pytest.raises(RequestError) as refusal:
        read(path, "jsonl.gz")
    assert_sentence(refusal, "a.jsonl.gz", "broken gzip")


@pytest.mark.parametrize("format", ["jsonl", "jsonl.gz"])
@pytest.mark.parametrize("block", [1, 100, 5000])
def test_every_line_is_in_one_span_and_a_wrong_one_keeps_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str], format: str, block: int
) -> None:
    monkeypatch.setattr(spans, "BLOCK_BYTES", block)
    lines = [json.dumps({"text": text}) for text in texts]
    path = tmp_path / f"a.{format}"
    pack = gzip.compress if format.endswith("gz") else bytes
    path.write_bytes(pack("\n".join(lines).encode()))
    assert texts_of(read(path, format)) == texts
    path.write_bytes(pack("\n".join([*lines[:30], "{", *lines[30:]]).encode()))
    with pytest.raises(RequestError) as refusal:
        read(path, format)
    assert_sentence(refusal, "line 31 of")


# Parquet


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("block", [2**22, 10_000])
def test_parquet_gives_one_document_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str], kind: pa.DataType, block: int
) -> None:
    many = texts * 20  # more than one batch of rows
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"id": range(len(many)), "body": pa.array(many).cast(kind)}), path, row_group_size=300
    )
    monkeypatch.setattr(spans, "BLOCK_BYTES", block)
    documents = read(path, "parquet", "body")
    assert texts_of(documents) == many
    assert documents[-1].position == path.stat().st_size


def test_a_null_in_parquet_is_an_empty_document_and_broken_utf8_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    broken = pa.array([b"fine", None, b"caf\xe9"]).view(pa.string())
    pq.write_table(pa.table({"text": broken}), path)
    assert texts_of(read(path, "parquet")) == ["fine", "", None]


def test_a_missing_column_names_the_columns_there(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": ["a"], "url": ["b"]}), path)
    with pytest.raises(RequestError) as refusal:
        read(path, "parquet")
    assert_sentence(refusal, "a.parquet", "no column 'text'", "'body', 'url'")


def test_a_column_that_is_no_string_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [1, 2]}), path)
    with pytest.raises(RequestError) as refusal:
        read(path, "parquet")
    assert_sentence(refusal, "'text'", "a.parquet", "int64 and not strings")


@pytest.mark.parametrize("damage", ["no parquet", "cut", "overwritten"])
def test_a_broken_parquet_file_is_refused(tmp_path: Path, damage: str, texts: list[str]) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": texts}), path)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "overwritten":
        content[4:400] = b"\xff" * 396
    path.write_bytes(b"text" if damage == "no parquet" else content)
    with pytest.raises(RequestError) as refusal:
        read(path, "parquet")
    assert_sentence(refusal, "a.parquet", "broken parquet")


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RequestError) as refusal:
        list(spans_of(SourceFile(tmp_path / "a.parquet", 10, 0, "parquet")))
    assert_sentence(refusal, "pip install 'paribus[parquet]'")
