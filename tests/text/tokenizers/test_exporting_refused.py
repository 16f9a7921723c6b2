"""What a format cannot hold is refused before it is written."""

from pathlib import Path

import pytest

from paribus.errors import RequestError
from paribus.text.tokenizers.formats.exporting import exported
from paribus.text.tokenizers.formats.importing import from_ranks
from paribus.text.tokenizers.formats.tiktoken_ranks import write_ranks
from paribus.text.tokenizers.methods import Corpus, restored, train_tokenizer
from paribus.text.tokenizers.recipe import END, Recipe

from .pairs import of, trained


@pytest.mark.parametrize(
    ("method", "fields", "format", "said"),
    [
        ("word", {}, "tokenizer.json", "no other library has the method word"),
        ("wordpiece", {}, "tokenizer.json", "cannot express that .* has no piece inside a word"),
        ("byte_bpe", {"normaliser": "nfkc_casefold"}, "tokenizer.json", "has no normaliser nfkc_casefold"),
        ("bpe", {}, "tiktoken", "tiktoken has byte-level BPE only, and this is bpe"),
        (
            "byte_bpe",
            {"normaliser": "nfc"},
            "tiktoken",
            "tiktoken has no normaliser, so it cannot express nfc",
        ),
        ("byte_bpe", {}, "tokenizr.json", r"no format 'tokenizr.json': did you mean tokenizer.json\?"),
        (
            "byte_bpe",
            {},
            "sentencepiece",
            "has unigram, BPE of characters and characters, and this is byte_bpe",
        ),
        ("unigram", {}, "sentencepiece", "cannot express unigram with the split gpt4: train it with none"),
        ("unigram", {"split": "lines"}, "sentencepiece", "cannot express unigram with the split lines"),
        ("bpe", {}, "sentencepiece", "cannot express bpe with the split gpt4: train it with none or lines"),
        ("bpe", {"split": "none", "normaliser": "nfc"}, "sentencepiece", "no normaliser that is exactly nfc"),
        ("char", {"unknown": "token"}, "sentencepiece", "a run of unknown characters as one token"),
    ],
)
def test_what_a_format_cannot_express_is_refused(
    method: str, fields: dict[str, str], format: str, said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        exported(trained(method, **fields), format)


def test_pieces_that_a_file_of_merges_cannot_hold_are_refused(tmp_path: Path) -> None:
    pieces = [*(bytes((value,)) for value in range(256)), b"abc"]
    (tmp_path / "its.tiktoken").write_bytes(write_ranks(pieces))
    with pytest.raises(RequestError, match="the piece b'abc' is not made of two others"):
        exported(from_ranks(tmp_path / "its.tiktoken", split="gpt4"), "tokenizer.json")
    recipe = Recipe(method="bpe", vocab_size=400, split="words")
    byte = train_tokenizer(recipe, Corpus(lambda: ["<0x41>"] * 9))
    with pytest.raises(RequestError, match="writes the piece '<0x41>' and a byte alike"):
        exported(byte, "tokenizer.json")


@pytest.mark.parametrize(
    ("text", "method", "format", "said"),
    [
        ("\u2581a", "char", "sentencepiece", "reads U\\+2581 as a blank"),
        ("\x00a", "char", "sentencepiece", "ends a piece at a NUL"),
        ("<0x41>", "bpe", "tokenizer.json", "writes the piece '<0x41>' and a byte alike"),
        ("<0x41>", "bpe", "sentencepiece", "writes the piece '<0x41>' and a byte alike"),
        (
            END,
            "byte_bpe",
            "tokenizer.json",
            "writes the special token '<|endoftext|>' and a piece alike",
        ),
        (END, "bpe", "sentencepiece", "writes the special token '<|endoftext|>' and a piece alike"),
    ],
)
def test_a_piece_that_a_format_would_read_as_another_is_refused(
    text: str, method: str, format: str, said: str
) -> None:
    with pytest.raises(RequestError, match=said.replace("|", r"\|")):
        exported(of(text, method), format)


def test_scores_whose_sums_could_be_rounded_are_refused() -> None:
    content = trained("unigram").to_dict()
    content["model"]["pieces"][5][1] += 1e-4
    with pytest.raises(RequestError, match="is no multiple of 1/1024"):
        exported(restored(content), "tokenizer.json")


def test_pairs_that_joined_strings_would_not_merge_are_refused() -> None:
    content = of("abcab", "bpe", vocab_size=262).to_dict()
    content["model"] = {"alphabet": ["a", "b", "c"], "merges": [[0, 1, 9], [1, 2, 8], [0, 4, 7]]}
    with pytest.raises(
        RequestError, match="merges whatever joins to 'abc', and this tokenizer only 'a' with 'bc'"
    ):
        exported(restored(content), "sentencepiece")
