"""A tokenizer that was trained here as SentencePiece's `.model`.

SentencePiece has no split: what it encodes is the whole text. So a model is written only where that gives the same ids.
"""

from __future__ import annotations

from paribus.errors import RequestError
from paribus.text.tokenizers.fallback import Fallback
from paribus.text.tokenizers.formats.exact import check_specials, check_strings, names_of
from paribus.text.tokenizers.formats.sentencepiece_model import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    Piece,
    write_model,
)
from paribus.text.tokenizers.methods.bpe import CharacterBPE
from paribus.text.tokenizers.methods.segments import Segments
from paribus.text.tokenizers.methods.sentencepiece import SentencePieces
from paribus.text.tokenizers.reference.unigram_model import Unigram
from paribus.text.tokenizers.trained import TrainedTokenizer

#: What SentencePiece writes a blank as, and reads as one.
_BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
#: Splits at whose borders no piece that was learned under them reaches over, by algorithm. A sum of scores goes on over
#: lines, so that near ties of Unigram may fall otherwise there.
_SPLITS = {
    "unigram": ("none",),
    "bpe": ("none", "lines"),
    "char": ("none", "lines", "characters", "gpt2", "gpt4", "words"),
}


def sentencepiece_model(tokenizer: TrainedTokenizer) -> bytes:
    """The bytes of the file. Raises `RequestError` with what SentencePiece cannot express."""
    recipe, model = tokenizer.recipe, tokenizer.model
    algorithm, scores = _algorithm(tokenizer)
    assert isinstance(model, Fallback)
    if recipe.normaliser != "none":
        raise RequestError(
            f"SentencePiece has no normaliser that is exactly {recipe.normaliser}: train it with none"
        )
    if recipe.split not in _SPLITS[algorithm]:
        raise RequestError(
            f"SentencePiece cuts no text into words before it encodes, so it cannot express {algorithm} with the split "
            f"{recipe.split}: train it with {' or '.join(_SPLITS[algorithm])}"
        )
    if model.unknown == "token":
        raise RequestError(
            "SentencePiece writes a run of unknown characters as one token and we write one for each: train it with "
            "unknown=bytes"
        )
    names = names_of(model, tokenizer.specials, format="SentencePiece")
    check_specials(names, tokenizer.specials, format="SentencePiece")
    for sign, why in ((_BLANK, "reads U+2581 as a blank"), ("\0", "ends a piece at a NUL")):
        if wrong := next((name for name in names[256:] if sign in name), None):
            raise RequestError(f"SentencePiece {why}, so it cannot express the piece {wrong!r}")
    pieces = [Piece(name, 0.0, BYTE) for name in names[:256]]
    without_text = iter((UNKNOWN,))
    for name, text, score in zip(names[256:], model.pieces[256:], scores, strict=True):
        pieces.append(Piece(name, score, NORMAL) if text else Piece(name, 0.0, next(without_text, UNUSED)))
    pieces += [Piece(name, 0.0, CONTROL) for name in tokenizer.specials]
    if not any(piece.kind == UNKNOWN for piece in pieces):  # one there must be; it is never made
        pieces.append(Piece("<unk>", 0.0, UNKNOWN))
    return write_model(
        pieces,
        algorithm=algorithm,
        byte_fallback=True,
        escape_whitespaces=False,
        end=tokenizer.end_of_document,
    )


def _algorithm(tokenizer: TrainedTokenizer) -> tuple[str, list[float]]:
    """What the algorithm is called there, and the scores of the pieces after the bytes."""
    method, inner = tokenizer.recipe.method, getattr(tokenizer.model, "inner", None)
    if isinstance(inner, SentencePieces):
        kind = "unigram" if isinstance(inner.reference, Unigram) else "bpe"
        return kind, list(inner.reference.scores)
    if isinstance(inner, CharacterBPE):
        check_strings(inner)
        return "bpe", [-float(number) for number in range(len(inner.pieces))]
    if isinstance(inner, Segments) and method == "char":
        return "char", [-float(number) for number in range(len(inner.pieces))]
    raise RequestError(f"SentencePiece has unigram, BPE of characters and characters, and this is {method}")
