"""Tokenizers of ours in other libraries' files: what these encode is what we encode, and so is what we read again."""

import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from transformers import AutoTokenizer

from paribus.text.tokenizers.formats.exporting import exported
from paribus.text.tokenizers.methods import restored
from paribus.text.tokenizers.recipe import END
from paribus.text.tokenizers.training import write_files

from .pairs import LINE, ODD, TEXT, Pair, as_json, as_sentencepiece, drawn, of, trained

WRITTEN = {
    "tokenizer.json": as_json,
    "sentencepiece": as_sentencepiece,
}
CASES = [
    ("tokenizer.json", "byte_bpe", "gpt4", "bytes"),
    ("tokenizer.json", "byte_bpe", "lines", "bytes"),
    ("tokenizer.json", "byte_bpe", "bert", "bytes"),
    ("tokenizer.json", "byte", "gpt4", "bytes"),
    ("tokenizer.json", "bpe", "gpt2", "bytes"),
    ("tokenizer.json", "bpe", "gpt4", "token"),
    ("tokenizer.json", "char", "none", "bytes"),
    ("tokenizer.json", "char", "words", "token"),
    ("tokenizer.json", "wordpiece", "words", "bytes"),
    ("tokenizer.json", "wordpiece", "words", "token"),
    ("tokenizer.json", "wordpiece_likelihood", "words", "bytes"),
    ("tokenizer.json", "wordpiece_topdown", "gpt4", "bytes"),
    ("tokenizer.json", "unigram", "gpt4", "bytes"),
    ("tokenizer.json", "unigram", "words", "token"),
    ("tokenizer.json", "sentencepiece_bpe", "gpt4", "bytes"),
    ("tokenizer.json", "sentencepiece_bpe", "words", "token"),
    ("sentencepiece", "unigram", "none", "bytes"),
    ("sentencepiece", "sentencepiece_bpe", "none", "bytes"),
    ("sentencepiece", "sentencepiece_bpe", "lines", "bytes"),
    ("sentencepiece", "bpe", "lines", "bytes"),
    ("sentencepiece", "char", "gpt4", "bytes"),
]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    format, method, split, unknown = request.param
    ours = trained(method, split=split, unknown=unknown)
    return WRITTEN[format](ours, tmp_path_factory.mktemp("exported") / "it")


def test_the_library_encodes_odd_texts_as_we_do(pair: Pair) -> None:
    for text in (*ODD, *drawn()):
        ours, library, again = pair.readings(text)
        assert ours == library == again


# What Unicode assigned after a library was built has no category there.
ANY = st.characters(exclude_categories=["Cs", "Cn"]).filter(
    lambda letter: unicodedata.ucd_3_2_0.category(letter) != "Cn"
)


@settings(max_examples=25, deadline=None)
@given(text=st.text(ANY | st.sampled_from("ab #<>0x41\n\r\t\u2581\u21b3\x00"), max_size=40))
def test_the_library_encodes_any_text_as_we_do(pair: Pair, text: str) -> None:
    ours, library, again = pair.readings(text)
    assert ours == library == again


def test_what_is_read_again_stands_for_the_same_bytes(pair: Pair) -> None:
    ours, again = pair.ours, pair.again
    assert again.end_of_document == ours.end_of_document
    assert bool(again.loses) == bool(ours.loses)
    if ours.recipe.unknown == "bytes":
        assert np.array_equal(again.byte_lengths[: ours.vocab_size], ours.byte_lengths)
    for text in ODD:
        ids = ours.encode(text)
        assert np.array_equal(again.byte_lengths[ids], ours.byte_lengths[ids])


@pytest.mark.parametrize("method", ["byte_bpe", "wordpiece", "unigram"])
def test_transformers_reads_what_is_written(tmp_path: Path, method: str) -> None:
    ours = trained(method, split="words")
    write_files(exported(ours, "tokenizer.json"), tmp_path / "it")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "it")
    written = json.loads((tmp_path / "it" / "tokenizer.json").read_text("utf-8"))["added_tokens"]
    last = ours.vocab_size - 1
    assert {("<|go|>", last - 1), (END, last)} <= {(token["content"], token["id"]) for token in written}
    assert theirs.eos_token == END and theirs.eos_token_id == ours.end_of_document
    assert theirs.encode(TEXT[:2000], add_special_tokens=False) == ours.encode(TEXT[:2000]).tolist()
    assert theirs.decode(theirs.encode(LINE)) == LINE


@pytest.mark.parametrize("normaliser", ["nfc", "nfkc", "lowercase"])
def test_normalisers_are_written(tmp_path: Path, normaliser: str) -> None:
    pair = as_json(trained("byte_bpe", normaliser=normaliser), tmp_path / "it")
    for text in (*ODD, "The CAT \uff21 \u0130", "\u039f\u0394\u039f\u03a3 \u03a3", "e\u0301\ufb01"):
        ours, library, again = pair.readings(text)
        assert ours == library == again


@pytest.mark.parametrize("method", ["byte_bpe", "bpe"])
def test_blanks_that_the_split_throws_away_are_no_tokens_in_the_library_either(
    method: str, tmp_path: Path
) -> None:
    pair = as_json(trained(method, split="bert"), tmp_path / "it")
    ours, library, again = pair.readings("It's  a_cat\n, no?")
    assert ours == library == again


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


def test_a_piece_like_the_name_of_the_unknown_one_is_text(tmp_path: Path) -> None:
    for number, method in enumerate(("bpe", "unigram", "sentencepiece_bpe", "wordpiece_topdown")):
        scored = method in ("unigram", "sentencepiece_bpe")  # whose library never makes a piece of that name
        content = of("<nuk>" if scored else "<unk>", method, unknown="token", vocab_size=60).to_dict()
        if scored:
            content["model"]["pieces"].append(["<unk>", -0.5])
        ours = restored(content)
        assert b"<unk>" in ours.pieces
        pair = as_json(ours, tmp_path / str(number))
        for text in ("<unk>", "k<unk><unk>\u2603\u2603<", "\u2603"):
            first, library, again = pair.readings(text)
            assert first == library == again
