"""Checkpoints without a `tokenizer.json`: GPT-2's `vocab.json` with `merges.txt`, and BERT's `vocab.txt`.

These files do not say how text is cut and prepared; it is done as in the models that brought them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.files.inside import inside
from paribus.files.json_object import json_object
from paribus.files.opening import bytes_of, place
from paribus.text.tokenizers.json_faults import check_merges

_MOST_BYTES = 64 * 2**20
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def _gpt2(folder: Path, config: Mapping[str, Any]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = json_object(_bytes(folder, "vocab.json"), place(folder / "vocab.json"))
    merges = []
    for number, line in enumerate(_text(folder, "merges.txt").split("\n"), 1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        if len(parts := line.split()) != 2:
            raise RequestError(f"{place(folder / 'merges.txt')} has no pair in line {number:,}")
        merges.append((parts[0], parts[1]))
    check_merges(merges, place(folder / "merges.txt"))
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    prefix = bool(config.get("add_prefix_space", False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _bert(folder: Path, config: Mapping[str, Any]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    lines = _text(folder, "vocab.txt").split("\n")
    vocabulary = {line.rstrip("\r"): number for number, line in enumerate(lines) if line.strip()}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=bool(config.get("do_lower_case", True)))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    if {"[CLS]", "[SEP]"} <= vocabulary.keys():
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
        )
    return tokenizer


#: The file that tells the kind, the others that it takes, and what makes a tokenizer of them.
KINDS: Mapping[str, tuple[tuple[str, ...], Callable[[Path, Mapping[str, Any]], Any]]] = {
    "vocab.json": (("merges.txt",), _gpt2),
    "vocab.txt": ((), _bert),
}


def kind_in(folder: Path) -> str | None:
    """The file of `KINDS` that a folder has, with all that belongs to it."""
    for name, (others, _) in KINDS.items():
        if all((folder / each).is_file() for each in (name, *others)):
            return name
    return None


def read_older(folder: Path, kind: str, config: Mapping[str, Any]) -> Any:
    """The library's tokenizer of these files; `config` is what tokenizer_config.json says.

    Raises `RequestError` for files that are none.
    """
    from tokenizers import AddedToken

    tokenizer = KINDS[kind][1](folder, config)
    known = tokenizer.get_vocab()
    named = {str(config[key]) for key in _NAMED if isinstance(config.get(key), str)}
    special = [
        text
        for text in (*sorted(named), "<|endoftext|>", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
        if text in known
    ]
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in dict.fromkeys(special)]
    )
    return tokenizer


def _bytes(folder: Path, name: str) -> bytes:
    path = inside(folder, name, begin=f"{place(folder)} holds")
    return bytes_of(path, "a tokenizer", at_most=_MOST_BYTES)


def _text(folder: Path, name: str) -> str:
    try:
        return _bytes(folder, name).decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{place(folder / name)} is not UTF-8 text: byte {error.start:,} is wrong"
        ) from error
