"""SentencePiece's models read, described and used, and files of ours that the library reads."""

import io
import pickle
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.errors import RequestError
from paribus.text.tokenizers import get_tokenizer
from paribus.text.tokenizers.describing import describe
from paribus.text.tokenizers.formats.sentencepiece_model import UNKNOWN, Piece, read_model, write_model
from paribus.text.tokenizers.formats.wire import field

LINES = ["the cat sat on the mat", "the other cat, the hat", "Größe und Gruß 猫"] * 20
EXACT = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "add_dummy_prefix": False}


def model(kind: str = "bpe", *, size: int = 320, **options: object) -> bytes:
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_writer=out,
        vocab_size=size,
        model_type=kind,
        minloglevel=2,
        hard_vocab_limit=False,
        **{"byte_fallback": True, **options},
    )
    return out.getvalue()


def written(folder: Path, content: bytes) -> str:
    (folder / "tokenizer.model").write_bytes(content)
    return str(folder)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_model_is_described_as_the_library_reads_it(kind: str) -> None:
    content = model(kind)
    found, library = read_model(content, "it"), sentencepiece.SentencePieceProcessor(model_proto=content)
    assert found.algorithm == kind and found.byte_fallback and found.normaliser == "nmt_nfkc"
    assert [piece.text for piece in found.pieces] == library.id_to_piece(list(range(len(library))))
    assert [piece.score for piece in found.pieces] == library.get_score(list(range(len(library))))
    assert found.ids == (library.unk_id(), library.bos_id(), library.eos_id(), library.pad_id())


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_text_comes_back_and_its_bytes_are_counted(kind: str, tmp_path: Path) -> None:
    tokenizer = get_tokenizer(written(tmp_path, model(kind, **EXACT)))
    for text in ("the  cat\n\t sat ", "Größe \U0001f600", "", "<s></s><unk>"):
        ids = tokenizer.encode(text)
        assert tokenizer.decode([*ids, tokenizer.end_of_document]) == text
        assert tokenizer.byte_lengths[ids].sum() == len(text.encode())
        assert pickle.loads(pickle.dumps(tokenizer)).encode(text).tolist() == ids.tolist()
    assert tokenizer.loses == () and tokenizer.decode(tokenizer.encode("\u2581")) == " "


def test_the_end_of_a_document_takes_back_the_blank_put_before_it(tmp_path: Path) -> None:
    tokenizer = get_tokenizer(written(tmp_path, model(**EXACT | {"add_dummy_prefix": True})))
    assert tokenizer.byte_lengths[tokenizer.end_of_document] == -1 and tokenizer.loses == ()
    for text in ("the  cat\n\t sat ", " Größe \U0001f600"):
        ids = [*tokenizer.encode(text), tokenizer.end_of_document]
        assert tokenizer.decode(ids) == text
        assert tokenizer.byte_lengths[ids].sum() == len(text.encode())


def test_symbols_of_the_user_stand_for_their_text_and_control_symbols_for_none(tmp_path: Path) -> None:
    content = model(**EXACT, user_defined_symbols=["<sym>"], control_symbols=["<ctrl>"])
    tokenizer = get_tokenizer(written(tmp_path, content))
    ids = tokenizer.encode("a<sym><ctrl>")
    assert tokenizer.byte_lengths[ids].sum() == len("a<sym><ctrl>")
    names = [piece.text for piece in read_model(content, "it").pieces]
    assert names.index("<sym>") in ids and names.index("<ctrl>") not in ids
    assert tokenizer.byte_lengths[names.index("<ctrl>")] == 0
    found = describe(tokenizer)
    assert found["special_tokens"] == ["<unk>", "<s>", "</s>", "<ctrl>"]
    assert found["algorithm"] == "bpe (SentencePiece)" and found["byte_fallback"]


def test_names_tell_models_apart_and_what_is_no_id_or_text_is_refused(tmp_path: Path) -> None:
    first = get_tokenizer(written(tmp_path, model()))
    second = get_tokenizer(written(tmp_path, model(split_digits=True)))
    assert first.vocab_size == second.vocab_size and first.name != second.name
    with pytest.raises(RequestError, match="id 320 is not in the vocabulary of 'bpe-320-"):
        first.decode([5, 320])
    with pytest.raises(RequestError, match=r"lone surrogate U\+D800 at character 1"):
        first.encode("a\ud800")


def test_what_a_model_leaves_out_is_as_the_library_has_it() -> None:
    found = read_model(field(1, field(1, b"a")), "it")
    assert found.add_dummy_prefix and found.remove_extra_whitespaces and found.escape_whitespaces
    assert (found.algorithm, found.byte_fallback, found.ids) == ("unigram", False, (0, 1, 2, -1))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x80" * 11, "more than 64 bits"),
        (b"\x80", "breaks off in the middle of a number"),
        (b"\x0a\x05abc", "field 1 does not end inside the file"),
        (b"\x02\x01a", "field 0 does not end inside the file"),
        (b"\x0b", "of the kind 3"),
    ],
)
def test_bytes_that_are_no_message_are_told(content: bytes, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        read_model(content, "it")


def test_what_is_lost_is_said(tmp_path: Path) -> None:
    tokenizer = get_tokenizer(written(tmp_path, model(size=60, byte_fallback=False)))
    assert tokenizer.loses == (
        "what its normaliser nmt_nfkc folds",
        "repeated spaces and those at the ends",
        "characters that it does not know",
    )
    assert tokenizer.decode(tokenizer.encode("the  cat ")) == "the cat"


@pytest.mark.parametrize("content", [b"", b"\x0a", b"not a model at all", b"\x0a\x03abc", b"\xff" * 30])
def test_what_is_no_model_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(RequestError, match="is no SentencePiece model: "):
        get_tokenizer(written(tmp_path, content))


@pytest.mark.parametrize(
    "content",
    [
        field(1, field(1, b"a") + field(3, b"x")),
        field(1, field(1, b"a") + field(2, b"x")),
        field(1, field(1, b"a") + field(3, float("inf"))),
        field(1, field(1, 7)),
        field(1, field(1, b"a")) + field(2, field(3, 9)),
        field(1, field(1, b"a")) + field(2, field(40, float("nan"))),
        field(2, field(3, 1)),
    ],
)
def test_a_field_of_another_kind_than_it_should_be_is_one_sentence(content: bytes) -> None:
    with pytest.raises(RequestError, match="it is no SentencePiece model: "):
        read_model(content, "it")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_model_is_refused_or_read(data: st.DataObject) -> None:
    content = bytearray(_MODEL)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert read_model(cut, "it").pieces
    except RequestError as error:
        assert "is no SentencePiece model" in str(error)


_MODEL = model(size=300)


def test_a_model_without_an_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="has no token that ends a text"):
        get_tokenizer(written(tmp_path, model(eos_id=-1)))
    assert read_model(model(eos_id=-1), "it").ids[2] == -1


def test_what_is_written_is_what_the_library_reads() -> None:
    pieces = [Piece("<unk>", 0.0, UNKNOWN), Piece("a", -1.0), Piece("\u2581a", -2.5), Piece("ab", -1.5)]
    content = write_model(pieces, algorithm="unigram", byte_fallback=False)
    library = sentencepiece.SentencePieceProcessor(model_proto=content)
    assert library.encode("aab a", out_type=str) == ["a", "ab", "\u2581a"]
    assert library.decode(library.encode(" a a ")[:-1]) == " a a"
    assert library.id_to_piece([0, 1, 2, 3]) == [piece.text for piece in pieces]
    assert read_model(content, "it").pieces == tuple(pieces)
