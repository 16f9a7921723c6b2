"""The neural segmenter: it learns, it is the same from the same seed, and it stands among the others."""

import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import RequestError
from paribus.families.saving import save
from paribus.model.config import ModelConfig
from paribus.model.initialise import build
from paribus.text.segmenting import Sentence, compare_segmenters, sentences_of
from paribus.text.segmenting.scoring import count_words, score
from paribus.train.segmenter import NEURAL, NeuralSegmenter, load_neural, train_neural
from paribus.train.tagging.alphabet import Bytes, Characters
from paribus.train.tagging.fitting import examples_of
from paribus.train.tagging.nets import RecurrentConfig, build_tagger, small_encoder


def _lines(number: int, seed: int) -> list[str]:
    """Names: a surname of one character and a given name of one or two, which are mostly new to who reads them."""
    rng = random.Random(seed)
    given = [chr(code) for code in range(0x5000, 0x5014)]
    names = [
        "".join((rng.choice("张李王"), *rng.choices(given, k=rng.choice([1, 2])))) for _ in range(2 * number)
    ]
    return [f"{one} 喜欢 {other} 。" for one, other in zip(names[::2], names[1::2], strict=True)]


def _f1(segmenter: NeuralSegmenter) -> float:
    test = sentences_of(_lines(40, 2))
    return score(
        count_words(test, [segmenter.segment("".join(words)) for words in test]), replicates=2
    ).f1.value


@pytest.fixture(scope="module")
def sentences() -> list[Sentence]:
    return sentences_of(_lines(60, 1))


@pytest.fixture(scope="module")
def trained(sentences: list[Sentence]) -> NeuralSegmenter:
    return train_neural(sentences, epochs=8)


def test_an_encoder_learns_words_it_never_saw(sentences: list[Sentence]) -> None:
    losses: list[float] = []
    segmenter = train_neural(
        sentences[:40], net="encoder", epochs=10, on_epoch=lambda _, loss: losses.append(loss)
    )
    assert _f1(segmenter) > 0.9
    assert losses[0] > 1
    assert losses[-1] < 0.2


def test_the_same_seed_gives_the_same_weights_and_leaves_chance_alone(
    sentences: list[Sentence], trained: NeuralSegmenter
) -> None:
    assert _f1(trained) > 0.9
    torch.rand(3)  # another state of the global generator than the first training found
    before = torch.random.get_rng_state()
    again = train_neural(sentences, epochs=8)
    assert torch.equal(torch.random.get_rng_state(), before)
    other = train_neural(sentences, epochs=1, seed=1).tagger.state_dict()
    first = train_neural(sentences, epochs=1).tagger.state_dict()
    for name, tensor in trained.tagger.state_dict().items():
        assert torch.equal(tensor, again.tagger.state_dict()[name])
    assert not torch.equal(first["out.weight"], other["out.weight"])


def test_it_is_compared_like_any_other(sentences: list[Sentence]) -> None:
    lines = [" ".join(words) for words in sentences]
    found = compare_segmenters(lines, _lines(40, 2), ["forward", "backward", NEURAL], replicates=100)
    assert {row.method: row.verdict for row in found.rows}["neural"] == "better"


@settings(max_examples=30, deadline=None)
@given(text=st.text(st.characters() | st.sampled_from("张李喜欢。 \n\u200d\ud800")))
def test_pieces_tile_any_text(trained: NeuralSegmenter, text: str) -> None:
    pieces = trained.segment(text)
    assert "".join(pieces) == text and all(pieces)


def test_long_text_is_read_in_windows_that_give_each_character_once(trained: NeuralSegmenter) -> None:
    for length in (1, 255, 256, 257, 448, 449, 5000):
        stretch = "".join(chr(0x4E00 + at) for at in range(length))
        windows = list(trained._windows(stretch))
        assert "".join(window[first:last] for window, first, last in windows) == stretch
        assert all(len(window) <= trained.window for window, _, _ in windows)
        # Whatever is not at an end of the text has a margin around it.
        assert all(first >= 32 for _, first, _ in windows[1:])
        assert all(len(window) - last >= 32 for window, _, last in windows[:-1])
    whole = NeuralSegmenter(trained.tagger, trained.alphabet)
    whole.window = 10_000
    text = "".join(_lines(100, 3)).replace(" ", "")
    assert len(text) > 3 * trained.window
    assert trained.segment(text) == whole.segment(text)


