"""Tokenizers of ours in other libraries' files: what these encode is what we encode."""

import sysconfig
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from transformers import AutoTokenizer

from paribus.errors import RequestError
from paribus.text.tokenizers import get_tokenizer
from paribus.text.tokenizers.formats.exporting import exported
from paribus.text.tokenizers.formats.importing import from_ranks
from paribus.text.tokenizers.methods import Corpus, train_tokenizer
from paribus.text.tokenizers.recipe import END, Recipe
from paribus.text.tokenizers.trained import TrainedTokenizer
from paribus.text.tokenizers.training import write_files

TEXT = Path(sysconfig.get_path("stdlib"), "argparse.py").read_text("utf-8")
TEXTS = (TEXT, "Größe 猫猫 \x00\x1f 123456789\r\n\r\n  x" * 20)


def trained(method: str, **fields: object) -> TrainedTokenizer:
    recipe = Recipe(method=method, **{"vocab_size": 500, "specials": ("<|go|>",), **fields})  # type: ignore[arg-type]
    return train_tokenizer(recipe, Corpus(lambda: TEXTS))


@pytest.fixture(
    scope="module",
    params=[
        ("byte_bpe", "gpt4"),
        ("byte_bpe", "words"),
        ("byte_bpe", "lines"),
        ("bpe", "gpt2"),
        ("char", "none"),
        ("byte", "gpt4"),
    ],
    ids="-".join,
)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainedTokenizer, Library]:
    method, split = request.param
    ours = trained(method, split=split)
    folder = tmp_path_factory.mktemp("exported") / "it"
    write_files(exported(ours, "tokenizer.json"), folder)
    return ours, Library.from_file(str(folder / "tokenizer.json"))


def same(pair: tuple[TrainedTokenizer, Library], text: str) -> None:
    ours, library = pair
    library.encode_special_tokens = True
    assert library.encode(text).ids == ours.encode(text).tolist()
    assert library.decode(library.encode(text).ids) == ours.decode(ours.encode(text))


@pytest.mark.parametrize("text", [*TEXTS, "", "<|go|> a", "\U0001f600\u2581 <0x41>", "e\u0301  \n\n x"])
def test_the_library_encodes_as_we_do(pair: tuple[TrainedTokenizer, Library], text: str) -> None:
    same(pair, text)


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_the_library_encodes_any_text_as_we_do(pair: tuple[TrainedTokenizer, Library], text: str) -> None:
    same(pair, text)


def test_transformers_and_we_read_what_is_written(tmp_path: Path) -> None:
    ours = trained("byte_bpe")
    write_files(exported(ours, "tokenizer.json"), tmp_path / "it")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "it")
    assert theirs.eos_token == END and theirs.eos_token_id == ours.end_of_document == 499
    assert theirs.encode(TEXT[:2000]) == ours.encode(TEXT[:2000]).tolist()
    again = get_tokenizer(str(tmp_path / "it"))
    assert np.array_equal(again.byte_lengths, ours.byte_lengths) and again.end_of_document == 499


def test_normalisers_are_written(tmp_path: Path) -> None:
    ours = trained("byte_bpe", normaliser="lowercase")
    write_files(exported(ours, "tokenizer.json"), tmp_path / "it")
    same((ours, Library.from_file(str(tmp_path / "it" / "tokenizer.json"))), "The CAT")


def test_ranks_come_back(tmp_path: Path) -> None:
    ours = trained("byte_bpe", specials=())
    write_files(exported(ours, "tiktoken"), tmp_path / "it")
    again = from_ranks(tmp_path / "it" / "ranks.tiktoken", split="gpt4")
    assert again.pieces == ours.pieces and np.array_equal(again.encode(TEXT), ours.encode(TEXT))


@pytest.mark.parametrize(
    ("method", "fields", "format", "said"),
    [
        ("word", {}, "tokenizer.json", "no other library has the method word"),
        ("bpe", {"unknown": "token"}, "tokenizer.json", "cannot express bpe with unknown=token"),
        ("byte_bpe", {"normaliser": "nfkc_casefold"}, "tokenizer.json", "has no normaliser nfkc_casefold"),
        ("bpe", {}, "tiktoken", "tiktoken has byte-level BPE only, and this is bpe"),
        ("byte_bpe", {}, "tokenizr.json", r"no format 'tokenizr.json': did you mean tokenizer.json\?"),
    ],
)
def test_what_a_format_cannot_express_is_refused(
    method: str, fields: dict[str, str], format: str, said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        exported(trained(method, **fields), format)
