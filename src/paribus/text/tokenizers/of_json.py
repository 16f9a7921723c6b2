"""A `tokenizer.json` as a `Tokenizer`: what its ids stand for, counted in bytes, so that text can be prepared with it.

Encoding and decoding are the `tokenizers` library's. A tokenizer that drops or changes text says so in `loses`, and its
bytes are those of the text that it keeps.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.errors import RequestError, shown
from paribus.text.tokenizers.json_faults import component_parts
from paribus.text.tokenizers.of_folder import FILE, FolderTokenizer, in_folder
from paribus.text.tokenizers.protocol import TokenArray, bytes_put_before, id_dtype, known_ids
from paribus.text.tokenizers.unicode import BYTE_OF_LETTER, utf8

#: What ends a text where the folder does not say: the names that families give it.
_ENDS = ("<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "<|im_end|>", "[SEP]")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # what SentencePiece writes a space as
_BLANKS = " a\n\n  b\t, 1 "
#: The pattern and the content of the normaliser by which spaces become SentencePiece's.
_BLANK_MARKED = ({"String": " "}, _SPACE)
#: Decoders that put blanks between pieces.
_BY_BLANKS = frozenset({"WordPiece", "BPEDecoder", "CTC"})
#: What a normaliser loses, by its type; those that are left out lose nothing.
_LOSES = {
    "Lowercase": "capital letters",
    "StripAccents": "accents",
    "BertNormalizer": "control characters, and capital letters or accents",
    "Precompiled": "what NFKC folds, line ends and repeated spaces",
    "Strip": "blanks at the ends",
    "Nmt": "control characters",
    "NFKC": "what NFKC folds",
    "NFKD": "what NFKD folds",
    "NFC": "decomposed characters",
    "NFD": "composed characters",
}


class JsonTokenizer:
    """Text to ids and back as the `tokenizer.json` in `folder` says, with no token put around a text.

    `loses` names what of a text does not come back; it is empty for a lossless tokenizer. Where pieces write a space as
    U+2581, a literal U+2581 comes back as a space, and with byte fallback the text <0x41> comes back as A. Raises
    `RequestError` for a file that is none and for a tokenizer that has no token to end a text with.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._library = FolderTokenizer(folder)
        self._json: dict[str, Any] = json.loads(self._library.json())
        self._decoders = {part["type"]: part for part in component_parts(self._json, "decoder")}
        self.vocab_size: int = self._library.vocab_size
        self.end_of_document: int = self._end()
        self.byte_lengths: npt.NDArray[np.int64] = self._byte_lengths()
        self.byte_lengths[self.end_of_document] = -bytes_put_before(self)
        self.byte_lengths.flags.writeable = False
        self.loses: tuple[str, ...] = tuple(self._losses())

    @cached_property
    def name(self) -> str:
        """Its algorithm, size and digest, as `bpe-32000-0123456789ab`."""
        kind = str(self._json["model"].get("type", "tokenizer")).lower()
        content = json.dumps([self._json, self.end_of_document], sort_keys=True)
        return f"{kind}-{self.vocab_size}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    def encode(self, text: str) -> TokenArray:
        """Ids of `text`; names of special tokens in it are text. Raises `RequestError` for a lone surrogate."""
        ids = self._library.encode(text, around=False)
        return np.array(ids, dtype=id_dtype(self.vocab_size))

    def decode(self, ids: Sequence[int] | TokenArray) -> str:
        """Text of `ids`. Raises `RequestError` for an id outside [0, vocab_size)."""
        return self._library.decode(known_ids(ids, self).tolist())

    def files(self) -> dict[str, bytes]:
        """The files that make this tokenizer, by name."""
        names = (
            FILE,
            "vocab.json",
            "merges.txt",
            "vocab.txt",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "added_tokens.json",
            "chat_template.jinja",
        )
        there = [name for name in names if (self._folder / name).is_file()]
        return {name: in_folder(self._folder, name).read_bytes() for name in there}

    @property
    def template(self) -> str | None:
        """The folder's chat template, if it has one."""
        return self._library.template

    @property
    def special_tokens(self) -> list[str]:
        """What a text must not hold before it goes into a chat template: there it would become a special token."""
        return self._library.special_tokens

    def render(
        self, messages: Sequence[Mapping[str, str]], *, answer_next: bool, template: str | None = None
    ) -> str:
        """The conversation as the chat template writes it, with `answer_next` up to where an answer begins."""
        return self._library.render(messages, answer_next=answer_next, template=template)

    def encode_rendered(self, text: str) -> list[int]:
        """Ids of what a chat template has written: the special tokens in it are its own."""
        return self._library.encode_rendered(text)

    def describe(self) -> dict[str, Any]:
        """Algorithm, normaliser, split and special tokens as the file names them."""
        model = self._json["model"]
        before = [part["type"] for part in component_parts(self._json, "pre_tokenizer")]
        kind = f"byte-level {model.get('type')}" if "ByteLevel" in before else str(model.get("type"))
        normalisers = [part["type"] for part in component_parts(self._json, "normalizer")]
        special = [added["content"] for added in self._json.get("added_tokens") or () if added["special"]]
        return {
            "algorithm": kind,
            "normaliser": ", ".join(normalisers) or "none",
            "split": ", ".join(before) or "none",
            "byte_fallback": bool(model.get("byte_fallback")),
            "special_tokens": special,
        }

    def _end(self) -> int:
        known = self._library.ids()
        named = self._library.special("eos_token")
        for text in (named, *_ENDS):
            if text in known:
                return known[text]
        raise RequestError(
            f"{shown(self._folder)} names no token that ends a text: give tokenizer_config.json an eos_token"
        )

    def _byte_lengths(self) -> npt.NDArray[np.int64]:
        count = self._counting()
        lengths = np.zeros(self.vocab_size, dtype=np.int64)
        for piece, number in self._library.ids().items():
            if number < self.vocab_size:
                lengths[number] = count(piece)
        model = self._json["model"]
        unknown = self._library.ids().get(model.get("unk_token") or "", model.get("unk_id"))
        if unknown is not None:
            lengths[unknown] = 0
        for added in self._json.get("added_tokens") or ():
            lengths[added["id"]] = 0 if added["special"] else len(utf8(added["content"]))
        lengths[self.end_of_document] = 0
        return lengths

    def _counting(self) -> Callable[[str], int]:
        """How many bytes of text a piece stands for, by the decoder that puts pieces together."""
        inside = self._json["model"].get("continuing_subword_prefix") or ""
        ended = self._json["model"].get("end_of_word_suffix") or ""
        if "ByteLevel" in self._decoders:
            return lambda piece: (
                len(letters)
                if BYTE_OF_LETTER.keys() >= set(letters := piece.replace(inside, "") if inside else piece)
                else len(utf8(letters))
            )
        if ended:
            return lambda piece: len(utf8(piece.removesuffix(ended)))
        if self._writes_blanks():
            return lambda piece: 1 if _BYTE.fullmatch(piece) else len(utf8(piece.replace(_SPACE, " ")))
        if "ByteFallback" in self._decoders:
            return lambda piece: 1 if _BYTE.fullmatch(piece) else len(utf8(piece))
        return lambda piece: len(utf8(piece.removeprefix(inside) or piece))

    def _writes_blanks(self) -> bool:
        replaced = self._decoders.get("Replace", {}).get("pattern", {}).get("String")
        return "Metaspace" in self._decoders or replaced == _SPACE

    def _losses(self) -> Iterator[str]:
        for part in component_parts(self._json, "normalizer"):
            if part["type"] in _LOSES:
                yield _LOSES[part["type"]]
            elif part["type"] == "Replace" and (part.get("pattern"), part.get("content")) != _BLANK_MARKED:
                yield "what its normaliser replaces"
            elif part["type"] == "Prepend" and "Strip" not in self._decoders:
                yield "that nothing stood before a text"
        if self._json["model"].get("end_of_word_suffix") and "ByteLevel" in self._decoders:
            yield "that no word has a mark at its end"
        for part in component_parts(self._json, "pre_tokenizer"):
            if part["type"] == "CharDelimiterSplit" or part.get("behavior") == "Removed":
                yield "what words are cut at"
            if part.get("add_prefix_space") or part.get("prepend_scheme", "never") != "never":
                yield "whether a text begins with a space"
        if not self._writes_blanks() and (self._puts_blanks() or self._library.leaves_out(_BLANKS)):
            yield "the blanks between words"
        if not (self._json["model"].get("byte_fallback") or self._has_bytes()):
            yield "characters that it does not know"

    def _puts_blanks(self) -> bool:
        """Whether pieces are joined by blanks: where they are not, a blank is part of a piece."""
        return not self._decoders or not _BY_BLANKS.isdisjoint(self._decoders)

    def _has_bytes(self) -> bool:
        """Whether every byte is a piece. Byte-level BPE may be taken to have them all; WordPiece takes words it knows."""
        if "ByteLevel" not in self._decoders or self._json["model"].get("type") != "WordPiece":
            return "ByteLevel" in self._decoders
        inside = self._json["model"]["continuing_subword_prefix"]
        return BYTE_OF_LETTER.keys() <= {piece.replace(inside, "") for piece in self._library.ids()}
