"""SentencePiece's `.model`: pieces with scores, and how text is prepared for them.

The message is `ModelProto` of sentencepiece_model.proto (Kudo and Richardson, 2018, arXiv:1808.06226).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paribus.errors import RequestError
from paribus.text.tokenizers.formats.wire import Malformed, field, fields

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
ALGORITHMS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_PIECES, _TRAINER, _NORMALISER = 1, 2, 3


@dataclass(frozen=True)
class Piece:
    """A piece as the file writes it (a space is U+2581), its score and its kind."""

    text: str
    score: float
    kind: int = NORMAL


@dataclass(frozen=True, kw_only=True)
class SentencePieceModel:
    """What a `.model` file says. `normaliser` is the name of its rule; `ids` are those of unk, bos, eos and pad."""

    pieces: tuple[Piece, ...]
    algorithm: str
    byte_fallback: bool
    normaliser: str
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    escape_whitespaces: bool
    ids: tuple[int, int, int, int]


def read_model(content: bytes, where: str) -> SentencePieceModel:
    """The model in the bytes of a file; `where` names it in messages. Raises `RequestError` if it is none."""
    try:
        return _read(content)
    except (ValueError, OverflowError, TypeError) as error:
        raise RequestError(f"{where} is no SentencePiece model: {error}") from error


def _read(content: bytes) -> SentencePieceModel:
    pieces: list[Piece] = []
    trainer: dict[int, int | float | bytes] = {}
    normaliser: dict[int, int | float | bytes] = {}
    for number, value in fields(content):
        if number == _PIECES:
            found = dict(fields(_bytes(value)))
            kind = found.get(3, NORMAL)
            pieces.append(Piece(_bytes(found.get(1, b"")).decode(), float(found.get(2, 0.0)), int(kind)))
        elif number == _TRAINER:
            trainer = dict(fields(_bytes(value)))
        elif number == _NORMALISER:
            normaliser = dict(fields(_bytes(value)))
    if not pieces:
        raise Malformed("it has no pieces")
    kind = int(trainer.get(3, 1))
    if kind not in ALGORITHMS:
        raise Malformed(f"its algorithm is number {kind}, and there are {', '.join(map(str, ALGORITHMS))}")
    return SentencePieceModel(
        pieces=tuple(pieces),
        algorithm=ALGORITHMS[kind],
        byte_fallback=bool(trainer.get(35, 0)),
        normaliser=_bytes(normaliser.get(1, b"")).decode(),
        add_dummy_prefix=bool(normaliser.get(3, 1)),
        remove_extra_whitespaces=bool(normaliser.get(4, 1)),
        escape_whitespaces=bool(normaliser.get(5, 1)),
        ids=(
            _signed(trainer.get(40, 0)),
            _signed(trainer.get(41, 1)),
            _signed(trainer.get(42, 2)),
            _signed(trainer.get(43, -1)),
        ),
    )


def write_model(
    pieces: Sequence[Piece],
    *,
    algorithm: str,
    byte_fallback: bool,
    escape_whitespaces: bool = True,
    end: int = -1,
) -> bytes:
    """The bytes of a `.model` with these pieces that leaves text as it is: no normaliser, no blank put in or taken out.

    One piece is the unknown one. `algorithm` is one of `ALGORITHMS`; `end` is the id that ends a text. Without
    `escape_whitespaces` pieces have blanks as the text has them.
    """
    kind = next(number for number, name in ALGORITHMS.items() if name == algorithm)
    unknown = next(number for number, piece in enumerate(pieces) if piece.kind == UNKNOWN)
    trainer = field(3, kind) + field(4, len(pieces)) + field(35, int(byte_fallback))
    trainer += field(40, unknown) + field(41, -1) + field(42, end) + field(43, -1)
    trainer += field(45, pieces[unknown].text.encode())
    if end >= 0:
        trainer += field(47, pieces[end].text.encode())
    normaliser = field(1, b"identity") + field(3, 0) + field(4, 0) + field(5, int(escape_whitespaces))
    body = b"".join(
        field(_PIECES, field(1, piece.text.encode()) + field(2, float(piece.score)) + field(3, piece.kind))
        for piece in pieces
    )
    return body + field(_TRAINER, trainer) + field(_NORMALISER, normaliser)


def _bytes(value: float | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise Malformed("a number stands where text is expected")
    return value


def _signed(value: float | bytes) -> int:
    number = int(value)
    return number - (1 << 64) if number >= 1 << 63 else number
