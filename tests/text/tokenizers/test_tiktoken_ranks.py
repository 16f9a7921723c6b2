"""tiktoken's files of ranks, there and back."""

import base64

import pytest

from paribus.errors import RequestError
from paribus.text.tokenizers.formats.tiktoken_ranks import read_ranks, write_ranks

PIECES = (*(bytes((value,)) for value in range(256)), b"ab", b"\xff\x00 ")


def test_ranks_come_back() -> None:
    assert read_ranks(write_ranks(PIECES), "it") == PIECES


def test_tiktoken_reads_what_is_written(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    from tiktoken.load import load_tiktoken_bpe

    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    (tmp_path / "own.tiktoken").write_bytes(write_ranks(PIECES))
    found = load_tiktoken_bpe(str(tmp_path / "own.tiktoken"))
    assert found == {piece: rank for rank, piece in enumerate(PIECES)}


def line(piece: bytes, rank: object) -> bytes:
    return base64.b64encode(piece) + f" {rank}\n".encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has 0 ranks"),
        (b"\x00\x01binary\xff", "is no file of ranks: line 1"),
        (write_ranks(PIECES) + b"!!! 258\n", "is no file of ranks: line 259"),
        (write_ranks(PIECES) + line(b"x y", 3), "gives the rank 3 twice"),
        (write_ranks(PIECES) + line(b"x y", 300), "has 259 ranks, and they are not all of 0 to 258"),
        (write_ranks(PIECES) + line(b"ab", 258), "has a piece twice"),
        (write_ranks(PIECES[1:]), "lacks 1 of the 256 bytes among its first ranks, the first is 0"),
        (
            write_ranks([b"ab", *PIECES[:256]]),
            "lacks 1 of the 256 bytes among its first ranks, the first is 255",
        ),
        (line(b"", 0), "is no file of ranks: line 1"),
        (line(b"a", 1.5), "is no file of ranks: line 1"),
        (line(b"a", -1), "has 1 ranks, and they are not all of 0 to 0"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(content: bytes, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        read_ranks(content, "it")
