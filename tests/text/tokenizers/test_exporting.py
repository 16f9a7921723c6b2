"""Tokenizers of ours in other libraries' files: what these encode is what we encode, and so is what we read again."""

import json
import random
import re
import sysconfig
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library
from transformers import AutoTokenizer

from paribus.errors import RequestError
from paribus.text.tokenizers import Tokenizer, get_tokenizer
from paribus.text.tokenizers.formats.exporting import exported
from paribus.text.tokenizers.formats.importing import from_ranks
from paribus.text.tokenizers.formats.tiktoken_ranks import read_ranks, write_ranks
from paribus.text.tokenizers.methods import Corpus, restored, train_tokenizer
from paribus.text.tokenizers.recipe import END, Recipe
from paribus.text.tokenizers.splits import SPLITS, get_split
from paribus.text.tokenizers.trained import TrainedTokenizer
from paribus.text.tokenizers.training import write_files
from paribus.text.tokenizers.unicode import LETTER_OF_BYTE

TEXT = Path(sysconfig.get_path("stdlib"), "argparse.py").read_text("utf-8")[:8000]
LINE = "Größe 猫猫 \x1f ## ### #a 123456789\r\n\r\n  x\u200cy\n"
TEXTS = (TEXT, LINE * 20)
ODD = (
    *TEXTS,
    "",
    " ",
    "<|go|> a <|endoftext|> <unk> [UNK] <s> </s> <0x41> <0x0A>",
    "\U0001f600\u2581 \u21b3a \u21b3\u21b3 \ue000 \uf8f0",
    "\x00a\x00 \x1f\x7f\ufffd",
    "e\u0301  \n\n x \u00e9",
    "##a #### a## #",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
    "\u0645\u06cc\u200c\u062e\u0648 \u0915\u094d\u200d\u0937 a\u200db\u200c_\u200d",
    "\u202eabc\u202c \u05e9\u05dc\u05d5\u05dd \u200f",
    "a" * 99 + "\n" * 7 + "     b\t\t  \r\n\r\n",
)


def drawn() -> list[str]:
    rng = random.Random(0)
    letters = TEXT + "Größe猫\n  \r\n\u2603é#<>\u21b3" * 100
    return ["".join(rng.choices(letters, k=rng.randrange(1, 60))) for _ in range(100)]


def trained(method: str, **fields: object) -> TrainedTokenizer:
    recipe = Recipe(method=method, **{"vocab_size": 500, "specials": ("<|go|>",), **fields})  # type: ignore[arg-type]
    return train_tokenizer(recipe, Corpus(lambda: TEXTS))


@dataclass
class Pair:
    """One of ours, the library's own of what we wrote, and ours of the same file."""

    ours: TrainedTokenizer
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    again: Tokenizer

    def readings(self, text: str) -> tuple[tuple[list[int], str], ...]:
        """The ids of `text` and what they stand for: by ours, by the library and by ours again."""
        ours, again = self.ours.encode(text).tolist(), self.again.encode(text).tolist()
        theirs = self.encode(text)
        return (
            (ours, self.ours.decode(ours)),
            (theirs, self.decode(theirs)),
            (again, self.again.decode(again)),
        )


def as_json(ours: TrainedTokenizer, folder: Path) -> Pair:
    write_files(exported(ours, "tokenizer.json"), folder)
    library = Library.from_file(str(folder / "tokenizer.json"))
    library.encode_special_tokens = True
    return Pair(ours, lambda text: library.encode(text).ids, library.decode, get_tokenizer(str(folder)))


def as_sentencepiece(ours: TrainedTokenizer, folder: Path) -> Pair:
    write_files(exported(ours, "sentencepiece"), folder)
    library = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert library.eos_id() == ours.end_of_document
    return Pair(ours, library.encode, library.decode, get_tokenizer(str(folder)))


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


def _of(text: str, method: str = "char", **fields: object) -> TrainedTokenizer:
    recipe = Recipe(method=method, **{"vocab_size": 300, "split": "none", **fields})  # type: ignore[arg-type]
    return train_tokenizer(recipe, Corpus(lambda: [text] * 30))


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
        exported(_of(text, method), format)


def test_a_piece_like_the_name_of_the_unknown_one_is_text(tmp_path: Path) -> None:
    for number, method in enumerate(("bpe", "unigram", "sentencepiece_bpe", "wordpiece_topdown")):
        scored = method in ("unigram", "sentencepiece_bpe")  # whose library never makes a piece of that name
        content = _of("<nuk>" if scored else "<unk>", method, unknown="token", vocab_size=60).to_dict()
        if scored:
            content["model"]["pieces"].append(["<unk>", -0.5])
        ours = restored(content)
        assert b"<unk>" in ours.pieces
        pair = as_json(ours, tmp_path / str(number))
        for text in ("<unk>", "k<unk><unk>\u2603\u2603<", "\u2603"):
            first, library, again = pair.readings(text)
            assert first == library == again


def test_scores_whose_sums_could_be_rounded_are_refused() -> None:
    content = trained("unigram").to_dict()
    content["model"]["pieces"][5][1] += 1e-4
    with pytest.raises(RequestError, match="is no multiple of 1/1024"):
        exported(restored(content), "tokenizer.json")


def test_pairs_that_joined_strings_would_not_merge_are_refused() -> None:
    content = _of("abcab", "bpe", vocab_size=262).to_dict()
    content["model"] = {"alphabet": ["a", "b", "c"], "merges": [[0, 1, 9], [1, 2, 8], [0, 4, 7]]}
    with pytest.raises(
        RequestError, match="merges whatever joins to 'abc', and this tokenizer only 'a' with 'bc'"
    ):
        exported(restored(content), "sentencepiece")
