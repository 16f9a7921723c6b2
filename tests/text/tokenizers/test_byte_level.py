"""The byte tokenizer against Python's own UTF-8."""

import numpy as np
import pytest

from paribus.errors import RequestError
from paribus.text.tokenizers import ByteTokenizer

TEXTS = [
    "",
    "plain",
    "tabs\tand\r\nline ends\n",
    "\0 nul",
    "Grüße, 世界 \N{PILE OF POO}",
    "".join(map(chr, range(256))),
]


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_the_utf8_bytes_and_decode_gives_the_text_back(text: str) -> None:
    ids = ByteTokenizer().encode(text)
    assert ids.dtype == np.uint16
    assert bytes(ids.tolist()) == text.encode("utf-8")
    assert ByteTokenizer().decode(ids) == text


@pytest.mark.parametrize("text", TEXTS)
def test_byte_lengths_add_up_to_the_bytes_of_the_text(text: str) -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.byte_lengths[tokenizer.encode(text)].sum() == len(text.encode("utf-8"))


def test_end_of_document_is_the_last_id_has_no_bytes_and_decodes_to_nothing() -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.end_of_document == tokenizer.vocab_size - 1 == 256
    assert tokenizer.byte_lengths.shape == (257,)
    assert tokenizer.byte_lengths[256] == 0
    assert tokenizer.decode([97, 256, 98]) == "ab"


def test_a_character_cut_in_two_decodes_to_the_replacement_character() -> None:
    assert ByteTokenizer().decode([0x61, 0xC3]) == "a\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("wrong", [-1, 257, 65536, 10**30])
def test_an_id_outside_the_vocabulary_is_refused_by_name(wrong: int) -> None:
    with pytest.raises(RequestError, match=f"id {wrong} .* 0 to 256"):
        ByteTokenizer().decode([97, wrong])


def test_a_lone_surrogate_is_refused_with_its_place() -> None:
    with pytest.raises(RequestError, match=r"U\+D800 at character 2"):
        ByteTokenizer().encode("ab\ud800")
