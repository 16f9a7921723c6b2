"""Checkpoints without tokenizer.json, read as transformers reads them."""

import json
from pathlib import Path

import pytest
from transformers import BertTokenizer, GPT2Tokenizer

from paribus.errors import RequestError
from paribus.text.tokenizers import get_tokenizer
from paribus.text.tokenizers.of_folder import FolderTokenizer

from .made import TEXT, byte_level


def gpt2(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    byte_level().model.save(str(folder))  # vocab.json and merges.txt
    vocabulary = json.loads((folder / "vocab.json").read_text())
    vocabulary["<|endoftext|>"] = len(vocabulary)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    return folder


def bert(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", ".", "der"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return folder


def test_gpt2s_files_encode_as_transformers_does(tmp_path: Path) -> None:
    ours, theirs = FolderTokenizer(gpt2(tmp_path)), GPT2Tokenizer.from_pretrained(tmp_path)
    for text in (TEXT, "", " a  b\n", "The cat's 123"):
        assert ours.encode(text) == theirs.encode(text)
    found = get_tokenizer(str(tmp_path))
    assert found.loses == () and found.decode(found.encode(TEXT)) == TEXT
    assert found.end_of_document == found.vocab_size - 1 and set(found.files()) >= {
        "vocab.json",
        "merges.txt",
    }


def test_a_space_before_a_text_and_other_ends_are_as_the_config_says(tmp_path: Path) -> None:
    config = {"add_prefix_space": True, "eos_token": "z"}
    (gpt2(tmp_path) / "tokenizer_config.json").write_text(json.dumps(config))
    found, theirs = get_tokenizer(str(tmp_path)), GPT2Tokenizer.from_pretrained(tmp_path)
    assert found.encode("cat").tolist() == theirs.encode("cat")
    assert found.decode(found.encode("ca")) == " ca" and found.loses == (
        "whether a text begins with a space",
    )
    assert found.end_of_document == found._library.ids()["z"] and "z" in found.special_tokens


def test_merges_may_be_of_signs(tmp_path: Path) -> None:
    folder = gpt2(tmp_path)
    vocabulary = json.loads((folder / "vocab.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(vocabulary | {"##": len(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n# #\n")
    assert FolderTokenizer(folder).encode("##") == [len(vocabulary)]


def test_berts_files_encode_as_transformers_does(tmp_path: Path) -> None:
    ours, theirs = FolderTokenizer(bert(tmp_path)), BertTokenizer.from_pretrained(tmp_path)
    for text in ("The cats sat.", "DER Hund", "", "\u732b"):
        assert ours.encode(text) == theirs.encode(text)
    assert get_tokenizer(str(tmp_path)).end_of_document == 3


def test_a_cased_bert_with_lines_of_windows(tmp_path: Path) -> None:
    folder = bert(tmp_path)
    (folder / "vocab.txt").write_bytes(
        (folder / "vocab.txt").read_bytes().replace(b"\n", b"\r\n") + b"Der\r\n"
    )
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert FolderTokenizer(folder).encode("Der der") == [2, 11, 10, 3]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("vocab.json", "{", "vocab.json breaks off in the middle"),
        ("vocab.json", '{"a": 0, "a": 1}', "vocab.json gives the key 'a' twice"),
        ("vocab.json", '{"a": "b"}', "vocab.json is no tokenizer"),
        ("merges.txt", "#version\na b c\n", "merges.txt has no pair in line 2"),
        ("merges.txt", "q q\n", "vocab.json is no tokenizer"),
        ("merges.txt", "t h\nt h\n", "its merge 2, of 't' and 'h', is there twice"),
    ],
)
def test_broken_files_are_one_sentence(tmp_path: Path, name: str, content: str, said: str) -> None:
    (gpt2(tmp_path) / name).write_text(content)
    with pytest.raises(RequestError, match=said) as error:
        get_tokenizer(str(tmp_path))
    assert "\n" not in str(error.value)


def test_half_of_the_files_are_no_tokenizer(tmp_path: Path) -> None:
    (gpt2(tmp_path) / "merges.txt").unlink()
    with pytest.raises(RequestError):
        get_tokenizer(str(tmp_path))
