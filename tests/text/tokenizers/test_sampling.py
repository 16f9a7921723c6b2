"""Random encodings: other ids, the same text, and the extremes that are known."""

import numpy as np
import pytest

from paribus.errors import RequestError
from paribus.text.tokenizers.methods import Corpus, train_tokenizer
from paribus.text.tokenizers.model import Sampling
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.trained import TrainedTokenizer

TEXT = "the cat sat on the mat, the other cat sat on the hat\n" * 5
FIELDS = {"byte_bpe": "dropout", "bpe": "dropout", "sentencepiece_bpe": "dropout", "unigram": "alpha"}


@pytest.fixture(scope="module", params=FIELDS)
def tokenizer(request: pytest.FixtureRequest) -> TrainedTokenizer:
    return train_tokenizer(Recipe(method=request.param, vocab_size=400), Corpus(lambda: [TEXT]))


def drawn(tokenizer: TrainedTokenizer, amount: float, *, seed: int = 0, text: str = TEXT) -> list[int]:
    how = Sampling(**{FIELDS[tokenizer.recipe.method]: amount})
    return tokenizer.sample(text, how, rng=np.random.default_rng(seed)).tolist()


def test_random_encodings_differ_and_decode_to_the_text(tokenizer: TrainedTokenizer) -> None:
    odd = TEXT + "\U0001f600 \uf8f0 \u732b"
    found = [drawn(tokenizer, 0.3, seed=seed, text=odd) for seed in range(4)]
    assert len({tuple(ids) for ids in found}) == 4
    assert all(tokenizer.decode(ids) == odd for ids in found)
    assert drawn(tokenizer, 0.3, seed=2, text=odd) == found[2]


def test_the_extremes_are_the_plain_encoding_and_single_units(tokenizer: TrainedTokenizer) -> None:
    plain = tokenizer.encode(TEXT).tolist()
    if FIELDS[tokenizer.recipe.method] == "dropout":
        assert drawn(tokenizer, 0.0) == plain
        assert len(drawn(tokenizer, 1.0)) == len(TEXT)
    else:
        assert len(drawn(tokenizer, 1000.0)) == len(plain) < len(drawn(tokenizer, 0.0))


def test_a_lone_surrogate_is_refused(tokenizer: TrainedTokenizer) -> None:
    with pytest.raises(RequestError, match=r"lone surrogate U\+DFFF at character 4"):
        drawn(tokenizer, 0.3, text="the \udfff")


def test_what_a_method_does_not_take_is_one_sentence(tokenizer: TrainedTokenizer) -> None:
    takes = FIELDS[tokenizer.recipe.method]
    other = Sampling(**{"alpha" if takes == "dropout" else "dropout": 0.1})
    with pytest.raises(RequestError, match=f"the method {tokenizer.recipe.method} takes {takes}"):
        tokenizer.sample(TEXT, other, rng=np.random.default_rng(0))
    word = train_tokenizer(Recipe(method="word", vocab_size=400), Corpus(lambda: [TEXT]))
    with pytest.raises(RequestError, match="the method word has no random encodings"):
        word.sample(TEXT, Sampling(dropout=0.1), rng=np.random.default_rng(0))