@pytest.mark.parametrize("net", ["lstm", "gru", "encoder"])
def test_both_sides_are_seen_and_what_fills_a_row_up_is_not(net: str) -> None:
    config = (
        small_encoder(9, max_seq_len=16)
        if net == "encoder"
        else RecurrentConfig(vocab_size=9, kind=net, num_layers=2)
    )
    tagger = build_tagger(config, seed=0).eval()
    rows = torch.tensor([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 1]])
    valid = torch.tensor([[True] * 3 + [False] * 3, [True] * 6])
    with torch.no_grad():
        together = tagger(rows, valid)
        alone = tagger(rows[:1, :3], valid[:1, :3])
        last = tagger(rows[1:].where(rows[1:] != 1, 2), valid[1:])
        first = tagger(rows[1:].where(rows[1:] != 4, 2), valid[1:])
    assert torch.allclose(together[0, :3], alone[0], atol=1e-5)
    # Both sides are seen: the last character from the first place, and the first from the last.
    assert not torch.allclose(last[0, 0], together[1, 0], atol=1e-5)
    assert not torch.allclose(first[0, -1], together[1, -1], atol=1e-5)


def test_the_unknown_character_is_learned_from_those_that_are_hidden() -> None:
    once = [("甲", "乙丙"), ("丙", "丁")]
    rows = []
    for hide in (0.0, 1.0):
        segmenter = train_neural(once, epochs=1, hide=hide, weight_decay=0.0)
        fresh = build_tagger(RecurrentConfig(vocab_size=segmenter.alphabet.size), seed=0)
        kept = segmenter.tagger.embedding.weight == fresh.embedding.weight
        rows.append(kept.all(1).tolist())
    # 0 fills up, 1 is unknown, 2 is seen twice and never hidden, 3 to 5 are seen once.
    assert rows == [[True, True, False, False, False, False], [True, False, False, True, True, True]]


def test_it_starts_from_the_weights_of_a_loaded_encoder(sentences: list[Sentence], tmp_path: Path) -> None:
    sizes = {"vocab_size": 257, "d_model": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2, "max_seq_len": 64}
    encoder = build(ModelConfig(architecture="encoder", **sizes), seed=5)
    save(encoder, tmp_path / "encoder", layout="paribus")
    segmenter = train_neural(
        sentences[:16], encoder=tmp_path / "encoder", epochs=1, rate=1e-9, weight_decay=0.0
    )
    assert isinstance(segmenter.alphabet, Bytes) and segmenter.window == 16
    kept = segmenter.tagger.encoder.state_dict()
    for name, tensor in encoder.state_dict().items():
        assert torch.allclose(kept[name], tensor, atol=1e-6), name
    assert "".join(segmenter.segment("张三。" * 40)) == "张三。" * 40
    save(build(ModelConfig(**sizes), seed=5), tmp_path / "decoder", layout="paribus")
    with pytest.raises(RequestError, match="takes an encoder, which sees both sides; the model is a decoder"):
        train_neural(sentences, encoder=tmp_path / "decoder")


def test_bytes_give_the_tag_of_a_character_at_its_last_one() -> None:
    ids, ends = Bytes().ids("a张\ud800😀")
    assert bytes(ids).decode("utf-8", "surrogatepass") == "a张\ud800😀"
    assert ends == [0, 3, 6, 10]
    example = examples_of([("张", "a好")], Bytes(), window=8)[0]
    assert [tag for tag in example.tags if tag >= 0] == [3, 0, 2]
    assert [example.tags[at] for at in (2, 3, 6)] == [3, 0, 2]


