"""Unigram and SentencePiece's BPE, trained by the sentencepiece library and encoded by the reference.

So that normaliser and split are those of all other methods, the library gets words with their counts in which blanks
and what it has a use of its own for are written as private letters; it sees no space and prepares nothing.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from paribus.errors import RequestError, shown
from paribus.text.tokenizers.methods.base import Corpus, Method
from paribus.text.tokenizers.methods.coverage import COVERAGE, covered
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.reference.sentencepiece_bpe import SentencePieceBPE
from paribus.text.tokenizers.reference.unigram_model import Unigram
from paribus.text.tokenizers.unicode import utf8

# The library's results depend on the number of threads (scores of Unigram); so it is always the same.
_THREADS = 4
#: What sentencepiece reads as a space, a boundary, a rare character or the end of a field, and what it is written as.
_PRIVATE = dict(zip(" \t\n\r\0\x1f\u2581\u2585", map(chr, range(0xF8F0, 0xF8F8)), strict=True))
_WRITTEN = str.maketrans(_PRIVATE)
_READ = str.maketrans({letter: character for character, letter in _PRIVATE.items()})
_RESERVED = frozenset(_PRIVATE.values())

#: Scores are multiples of this, so that the sums of a word are exact, and alike, in 32 bits and in 64: up to 2^14.
SCORE_STEP = 2.0**-10

#: Training Unigram takes time in proportion to the length of a word to the power of 1.7, so longer ones are cut for it.
LONGEST_WORD = 4096

Reference: TypeAlias = Unigram | SentencePieceBPE


class SentencePieces:
    """The pieces of the library, and the reference's encoder of them."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        # The first is the library's unknown token.
        self.pieces: tuple[bytes, ...] = (b"", *(utf8(read(token)) for token in reference.tokens[1:]))

    def encode_word(self, word: str) -> list[int]:
        if not self.takes_word(word):
            return [0]
        return self.reference.encode_word(written(word))

    def takes_word(self, word: str) -> bool:
        """Whether no letter of `word` is one that others are written as."""
        return _RESERVED.isdisjoint(word)

    @property
    def takes(self) -> str:
        return "alpha" if isinstance(self.reference, Unigram) else "dropout"

    def sample_word(self, word: str, *, amount: float, rng: np.random.Generator) -> list[int]:
        if not self.takes_word(word):
            return [0]
        if isinstance(self.reference, Unigram):
            return self.reference.sample_word(written(word), alpha=amount, rng=rng)
        return self.reference.encode_word(written(word), dropout=amount, rng=rng)

    def state(self) -> dict[str, Any]:
        """Each piece, as text has it, with its score."""
        tokens, scores = self.reference.tokens[1:], self.reference.scores[1:]
        return {"pieces": [[read(token), score] for token, score in zip(tokens, scores, strict=True)]}


def written(word: str) -> str:
    """A word as the library gets it."""
    return word.translate(_WRITTEN)


def read(token: str) -> str:
    """The text of a piece."""
    return token.translate(_READ)


def _restoring(kind: type[Unigram | SentencePieceBPE]) -> Callable[[Mapping[str, Any]], SentencePieces]:
    def restore(state: Mapping[str, Any]) -> SentencePieces:
        pieces = [(written(text), float(score)) for text, score in state["pieces"]]
        tokens, scores = ("<unk>", *(text for text, _ in pieces)), (0.0, *(score for _, score in pieces))
        return SentencePieces(kind(tokens=tokens, scores=scores, specials=("<unk>",)))

    return restore


def _training(kind: str, restore: Callable[[Mapping[str, Any]], SentencePieces]) -> Any:
    def train(recipe: Recipe, corpus: Corpus, room: int) -> SentencePieces:
        try:
            import sentencepiece
        except ImportError:
            raise RequestError(
                f"training {recipe.method} takes the package sentencepiece: pip install 'paribus[tokenizers]'"
            ) from None
        words, alphabet = covered(corpus.words(recipe), recipe)
        if room < len(alphabet):
            raise RequestError(
                f"vocab_size {recipe.vocab_size:,} leaves {room:,} pieces, and the text has {len(alphabet):,} "
                "characters: give a larger one or a lower coverage"
            )
        least, longest = recipe.min_count or 1, recipe.options.get("longest", LONGEST)
        if not isinstance(longest, int) or not 1 <= longest <= _MOST_LONGEST:
            raise RequestError(
                f"longest is {longest!r}: it is a whole number of characters, 1 to {_MOST_LONGEST}"
            )
        seen = taken(words, least)
        if not seen:
            raise RequestError(f"there is no word to train on that occurs {least:,} times or more")
        out = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=_lines(in_parts(seen) if kind == "unigram" else seen),
                model_writer=out,
                input_format="tsv",
                model_type=kind,
                vocab_size=room,
                hard_vocab_limit=False,
                character_coverage=1.0,
                normalization_rule_name="identity",
                add_dummy_prefix=False,
                remove_extra_whitespaces=False,
                split_by_unicode_script=False,
                split_by_number=False,
                split_by_whitespace=False,
                max_sentencepiece_length=longest,
                max_sentence_length=2**30,
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=_THREADS,
                minloglevel=4,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise RequestError(
                f"sentencepiece cannot train this: {shown(str(error).splitlines()[-1], at_most=200)}"
            ) from error
        library = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
        pieces = range(1, library.get_piece_size())
        scores = (round(library.get_score(number) / SCORE_STEP) * SCORE_STEP for number in pieces)
        texts = (read(library.id_to_piece(number)) for number in pieces)
        return restore({"pieces": [[text, score] for text, score in zip(texts, scores, strict=True)]})

    return train


def taken(words: Mapping[str, int], least: int) -> dict[str, int]:
    """The words that training sees: those that occur `least` times, without what stands for something else."""
    return {word: count for word, count in words.items() if count >= least and _RESERVED.isdisjoint(word)}


def in_parts(words: Mapping[str, int]) -> dict[str, int]:
    """Words of up to `LONGEST_WORD` characters: longer ones in parts."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for start in range(0, len(word), LONGEST_WORD):
            counts[word[start : start + LONGEST_WORD]] += count
    return dict(counts)


def _lines(words: Mapping[str, int]) -> Iterator[str]:
    for word, count in words.items():
        yield f"{written(word)}\t{count}"


#: As the library has it.
LONGEST, _MOST_LONGEST = 16, 512
_OPTIONS = {"coverage": COVERAGE, "longest": LONGEST}
_UNIGRAM, _BPE = _restoring(Unigram), _restoring(SentencePieceBPE)
UNIGRAM = Method(
    name="unigram",
    summary="from many pieces, those that the likelihood of the text misses least are dropped (Kudo, 2018)",
    train=_training("unigram", _UNIGRAM),
    restore=_UNIGRAM,
    options=_OPTIONS,
)
SENTENCEPIECE_BPE = Method(
    name="sentencepiece_bpe",
    summary="BPE as SentencePiece has it: pieces of a bounded length, joined strings ranked (Kudo and Richardson, 2018)",
    train=_training("bpe", _BPE),
    restore=_BPE,
    options=_OPTIONS,
)
