"""A tokenizer that was trained here, in the files of other libraries: what they then encode is what we encode.

A tokenizer that a format cannot express is refused with what it lacks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from paribus.errors import RequestError, nearest
from paribus.text.tokenizers.fallback import Fallback
from paribus.text.tokenizers.formats.tiktoken_ranks import write_ranks
from paribus.text.tokenizers.methods.bpe import CharacterBPE
from paribus.text.tokenizers.methods.byte_bpe import ByteBPE
from paribus.text.tokenizers.methods.segments import Segments
from paribus.text.tokenizers.recipe import END
from paribus.text.tokenizers.reference.applying import merge_bytes
from paribus.text.tokenizers.splits import get_split
from paribus.text.tokenizers.trained import TrainedTokenizer
from paribus.text.tokenizers.unicode import to_letters

#: What `exported` writes: the name of the format, and the file that other libraries look for.
FORMATS = {"tokenizer.json": "tokenizer.json", "tiktoken": "ranks.tiktoken"}
_NORMALISERS: Mapping[str, Any] = {
    "none": None,
    "nfc": {"type": "NFC"},
    "nfkc": {"type": "NFKC"},
    "lowercase": {"type": "Lowercase"},
}


def exported(tokenizer: TrainedTokenizer, format: str) -> dict[str, bytes]:
    """The files of `tokenizer` in a format of `FORMATS`, by name.

    Raises `RequestError` for an unknown format and for a tokenizer that it cannot express.
    """
    if format not in FORMATS:
        raise RequestError(f"there is no format {format!r}: {nearest(format, FORMATS)}")
    if format == "tiktoken":
        return {FORMATS[format]: _ranks(tokenizer)}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END}
    return {
        FORMATS[format]: _as_json(tokenizer_json(tokenizer)),
        "tokenizer_config.json": _as_json(config),
    }


def tokenizer_json(tokenizer: TrainedTokenizer) -> dict[str, Any]:
    """What a `tokenizer.json` of the `tokenizers` library says for this tokenizer."""
    recipe, model = tokenizer.recipe, tokenizer.model
    if recipe.normaliser not in _NORMALISERS:
        raise RequestError(f"tokenizer.json has no normaliser {recipe.normaliser}")
    if isinstance(model, ByteBPE):
        described, decoder = (
            _of_bytes(model),
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        )
    elif isinstance(model, Fallback) and model.unknown == "bytes":
        described, decoder = (
            _of_characters(model, recipe.method),
            {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        )
    else:
        raise RequestError(
            f"tokenizer.json cannot express {recipe.method} with unknown={recipe.unknown}: train it with unknown=bytes"
        )
    split = {
        "type": "Split",
        "pattern": {"Regex": get_split(recipe.split).pattern},
        "behavior": "Removed" if get_split(recipe.split).loses else "Isolated",
        "invert": bool(get_split(recipe.split).loses),
    }
    before: dict[str, Any] = split
    if isinstance(model, ByteBPE):
        letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
        before = {"type": "Sequence", "pretokenizers": [split, letters]}
    first = len(model.pieces)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": first + number,
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, name in enumerate(tokenizer.specials)
        ],
        "normalizer": _NORMALISERS[recipe.normaliser],
        "pre_tokenizer": before,
        "post_processor": None,
        "decoder": decoder,
        "model": described,
    }


def _of_bytes(model: ByteBPE) -> dict[str, Any]:
    vocabulary = {to_letters(piece): rank for rank, piece in enumerate(model.pieces)}
    return _bpe(vocabulary, list(_merges(model)), byte_fallback=False)


def _merges(model: ByteBPE) -> Iterator[list[str]]:
    """The two pieces of which each was merged: what it is encoded to before it is a piece itself."""
    known = {piece: rank for rank, piece in enumerate(model.pieces[:256])}
    for rank, piece in enumerate(model.pieces[256:], 256):
        parts = merge_bytes(piece, known)
        if len(parts) != 2:
            raise RequestError(f"the piece {piece!r} is not made of two others, so it has no merge")
        yield [to_letters(model.pieces[part]) for part in parts]
        known[piece] = rank


def _of_characters(model: Fallback, method: str) -> dict[str, Any]:
    inner = model.inner
    if isinstance(inner, CharacterBPE):
        merges = [
            [inner.pieces[step.left].decode(), inner.pieces[step.right].decode()]
            for step in inner.trained.merges
        ]
    elif isinstance(inner, Segments) and method == "char":
        merges = []
    else:
        raise RequestError(f"no other library has the method {method}, so it has no tokenizer.json")
    written = [f"<0x{value:02X}>" for value in range(256)] + [piece.decode() for piece in inner.pieces]
    vocabulary = {piece: number for number, piece in enumerate(written)}
    if len(vocabulary) < len(written):
        twice = next(piece for piece in written[256:] if piece in written[:256])
        raise RequestError(
            f"tokenizer.json writes the piece {twice!r} and a byte alike, so it cannot express this"
        )
    return _bpe(vocabulary, merges, byte_fallback=True)


def _bpe(vocabulary: Mapping[str, int], merges: list[list[str]], *, byte_fallback: bool) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": byte_fallback,
        "ignore_merges": False,
        "vocab": dict(vocabulary),
        "merges": merges,
    }


def _ranks(tokenizer: TrainedTokenizer) -> bytes:
    if not isinstance(tokenizer.model, ByteBPE):
        raise RequestError(f"tiktoken has byte-level BPE only, and this is {tokenizer.recipe.method}")
    return write_ranks(tokenizer.model.pieces)


def _as_json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()
