"""Checkpoints without a `tokenizer.json`: GPT-2's `vocab.json` with `merges.txt`, and BERT's `vocab.txt`.

These files do not say how text is cut and prepared; it is done as in the models that brought them, with what
tokenizer_config.json and added_tokens.json say beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.files.inside import inside
from paribus.files.json_object import json_object
from paribus.files.opening import bytes_of, place
from paribus.text.tokenizers.added_tokens import (
    Described,
    add_described,
    content_of,
    described_tokens,
    named_tokens,
)
from paribus.text.tokenizers.json_faults import check_merges

_MOST_BYTES = 64 * 2**20


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
    begin, end = (content_of(config.get(key)) for key in ("bos_token", "eos_token"))
    if str(config.get("tokenizer_class", "")).startswith("Roberta"):
        _put_around(tokenizer, begin or "<s>", end or "</s>")
    elif config.get("add_bos_token"):
        _put_around(tokenizer, begin)
    return tokenizer


def _put_around(tokenizer: Any, *around: str) -> None:
    """Every text begins with the first of these special tokens and ends with the second, if there is one."""
    from tokenizers import AddedToken, processors

    if not all(around):
        return
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in around])
    written = [f"{text}:0" for text in around]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[written[0], "$A:0", *written[1:]],
        pair=[written[0], "$A:0", *written[1:], "$B:0", *written[1:]],
        special_tokens=[(text, tokenizer.token_to_id(text)) for text in around],
    )


def _bert(folder: Path, config: Mapping[str, Any]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    lines = _text(folder, "vocab.txt").split("\n")
    vocabulary = {line.rstrip("\r"): number for number, line in enumerate(lines) if line.strip()}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=bool(config.get("do_lower_case", True)),
        strip_accents=config.get("strip_accents"),
        handle_chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
    )
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
    named = named_tokens(config)
    add_described(tokenizer, _added(folder, config, named), special=named)
    known = tokenizer.get_vocab()
    usual = [each for each in ("<|endoftext|>", "[CLS]", "[SEP]", "[PAD]", "[MASK]") if each in known]
    tokenizer.add_special_tokens(
        [
            AddedToken(text, special=True, normalized=False)
            for text in dict.fromkeys([*sorted(named & known.keys()), *usual])
        ]
    )
    return tokenizer


def _added(folder: Path, config: Mapping[str, Any], named: Collection[str]) -> list[Described]:
    """The tokens beside the vocabulary, in the order of their ids, each with what is said of it."""
    found: dict[int, Described] = {}
    if (folder / "added_tokens.json").is_file():
        for text, number in json_object(
            _bytes(folder, "added_tokens.json"), place(folder / "added_tokens.json")
        ).items():
            if isinstance(number, int):
                found[number] = (text, {"special": text in named})
    found |= described_tokens(config)
    return [found[number] for number in sorted(found)]


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
