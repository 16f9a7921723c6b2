"""The models of a `tokenizer.json`: how the `tokenizers` library is told of pieces so that it encodes a word as we do.

Where a word is cut at characters that no piece has, a second split does it, for most of its models give up on the word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paribus.errors import RequestError
from paribus.text.tokenizers.fallback import Fallback, characters
from paribus.text.tokenizers.formats.exact import names_of, pairs_of, unused
from paribus.text.tokenizers.methods.bpe import CharacterBPE
from paribus.text.tokenizers.methods.byte_bpe import ByteBPE
from paribus.text.tokenizers.methods.segments import Segments
from paribus.text.tokenizers.methods.sentencepiece import SCORE_STEP, SentencePieces
from paribus.text.tokenizers.methods.wordpiece import WordPieces
from paribus.text.tokenizers.reference.applying import merge_bytes
from paribus.text.tokenizers.reference.unigram_model import Unigram
from paribus.text.tokenizers.trained import TrainedTokenizer
from paribus.text.tokenizers.unicode import LETTER_OF_BYTE, to_letters

#: No sum of scores is as low: what stands for no text is never found in it.
_NEVER = -1e9
#: What a piece inside a word is written with: no letter of a byte, so no text is written with it.
_GOES_ON = "\N{DOWNWARDS ARROW WITH TIP RIGHTWARDS}"
_LETTERS = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
_JOINED = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}


@dataclass(frozen=True, kw_only=True)
class JsonModel:
    """`model` and `decoder` as the file has them, the pre-tokenizers after the split, and the unknown token's name."""

    model: Mapping[str, Any]
    decoder: Mapping[str, Any]
    before: Sequence[Mapping[str, Any]] = field(default=())
    unknown: str | None = None


def json_model(tokenizer: TrainedTokenizer) -> JsonModel:
    """What a tokenizer's model is in the file. Raises `RequestError` with what cannot be said there."""
    model, method = tokenizer.model, tokenizer.recipe.method
    if isinstance(model, ByteBPE):
        return _of_bytes(model)
    assert isinstance(model, Fallback)
    inner = model.inner
    if isinstance(inner, WordPieces):
        return _word_pieces(model, inner, tokenizer.specials)
    names = names_of(model, tokenizer.specials, format="tokenizer.json")
    unknown = names[0] if model.unknown == "token" else None
    if isinstance(inner, SentencePieces) and isinstance(inner.reference, Unigram):
        return _unigram(model, inner.reference.scores, names, unknown)
    before = len(model.pieces) - len(inner.pieces)
    if isinstance(inner, CharacterBPE):
        merges = [[names[before + step.left], names[before + step.right]] for step in inner.trained.merges]
    elif isinstance(inner, SentencePieces):
        merges = [list(pair) for pair in pairs_of(inner)]
    elif isinstance(inner, Segments) and method == "char":
        merges = []
    else:
        raise RequestError(f"no other library has the method {method}, so it has no tokenizer.json")
    vocabulary = {name: number for number, name in enumerate(names)}
    without_text = next((name for name, piece in zip(names, model.pieces, strict=True) if not piece), None)
    return JsonModel(
        model=_bpe(vocabulary, merges, byte_fallback=unknown is None, unknown=without_text),
        decoder=_JOINED,
        unknown=unknown,
    )


def _of_bytes(model: ByteBPE) -> JsonModel:
    vocabulary = {to_letters(piece): rank for rank, piece in enumerate(model.pieces)}
    described = _bpe(vocabulary, list(_merges(model)), byte_fallback=False, unknown=None)
    return JsonModel(model=described, decoder=_LETTERS, before=(_LETTERS,))


def _merges(model: ByteBPE) -> Iterator[list[str]]:
    """The two pieces of which each was merged: what it is encoded to before it is a piece itself."""
    known = {piece: rank for rank, piece in enumerate(model.pieces[:256])}
    for rank, piece in enumerate(model.pieces[256:], 256):
        parts = merge_bytes(piece, known)
        if len(parts) != 2:
            raise RequestError(f"the piece {piece!r} is not made of two others, so it has no merge")
        yield [to_letters(model.pieces[part]) for part in parts]
        known[piece] = rank


