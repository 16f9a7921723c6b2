"""How a text becomes ids, told: what is normalised, which words there are, and how each word is written in pieces.

The steps are checked against the tokenizer's own ids before they are shown. What is told stands in `encoded.py`; how each
kind of model writes a word, in a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable

from paribus.errors import RequestError
from paribus.text.tokenizers.explaining.applying import character_merges, joined_merges
from paribus.text.tokenizers.explaining.encoded import Encoding, Run, Steps, Token, WordEncoded
from paribus.text.tokenizers.explaining.matching import matches
from paribus.text.tokenizers.explaining.of_sentencepiece import explain_sentencepiece, sentencepiece_steps
from paribus.text.tokenizers.explaining.segments import segmented
from paribus.text.tokenizers.explaining.writing import written
from paribus.text.tokenizers.fallback import Fallback
from paribus.text.tokenizers.methods.bpe import CharacterBPE
from paribus.text.tokenizers.methods.byte_bpe import ByteBPE
from paribus.text.tokenizers.methods.segments import Segments
from paribus.text.tokenizers.methods.sentencepiece import SentencePieces
from paribus.text.tokenizers.methods.wordpiece import WordPieces
from paribus.text.tokenizers.model import Model
from paribus.text.tokenizers.normalisers import get_normaliser
from paribus.text.tokenizers.of_sentencepiece import SentencePieceTokenizer
from paribus.text.tokenizers.protocol import Tokenizer
from paribus.text.tokenizers.trained import TrainedTokenizer

#: What is shown grows with the text, and with the square of a word.
MOST_CHARACTERS = 2000

#: How each kind of model writes a word; what is not here is shown without steps.
_STEPS: dict[type, Callable[..., Steps | None]] = {
    ByteBPE: lambda model, word, n_best: joined_merges(model, word),
    CharacterBPE: lambda model, word, n_best: character_merges(model.trained, word),
    WordPieces: lambda model, word, n_best: matches(model.trained, word),
    SentencePieces: lambda model, word, n_best: sentencepiece_steps(model, word, n_best),
    Segments: lambda model, word, n_best: segmented(model, word),
}


def explain_encoding(tokenizer: Tokenizer, text: str, *, n_best: int = 5) -> Encoding:
    """How `tokenizer` encodes `text`; lattices come with their `n_best` best paths.

    Raises `RequestError` for a text of more than `MOST_CHARACTERS` and for a tokenizer whose steps are not known.
    """
    if len(text) > MOST_CHARACTERS:
        raise RequestError(
            f"the text has {len(text):,} characters; at most {MOST_CHARACTERS:,} can be shown step by step"
        )
    if n_best < 1:
        raise RequestError(f"{n_best} best paths cannot be shown; the least is 1")
    found = None
    if isinstance(tokenizer, TrainedTokenizer):
        found = _of_trained(tokenizer, text, n_best)
    elif isinstance(tokenizer, SentencePieceTokenizer):
        found = explain_sentencepiece(tokenizer, text, n_best)
    if found is None:
        raise RequestError(
            f"how {tokenizer.name} encodes this text cannot be shown step by step: that takes a tokenizer trained by "
            "paribus, or a SentencePiece model without symbols of the user's own"
        )
    assert found.ids == tokenizer.encode(text).tolist(), "the steps shown are those of the tokenizer"
    return found


def _of_trained(tokenizer: TrainedTokenizer, text: str, n_best: int) -> Encoding:
    recipe = tokenizer.recipe
    known: dict[str, WordEncoded] = {}
    words = []
    for word, _ in tokenizer.words(text):
        if word not in known:
            known[word] = WordEncoded(word, tuple(_runs(tokenizer.model, word, n_best)))
        words.append(known[word])
    return Encoding(
        tokenizer=tokenizer.name,
        method=recipe.method,
        normaliser=recipe.normaliser,
        split=recipe.split,
        text=text,
        normalised=get_normaliser(recipe.normaliser).apply(text),
        words=tuple(words),
    )


def _runs(model: Model, word: str, n_best: int) -> list[Run]:
    if not isinstance(model, Fallback):
        return [_by_model(model, word, n_best, before=0)]
    before = len(model.pieces) - len(model.inner.pieces)
    runs = []
    for text, known in model.runs(word):
        # The model's own unknown token, without text, stands for known characters in a place where no piece has them.
        if known and all(model.inner.pieces[number] for number in model.inner.encode_word(text)):
            runs.append(_by_model(model.inner, text, n_best, before=before))
            continue
        steps = _steps(model.inner, text, n_best) if known else None
        ids = list(text.encode()) if model.unknown == "bytes" else [0] * len(text)
        tokens = tuple(Token(number, written(model.pieces[number]), True) for number in ids)
        runs.append(Run(text, tokens, steps, fallen=text))
    return runs


def _by_model(model: Model, text: str, n_best: int, *, before: int) -> Run:
    ids = model.encode_word(text)
    tokens = tuple(Token(number + before, written(model.pieces[number])) for number in ids)
    return Run(text, tokens, _steps(model, text, n_best))


def _steps(model: Model, text: str, n_best: int) -> Steps | None:
    for kind, explain in _STEPS.items():
        if isinstance(model, kind):
            return explain(model, text, n_best)
    return None
