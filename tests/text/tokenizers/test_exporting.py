"""Tokenizers of ours in other libraries' files: what these encode is what we encode."""

import json
import re
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from transformers import AutoTokenizer

from paribus.errors import RequestError
from paribus.text.tokenizers import get_tokenizer
from paribus.text.tokenizers.formats.exporting import exported
from paribus.text.tokenizers.formats.importing import from_ranks
from paribus.text.tokenizers.formats.tiktoken_ranks import write_ranks
from paribus.text.tokenizers.methods import Corpus, train_tokenizer
from paribus.text.tokenizers.recipe import END, Recipe
from paribus.text.tokenizers.splits import SPLITS
from paribus.text.tokenizers.trained import TrainedTokenizer
from paribus.text.tokenizers.training import write_files
from paribus.text.tokenizers.unicode import LETTER_OF_BYTE

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
    added = json.loads((tmp_path / "it" / "tokenizer.json").read_text("utf-8"))["added_tokens"]
    assert [(token["content"], token["id"]) for token in added] == [("<|go|>", 498), (END, 499)]
    assert theirs.eos_token == END and theirs.eos_token_id == ours.end_of_document == 499
    assert theirs.encode(TEXT[:2000]) == ours.encode(TEXT[:2000]).tolist()
    again = get_tokenizer(str(tmp_path / "it"))
    assert np.array_equal(again.byte_lengths, ours.byte_lengths) and again.end_of_document == 499


@pytest.mark.parametrize("normaliser", ["nfc", "nfkc", "lowercase"])
def test_normalisers_are_written(normaliser: str, tmp_path: Path) -> None:
    ours = trained("byte_bpe", normaliser=normaliser)
    write_files(exported(ours, "tokenizer.json"), tmp_path / "it")
    library = Library.from_file(str(tmp_path / "it" / "tokenizer.json"))
    for text in ("The CAT", "\u039f\u0394\u039f\u03a3 \u0130", "e\u0301\u212b", "\ufb01\uff21"):
        same((ours, library), text)


@pytest.mark.parametrize("method", ["byte_bpe", "bpe"])
def test_blanks_that_the_split_throws_away_are_no_tokens_in_the_library_either(
    method: str, tmp_path: Path
) -> None:
    ours = trained(method, split="bert")
    write_files(exported(ours, "tokenizer.json"), tmp_path / "it")
    same((ours, Library.from_file(str(tmp_path / "it" / "tokenizer.json"))), "It's  a_cat\n, no?")


def test_ranks_come_back(tmp_path: Path) -> None:
    ours = trained("byte_bpe", specials=())
    write_files(exported(ours, "tiktoken"), tmp_path / "it")
    again = from_ranks(tmp_path / "it" / "ranks.tiktoken", split="gpt4")
    assert again.pieces == ours.pieces and np.array_equal(again.encode(TEXT), ours.encode(TEXT))


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


def test_pieces_that_a_file_of_merges_cannot_hold_are_refused(tmp_path: Path) -> None:
    pieces = [*(bytes((value,)) for value in range(256)), b"abc"]
    (tmp_path / "its.tiktoken").write_bytes(write_ranks(pieces))
    with pytest.raises(RequestError, match="the piece b'abc' is not made of two others"):
        exported(from_ranks(tmp_path / "its.tiktoken", split="gpt4"), "tokenizer.json")
    recipe = Recipe(method="bpe", vocab_size=400, split="words")
    byte = train_tokenizer(recipe, Corpus(lambda: ["<0x41>"] * 9))
    with pytest.raises(RequestError, match="writes the piece '<0x41>' and a byte alike"):
        exported(byte, "tokenizer.json")


SPECIALS = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|endofprompt|>")
#: The strings with special tokens that minbpe is tested with.
WITH_SPECIALS = (
    "<|endoftext|>Hello world this is one document\n"
    "<|endoftext|>And this is another document\n"
    "<|endoftext|><|fim_prefix|>And this one has<|fim_suffix|> tokens.<|fim_middle|> FIM\n"
    "<|endoftext|>Last document!!! \N{WAVING HAND SIGN}<|endofprompt|>"
)


def test_minbpes_strings_hold_special_tokens_only_where_they_are_asked_for(tmp_path: Path) -> None:
    ours = trained("byte_bpe", specials=SPECIALS)
    ids = {name: ours.vocab_size - 5 + number for number, name in enumerate(ours.specials)}
    plain = ours.encode(WITH_SPECIALS).tolist()
    assert ours.decode(plain) == WITH_SPECIALS and not set(ids.values()) & set(plain)
    parts = re.split("(" + "|".join(map(re.escape, ids)) + ")", WITH_SPECIALS)
    asked_for = [
        number for part in parts for number in ([ids[part]] if part in ids else ours.encode(part).tolist())
    ]
    write_files(exported(ours, "tokenizer.json"), tmp_path / "it")
    library = Library.from_file(str(tmp_path / "it" / "tokenizer.json"))
    assert library.encode(WITH_SPECIALS).ids == asked_for
    assert library.decode(asked_for, skip_special_tokens=False) == WITH_SPECIALS
    library.encode_special_tokens = True
    assert library.encode(WITH_SPECIALS).ids == plain


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
