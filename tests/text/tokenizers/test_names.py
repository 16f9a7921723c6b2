"""Tokenizers are found by name."""

import pytest

from paribus.errors import RequestError
from paribus.text.tokenizers import ByteTokenizer, get_tokenizer


def test_a_tokenizer_is_found_by_its_own_name() -> None:
    assert isinstance(get_tokenizer(ByteTokenizer.name), ByteTokenizer)


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(RequestError, match="'byte'.*did you mean bytes"):
        get_tokenizer("byte")
