"""Folders without a tokenizer.json: what stands beside vocabulary and merges counts as it does for transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from paribus.text.tokenizers import get_tokenizer
from paribus.text.tokenizers.of_folder import FolderTokenizer

from .made import byte_level

END, START = "<|endoftext|>", "<|im_start|>"
SIZE = byte_level().get_vocab_size()
TEXTS = ("The cat sat", "", " Hund", f"{START}user<think>")


def token(content: str, *, special: bool = True) -> dict[str, Any]:
    flags = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    return {"content": content, "special": special, **flags}


def gpt2(folder: Path, *, more: tuple[str, ...] = (END,), **files: dict[str, Any]) -> Path:
    """The older files of a small byte-level tokenizer; names are those of files of JSON."""
    model = json.loads(byte_level().to_str())["model"]
    vocabulary = model["vocab"] | {text: len(model["vocab"]) + number for number, text in enumerate(more)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(" ".join(pair) for pair in model["merges"]))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def agree(folder: Path, theirs: Any, texts: tuple[str, ...] = TEXTS) -> FolderTokenizer:
    ours = FolderTokenizer(folder)
    for text in texts:
        assert ours.encode(text, special=True) == theirs(text).input_ids, text
    assert ours.vocab_size == len(theirs)
    return ours


def test_a_first_token_is_put_before_a_text_where_the_config_says_so(tmp_path: Path) -> None:
    """As OPT has it: its special tokens are objects in tokenizer_config.json, and </s> begins every text."""
    config = {"add_bos_token": True, "tokenizer_class": "GPT2Tokenizer"}
    end = {"__type": "AddedToken", **token("</s>")}
    named = {key: end for key in ("bos_token", "eos_token", "unk_token")}
    folder = gpt2(tmp_path, more=(), tokenizer_config=config | named)
    ours = agree(folder, transformers.GPT2Tokenizer.from_pretrained(folder), TEXTS[:3])
    ids = ours.encode("The cat")
    assert ours.ids()["</s>"] == ids[0] and ours.decode(ids) == "The cat"
    assert get_tokenizer(str(folder)).end_of_document == ids[0]


def test_robertas_two_tokens_stand_around_a_text(tmp_path: Path) -> None:
    folder = gpt2(
        tmp_path, more=("<pad>", "<mask>", "<unk>"), tokenizer_config={"tokenizer_class": "RobertaTokenizer"}
    )
    ours = FolderTokenizer(folder)
    theirs = transformers.RobertaTokenizer.from_pretrained(folder)
    for text in TEXTS[:3]:
        assert ours.encode(text) == theirs(text).input_ids
    assert ours.encode("The cat", around=False) == ours.encode("The cat")[1:-1]


def test_tokens_beside_the_vocabulary_are_read_from_their_own_file(tmp_path: Path) -> None:
    usual = dict.fromkeys(("eos_token", "bos_token", "unk_token"), END)
    folder = gpt2(
        tmp_path,
        tokenizer_config={"tokenizer_class": "GPT2Tokenizer", **usual},
        added_tokens={START: SIZE + 1, "<|im_end|>": SIZE + 2},
        special_tokens_map={"eos_token": "<|im_end|>", "additional_special_tokens": [START, "<|im_end|>"]},
    )
    theirs = transformers.GPT2Tokenizer.from_pretrained(folder)
    agree(folder, theirs)
    ours = get_tokenizer(str(folder))
    assert ours.end_of_document == theirs.eos_token_id == SIZE + 2
    assert "added_tokens.json" in ours.files()  # type: ignore[attr-defined]


def test_tokens_beside_the_vocabulary_are_read_from_the_config(tmp_path: Path) -> None:
    added = {SIZE: token(END), SIZE + 1: token(START), SIZE + 2: token("<think>", special=False)}
    folder = gpt2(
        tmp_path,
        tokenizer_config={
            "tokenizer_class": "GPT2Tokenizer",
            "eos_token": END,
            "added_tokens_decoder": added,
        },
    )
    ours = agree(folder, transformers.GPT2Tokenizer.from_pretrained(folder))
    assert START in ours.special_tokens and "<think>" not in ours.special_tokens


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"do_lower_case": False},
        {"strip_accents": False},
        {"tokenize_chinese_chars": False},
        {"do_lower_case": False, "strip_accents": True},
    ],
)
def test_bert_prepares_a_text_as_the_config_says(config: dict[str, bool], tmp_path: Path) -> None:
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "the",
        "cat",
        "über",
        "uber",
        "Über",
        "日",
        "本",
        "日本",
    ]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    ours, theirs = FolderTokenizer(tmp_path), transformers.BertTokenizer.from_pretrained(tmp_path)
    for text in ("Über the cat", "über 日本", ""):
        assert ours.encode(text) == theirs(text).input_ids
