"""What is told of an encoding is what the tokenizer does: the steps, replayed, give its ids."""

import io
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import RequestError
from paribus.text.segmenting import sentences_of, train_segmenter
from paribus.text.segmenting.dictionary import Dictionary
from paribus.text.segmenting.graph import DictionaryGraph
from paribus.text.segmenting.hmm import HmmSegmenter
from paribus.text.tokenizers import get_tokenizer
from paribus.text.tokenizers.explaining import explain_encoding, explain_training
from paribus.text.tokenizers.explaining.applying import Merges
from paribus.text.tokenizers.explaining.encoded import Encoding, Run
from paribus.text.tokenizers.explaining.lattice import Lattice
from paribus.text.tokenizers.explaining.matching import Matches
from paribus.text.tokenizers.explaining.merging import MergeTraining
from paribus.text.tokenizers.explaining.segments import Segmented
from paribus.text.tokenizers.explaining.tagging import tagging
from paribus.text.tokenizers.explaining.word_graph import word_graph
from paribus.text.tokenizers.methods import METHODS, Corpus, train_tokenizer
from paribus.text.tokenizers.methods.byte_bpe import ByteBPE
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.trained import TrainedTokenizer
from tests.text.tokenizers.test_trained import ODD, TEXTS, options

LETTERS = st.text(st.sampled_from("thecasonmfr# ö猫は帽子の上é\u2581\n\uf8f0"), max_size=30)


def trained(method: str, **fields: object) -> TrainedTokenizer:
    fields = {"vocab_size": 400, "split": "lines" if "hmm" in method else "gpt4", **fields}
    recipe = Recipe(method=method, options=options(method), **fields)  # type: ignore[arg-type]
    return train_tokenizer(recipe, Corpus(lambda: TEXTS))


@pytest.fixture(scope="module", params=METHODS)
def tokenizer(request: pytest.FixtureRequest) -> TrainedTokenizer:
    return trained(request.param)


@settings(max_examples=40, deadline=None)
@given(text=LETTERS | st.sampled_from((*TEXTS, *ODD)))
def test_the_steps_lead_to_the_ids(tokenizer: TrainedTokenizer, text: str) -> None:
    found = explain_encoding(tokenizer, text)
    assert found.ids == tokenizer.encode(text).tolist()
    assert "".join(word.word for word in found.words) == found.normalised == text
    for word in found.words:
        assert "".join(run.text for run in word.runs) == word.word
        for run in word.runs:
            check(run)
            if run.fallen:
                assert [token.id for token in run.tokens] == list(run.text.encode())


def check(run: Run) -> None:
    """The run's tokens follow from its steps."""
    texts = tuple(token.text for token in run.tokens)
    steps = run.steps
    if run.fallen:
        assert steps is None or (isinstance(steps, Matches) and steps.tries[-1].found is None)
    elif isinstance(steps, Merges):
        row = steps.units
        for step in steps.steps:
            place = next(n for n in range(len(row)) if (*row[:n], step.made, *row[n + 2 :]) == step.pieces)
            assert row[place : place + 2] == (step.left, step.right)
            row = step.pieces
        assert texts == ((run.text,) if steps.whole else row)
    elif isinstance(steps, Matches):
        assert [match.found.removeprefix("##" if match.start else "") for match in steps.tries] == list(texts)
        assert all(match.tried[-1] == match.found for match in steps.tries)
    elif isinstance(steps, Lattice):
        assert steps.best.pieces == texts == tuple(edge.piece for edge in steps.edges if edge.best)
        assert steps.n_best[0].score == pytest.approx(steps.best.score, abs=1e-4)
        scores = [path.score for path in steps.n_best]
        assert scores == sorted(scores, reverse=True)
    else:
        assert isinstance(steps, Segmented)
        parts = [[part.text] if part.token else list(part.text) for part in steps.segments]
        assert [text for part in parts for text in part] == list(texts)


