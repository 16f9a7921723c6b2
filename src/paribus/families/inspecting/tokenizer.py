"""What the tokenizer beside a checkpoint is, from its files. Large files are not read, and nothing is run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.families.inspecting.claims import Claim, Evidence, unknown
from paribus.files.inside import inside
from paribus.files.json_object import json_object
from paribus.files.opening import bytes_of, place

MAX_BYTES = 64 * 2**20
_FILE = "tokenizer.json"
#: Files of tokenizers of their own kind, and what their kind is.
_OTHERS = {
    "tokenizer.model": "SentencePiece",
    "spiece.model": "SentencePiece",
    "sentencepiece.bpe.model": "SentencePiece",
    "vocab.txt": "WordPiece",
    "merges.txt": "BPE",
    "tiktoken.model": "byte-level BPE",
}


def claims_of_tokenizer(folder: Path | None, warnings: list[str]) -> list[Claim]:
    """Algorithm, vocabulary, normaliser and pre-tokeniser, as far as files in the folder say; else unknown."""
    if folder is not None:
        try:
            return _claims(folder)
        except RequestError as error:
            warnings.append(f"the tokenizer was not read: {error}")
    return [unknown("tokenizer", "algorithm")]


def _claims(folder: Path) -> list[Claim]:
    begin = f"{place(folder)} holds"
    if (folder / _FILE).exists():
        path = inside(folder, _FILE, begin=begin)
        return list(_of_json(json_object(bytes_of(path, "a tokenizer", at_most=MAX_BYTES), place(path))))
    for name, algorithm in _OTHERS.items():
        if (folder / name).exists():
            return [_claim("algorithm", algorithm, name)]
    return [unknown("tokenizer", "algorithm")]


def _of_json(content: Mapping[str, Any]) -> Iterator[Claim]:
    model = content.get("model")
    model = model if isinstance(model, Mapping) else {}
    before = list(_types(content.get("pre_tokenizer")))
    yield _claim("algorithm", _algorithm(model, before), f"{_FILE}: model.type", model.get("type"))
    vocabulary, added = model.get("vocab"), content.get("added_tokens")
    if isinstance(vocabulary, (Mapping, list)):
        extra = sum(1 for each in added if not _is_in(each, vocabulary)) if isinstance(added, list) else 0
        yield _claim("vocabulary", len(vocabulary) + extra, f"{_FILE}: model.vocab and added_tokens")
    for name, types in (("normalizer", list(_types(content.get("normalizer")))), ("pre_tokenizer", before)):
        yield _claim(name, ", ".join(types) or "none", f"{_FILE}: {name}")


def _algorithm(model: Mapping[str, Any], before: list[str]) -> str | None:
    kind = model.get("type")
    if kind == "BPE":
        return (
            "byte-level BPE"
            if "ByteLevel" in before
            else "BPE with bytes"
            if model.get("byte_fallback")
            else "BPE"
        )
    return kind if isinstance(kind, str) else None


def _is_in(added: Any, vocabulary: Mapping[str, Any] | list[Any]) -> bool:
    if not isinstance(added, Mapping):
        return True
    if isinstance(vocabulary, list):
        number = added.get("id")
        return isinstance(number, int) and number < len(vocabulary)
    content = added.get("content")
    return not isinstance(content, str) or content in vocabulary


def _types(part: Any) -> Iterator[str]:
    """The types of a part of the tokenizer, of a sequence those of its members."""
    if not isinstance(part, Mapping):
        return
    for members in ("pretokenizers", "normalizers"):
        if isinstance(inner := part.get(members), list):
            for each in inner:
                yield from _types(each)
            return
    if isinstance(kind := part.get("type"), str):
        yield kind


def _claim(name: str, value: Any, what: str, given: Any = None) -> Claim:
    if value is None:
        return unknown("tokenizer", name)
    evidence = (Evidence(source="file", what=what, value=given),)
    return Claim(section="tokenizer", name=name, value=value, sure="config", evidence=evidence)