def test_an_alphabet_is_read_from_a_checkpoints_vocabulary(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    vocabulary = {"[PAD]": 0, "[UNK]": 1, "张": 2, "##李": 3, "三": 4, "喜欢": 5}
    Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]")).save(str(tmp_path / "tokenizer.json"))
    alphabet = Characters.of_folder(tmp_path)
    assert alphabet.ids("张李三") == ([2, 1, 4], [0, 1, 2])
    with pytest.raises(RequestError, match="has no tokenizer.json"):
        Characters.of_folder(tmp_path / "none")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(RequestError, match="is no tokenizer"):
        Characters.of_folder(tmp_path)


def test_long_sentences_are_cut_between_words_for_training() -> None:
    alphabet = Characters.seen(["甲乙丙丁"])
    examples = examples_of([("甲乙", "丙丁", "甲", "乙" * 9, "丁")], alphabet, window=4)
    assert [len(example.ids) for example in examples] == [4, 1, 1]
    with pytest.raises(RequestError, match="words have at most 4 characters"):
        examples_of([("乙" * 9,)], alphabet, window=4)


@pytest.mark.parametrize("kind", ["lstm", "encoder"])
def test_a_saved_segmenter_comes_back_to_the_bit(
    sentences: list[Sentence], trained: NeuralSegmenter, tmp_path: Path, kind: str
) -> None:
    segmenter = trained if kind == "lstm" else train_neural(sentences, net="encoder", epochs=1)
    segmenter.save(tmp_path / "kept")
    again = load_neural(tmp_path / "kept")
    mine = segmenter.tagger.state_dict()
    assert all(torch.equal(tensor, mine[name]) for name, tensor in again.tagger.state_dict().items())
    text = "张三喜欢李四。王五 喜欢\u5003" * 40
    assert again.segment(text) == segmenter.segment(text)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "kept",
        "model.safetensors",
        "segmenter.json",
    ]
    with pytest.raises(RequestError, match="is there already"):
        segmenter.save(tmp_path / "kept")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "x"}, "describes no neural segmenter"),
        ({"version": 9}, "is of version 9"),
        ({"net": 3}, "net is neither recurrent nor an encoder"),
        ({"net": {"recurrent": {"width": 3}}}, "a recurrent net is not made of width"),
        (
            {"net": {"recurrent": {"vocab_size": 5, "kind": "lstn"}}},
            "no recurrent net 'lstn'; did you mean lstm",
        ),
        ({"net": {"recurrent": {"vocab_size": 5, "hidden": 10**9}}}, "hidden is a whole number from 1"),
        ({"net": {"recurrent": {"vocab_size": 5}}}, "does not hold the net of segmenter.json"),
        ({"net": {"encoder": {"format": 1, "model": {"ffn": "mine.py:Part"}}}}, "has a part from a file"),
        ({"alphabet": {"table": {"ab": 1}, "unknown": 0}}, "gives characters ids; 'ab': 1 is none"),
        ({"alphabet": {"table": {"a": "1"}, "unknown": 0}}, "alphabet is neither bytes nor a table"),
        ({"alphabet": {"table": {"a": 10_000}, "unknown": 0}}, "the net has .* ids and the alphabet 10,001"),
    ],
)
def test_a_broken_folder_is_refused(
    trained: NeuralSegmenter, tmp_path: Path, change: dict, message: str
) -> None:
    trained.save(tmp_path / "kept")
    path = tmp_path / "kept" / "segmenter.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RequestError, match=message):
        load_neural(tmp_path / "kept")


def test_a_folder_without_its_files_is_refused(trained: NeuralSegmenter, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no file"):
        load_neural(tmp_path / "none")
    trained.save(tmp_path / "kept")
    weights = tmp_path / "kept" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(RequestError, match="model.safetensors"):
        load_neural(tmp_path / "kept")


def test_wrong_settings_offer_the_nearest(sentences: list[Sentence]) -> None:
    with pytest.raises(RequestError, match="no net 'lstn' for a segmenter; did you mean lstm"):
        train_neural(sentences, net="lstn")
    with pytest.raises(RequestError, match="no setting 'epoch' .*; did you mean epochs"):
        train_neural(sentences, epoch=3)
    with pytest.raises(RequestError, match="rate lies between 0 and 1"):
        train_neural(sentences, rate=0.0)