@pytest.mark.parametrize("method", ["bpe", "byte_bpe", "sentencepiece_bpe"])
def test_a_rank_is_the_number_of_the_merge_in_training(method: str) -> None:
    recipe = Recipe(method=method, vocab_size=400)
    training = explain_training(recipe, Corpus(lambda: TEXTS), steps=400)
    assert isinstance(training, MergeTraining)
    first = 256 if method == "byte_bpe" else 0  # there a rank is the id
    found = explain_encoding(train_tokenizer(recipe, Corpus(lambda: TEXTS)), TEXTS[0])
    told = [run.steps for word in found.words for run in word.runs]
    steps = [step for each in told if isinstance(each, Merges) for step in each.steps]
    assert len(steps) > 50
    for step in steps:
        assert training.steps[step.rank - first].made == step.made


def test_unknown_characters_are_told_as_one_token() -> None:
    found = explain_encoding(trained("bpe", unknown="token"), "the \U0001f600cat")
    fallen = [run for word in found.words for run in word.runs if run.fallen]
    assert [(run.fallen, [(token.id, token.fallback) for token in run.tokens]) for run in fallen] == [
        ("\U0001f600", [(0, True)])
    ]


def test_a_token_that_merges_do_not_reach_is_told_as_such() -> None:
    pieces = [*(bytes((value,)) for value in range(256)), b"abc"]
    tokenizer = TrainedTokenizer(Recipe(method="byte_bpe", vocab_size=258), ByteBPE(pieces))
    found = explain_encoding(tokenizer, "abc")
    assert found.ids == [256]
    assert found.words[0].runs[0].steps == Merges(("a", "b", "c"), (), whole=True)


@settings(max_examples=80, deadline=None)
@given(text=st.text(st.sampled_from("我喜欢北京天安门x"), max_size=12))
def test_tables_of_segmenters_give_their_words(text: str) -> None:
    sentences = sentences_of(["我 喜欢 北京", "北京 天安门", "我 我 喜 北京天"])
    hmm = train_segmenter("hmm", sentences)
    assert isinstance(hmm, HmmSegmenter)
    assert list(tagging(hmm.model, text).words) == hmm.model.words(text)
    graph = DictionaryGraph(Dictionary.learned(sentences))
    told = word_graph(graph, text)
    assert list(told.path) == graph.path(text) == [edge.piece for edge in told.edges if edge.best]
    assert told.score == pytest.approx(sum(edge.score for edge in told.edges if edge.best))


@pytest.fixture(scope="module", params=[("unigram", True), ("unigram", False), ("bpe", True), ("bpe", False)])
def sentencepiece_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    kind, byte_fallback = request.param
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the cat sat on the mat", "the other cat, the hat", "Größe 猫"] * 20),
        model_writer=out,
        vocab_size=310 if byte_fallback else 50,
        model_type=kind,
        byte_fallback=byte_fallback,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path: Path = tmp_path_factory.mktemp("model") / "tokenizer.model"
    path.write_bytes(out.getvalue())
    return str(path)


@settings(max_examples=40, deadline=None)
@given(text=LETTERS)
def test_models_of_sentencepiece_are_told_as_the_library_encodes(sentencepiece_model: str, text: str) -> None:
    tokenizer = get_tokenizer(sentencepiece_model)
    found = explain_encoding(tokenizer, text)
    assert found.ids == tokenizer.encode(text).tolist()
    assert "".join(word.word for word in found.words) == found.normalised
    for word in found.words:
        for run in word.runs:
            if not run.fallen:
                check(run)
            assert bool(run.fallen) == any(token.fallback for token in run.tokens)


def test_what_cannot_be_told_is_refused() -> None:
    tokenizer = trained("bpe")
    with pytest.raises(RequestError, match="2,001 characters; at most 2,000"):
        explain_encoding(tokenizer, "a" * 2001)
    with pytest.raises(RequestError, match="0 best paths"):
        explain_encoding(tokenizer, "a", n_best=0)
    with pytest.raises(RequestError, match="how bytes encodes this text cannot be shown"):
        explain_encoding(get_tokenizer("bytes"), "a")
    with pytest.raises(RequestError, match="lone surrogate"):
        explain_encoding(tokenizer, "\ud800")


def test_the_normalised_text_is_what_is_split() -> None:
    found: Encoding = explain_encoding(trained("bpe", normaliser="lowercase"), "The CAT")
    assert (found.text, found.normalised, [word.word for word in found.words]) == (
        "The CAT",
        "the cat",
        ["the", " cat"],
    )
