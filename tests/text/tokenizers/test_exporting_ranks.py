"""Ranks of byte-level BPE, written for tiktoken and read as its."""

from pathlib import Path

import pytest
import tiktoken

from paribus.text.tokenizers import get_tokenizer
from paribus.text.tokenizers.formats.exporting import exported
from paribus.text.tokenizers.formats.importing import from_ranks
from paribus.text.tokenizers.formats.tiktoken_ranks import read_ranks, write_ranks
from paribus.text.tokenizers.splits import SPLITS, get_split
from paribus.text.tokenizers.training import write_files
from paribus.text.tokenizers.unicode import LETTER_OF_BYTE

from .pairs import ODD, TEXTS, drawn, trained


@pytest.mark.parametrize("method", ["byte_bpe", "byte"])
def test_tiktoken_encodes_ranks_as_we_do(tmp_path: Path, method: str) -> None:
    ours = trained(method, specials=())
    write_files(exported(ours, "tiktoken"), tmp_path / "it")
    pieces = read_ranks((tmp_path / "it" / "ranks.tiktoken").read_bytes(), "it")
    ranks = {piece: rank for rank, piece in enumerate(pieces)}
    library = tiktoken.Encoding(
        "it", pat_str=get_split("gpt4").pattern, mergeable_ranks=ranks, special_tokens={}
    )
    again = from_ranks(tmp_path / "it" / "ranks.tiktoken", split="gpt4")
    assert again.pieces == ours.pieces
    for text in (*ODD, *drawn()):
        assert library.encode_ordinary(text) == again.encode(text).tolist() == ours.encode(text).tolist()


def test_ranks_in_another_order_of_bytes_are_the_ids(tmp_path: Path) -> None:
    """As in the files of GPT-4 and Llama 3, where "!" has rank 0."""
    ours = trained("byte_bpe", specials=())
    pieces = [*sorted(ours.pieces[:256], key=lambda byte: LETTER_OF_BYTE[byte[0]]), *ours.pieces[256:499]]
    (tmp_path / "its.tiktoken").write_bytes(write_ranks(pieces))
    library = tiktoken.Encoding(
        "its",
        pat_str=SPLITS["gpt4"].pattern,
        mergeable_ranks={piece: rank for rank, piece in enumerate(pieces)},
        special_tokens={},
    )
    read = from_ranks(tmp_path / "its.tiktoken", split="gpt4")
    write_files(read.files(), tmp_path / "it")
    write_files(exported(read, "tokenizer.json"), tmp_path / "json")
    assert read.encode("!").tolist() == [0]
    for again in (read, get_tokenizer(str(tmp_path / "it")), get_tokenizer(str(tmp_path / "json"))):
        for text in TEXTS:
            assert again.encode(text).tolist() == library.encode_ordinary(text)
            assert again.decode(again.encode(text)) == text