def _unigram(
    model: Fallback, scores: Sequence[float], names: Sequence[str], unknown: str | None
) -> JsonModel:
    if wrong := next((score for score in scores if score % SCORE_STEP), None):
        raise RequestError(
            f"tokenizer.json adds scores in 64 bits, and the score {wrong} is no multiple of 1/1024, so that sums may fall "
            "otherwise than in our 32: train it again"
        )
    before = len(names) - len(scores)
    pieces = [[name, _NEVER] for name in names[: before + 1]]
    pieces += [[name, score] for name, score in zip(names[before + 1 :], scores[1:], strict=True)]
    described = {
        "type": "Unigram",
        "unk_id": 0 if unknown is not None else before,
        "vocab": pieces,
        "byte_fallback": unknown is None,
    }
    return JsonModel(model=described, decoder=_JOINED, before=(_alone(model),), unknown=unknown)


def _word_pieces(model: Fallback, inner: WordPieces, specials: Collection[str]) -> JsonModel:
    """Letters of bytes, so that a character without a piece is a word of its bytes: first one, then others that go on."""
    forms = [inner.trained.form(token) for token in inner.trained.tokens[1:]]
    starting, going_on = ({text for goes_on, text in forms if goes_on is which} for which in (False, True))
    for some, wanted, where in ((starting, going_on, "inside"), (going_on, starting, "at the start of")):
        if lacking := sorted(letter for letter in some - wanted if len(letter) == 1):
            raise RequestError(
                f"tokenizer.json cannot express that {lacking[0]!r} has no piece {where} a word, and a word with it there is "
                "written by its bytes as a whole"
            )
    before = len(model.pieces) - len(inner.pieces)
    pieces = [(_GOES_ON if goes_on else "") + to_letters(text.encode()) for goes_on, text in forms]
    unknown = unused("<unk>", {*pieces, *specials})
    others = [unknown] if before == 1 else _bytes_of_characters(starting)
    names = [*others, unused("[UNK]", {unknown, *pieces, *specials}), *pieces]
    described = {
        "type": "WordPiece",
        "unk_token": names[0 if before == 1 else before],
        "continuing_subword_prefix": _GOES_ON,
        "max_input_chars_per_word": 2**62,
        "vocab": {name: number for number, name in enumerate(names)},
    }
    without = {"type": "Replace", "pattern": {"String": _GOES_ON}, "content": ""}
    return JsonModel(
        model=described,
        decoder={"type": "Sequence", "decoders": [without, _LETTERS]},
        before=(_alone(model), _LETTERS),
        unknown=unknown if before == 1 else None,
    )


def _bytes_of_characters(starting: Collection[str]) -> list[str]:
    """Each byte, written as where in a character it may stand; of one byte, such a character that is a piece is never
    written by it.
    """
    names = []
    for value in range(256):
        goes_on = 0x80 <= value < 0xC0
        never = value < 0x80 and chr(value) in starting
        names.append(_GOES_ON * (2 if never else int(goes_on)) + LETTER_OF_BYTE[value])
    return names


def _alone(model: Fallback) -> dict[str, Any]:
    """The split that makes every character without a piece a word."""
    known = sorted(map(ord, characters(model.inner.pieces)))
    inside = "".join(f"\\x{{{code:X}}}" for code in known)
    return {"type": "Split", "pattern": {"Regex": f"[^{inside}]"}, "behavior": "Isolated", "invert": False}


def _bpe(
    vocabulary: Mapping[str, int], merges: Iterable[list[str]], *, byte_fallback: bool, unknown: str | None
) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": byte_fallback,
        "ignore_merges": False,
        "vocab": dict(vocabulary),
        "merges": list(merges),
    }
