"""SentencePiece's models told: their pieces and scores are given to the readable encoders, which show their steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from paribus.errors import RequestError
from paribus.text.tokenizers.explaining.applying import string_merges
from paribus.text.tokenizers.explaining.encoded import Encoding, Run, Steps, Token, WordEncoded
from paribus.text.tokenizers.explaining.lattice import lattice
from paribus.text.tokenizers.explaining.writing import written
from paribus.text.tokenizers.formats.sentencepiece_model import BYTE, NORMAL, UNKNOWN
from paribus.text.tokenizers.methods.sentencepiece import SentencePieces, read
from paribus.text.tokenizers.methods.sentencepiece import written as to_library
from paribus.text.tokenizers.of_sentencepiece import SentencePieceTokenizer
from paribus.text.tokenizers.reference.sentencepiece_text import SPACE
from paribus.text.tokenizers.reference.unigram_model import Unigram


class ModelPieces:
    """The pieces of a `.model`, by what they are for. Raises `RequestError` for a model whose steps are not known."""

    def __init__(self, tokenizer: SentencePieceTokenizer) -> None:
        model = tokenizer.description
        if model.algorithm not in ("unigram", "bpe"):
            raise RequestError(
                f"a SentencePiece model of {model.algorithm} has no steps to show; unigram and bpe have"
            )
        of_kind = {
            kind: {piece.text: number for number, piece in enumerate(model.pieces) if piece.kind == kind}
            for kind in (NORMAL, UNKNOWN, BYTE)
        }
        self.ids, self.bytes = of_kind[NORMAL], of_kind[BYTE]
        self.unknown = next(iter(of_kind[UNKNOWN].values()), 0)
        self.scores = {piece: model.pieces[number].score for piece, number in self.ids.items()}
        self.over_words = any(SPACE in piece[1:] for piece in self.ids)
        self.byte_fallback, self.is_unigram = model.byte_fallback, model.algorithm == "unigram"
        # The reference wants special tokens first; ids are looked up by text after that.
        self.unigram = Unigram(
            ("<unk>", *self.ids), (0.0, *self.scores.values()), specials=("<unk>",), unknown=0
        )

    def words(self, text: str) -> list[str]:
        """The normalised `text` where a piece may end; all of it if pieces reach over words."""
        return [text] if self.over_words and text else re.findall(f"{SPACE}[^{SPACE}]*|[^{SPACE}]+", text)

    def cut(self, word: str, n_best: int) -> tuple[tuple[str, ...], Steps]:
        """The parts of `word` as they are written, and the steps to them."""
        if self.is_unigram:
            found = lattice(self.unigram, word, n_best)
            return found.best.pieces, found

        merges = string_merges(word, self.scores, str)
        return merges.steps[-1].pieces if merges.steps else merges.units, merges

    def tokens(self, parts: Iterable[str]) -> Iterator[Token]:
        """The ids of the parts; a part without a piece is its bytes, or one unknown token for a run of such."""
        was_unknown = False
        for part in parts:
            if (number := self.ids.get(part)) is not None:
                yield Token(number, part)
                was_unknown = False
            elif self.byte_fallback:
                for value in part.encode():
                    yield Token(self.bytes[f"<0x{value:02X}>"], written(bytes((value,))), True)
            elif not was_unknown:
                yield Token(self.unknown, "", True)
                was_unknown = True


def sentencepiece_steps(model: SentencePieces, word: str, n_best: int) -> Steps | None:
    """How a model trained by SentencePiece for our own splits cuts a word, whose blanks it writes in its own way."""
    if not model.takes_word(word):
        return None
    reference = model.reference
    if isinstance(reference, Unigram):
        return lattice(reference, to_library(word), n_best, read)
    return string_merges(
        to_library(word), dict(zip(reference.tokens[1:], reference.scores[1:], strict=True)), read
    )


def explain_sentencepiece(tokenizer: SentencePieceTokenizer, text: str, n_best: int) -> Encoding | None:
    """How the model encodes `text`, or None where its own encoder does otherwise (added symbols do that).

    Raises `RequestError` for a model whose steps are not known.
    """
    pieces = ModelPieces(tokenizer)
    normalised = tokenizer.normalised(text)
    words = []
    for word in pieces.words(normalised):
        parts, steps = pieces.cut(word, n_best)
        fallen = "".join(part for part in parts if part not in pieces.ids)
        words.append(WordEncoded(word, (Run(word, tuple(pieces.tokens(parts)), steps, fallen),)))
    model = tokenizer.description
    found = Encoding(
        tokenizer=tokenizer.name,
        method=f"{model.algorithm} (SentencePiece)",
        normaliser=model.normaliser or "identity",
        split=f"before each {SPACE}, which stands for a blank" if not pieces.over_words else "none",
        text=text,
        normalised=normalised,
        words=tuple(words),
    )
    return found if found.ids == tokenizer.encode(text).tolist() else None
