"""A checkpoint's tokenizer.json as a `Tokenizer`: its bytes are counted, and it goes with the data."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers

from paribus.errors import RequestError
from paribus.text.data import load_dataset, prepare
from paribus.text.tokenizers import get_tokenizer, located

from .made import TEXT, byte_level, llama_like, saved, word_pieces


@pytest.mark.parametrize("make", [byte_level, llama_like])
@pytest.mark.parametrize("text", [TEXT, "", " cat cat", "\N{LATIN SMALL LETTER E WITH ACUTE}\t\x00"])
def test_ids_stand_for_as_many_bytes_as_the_text_has(make: object, text: str, tmp_path: Path) -> None:
    tokenizer = get_tokenizer(str(saved(make(), tmp_path)))  # type: ignore[operator]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text and tokenizer.loses == ()
    assert tokenizer.byte_lengths[ids].sum() == len(text.encode())
    assert tokenizer.byte_lengths[tokenizer.end_of_document] == 0


def test_a_text_does_not_become_a_special_token(tmp_path: Path) -> None:
    tokenizer = get_tokenizer(str(saved(byte_level(), tmp_path)))
    assert not {0, 1} & set(tokenizer.encode("<s>a</s>").tolist())


def test_the_end_is_the_one_that_the_folder_names(tmp_path: Path) -> None:
    assert get_tokenizer(str(saved(byte_level(), tmp_path / "b"))).end_of_document == 1  # </s>
    assert get_tokenizer(str(saved(byte_level(), tmp_path / "a", eos_token="<s>"))).end_of_document == 0


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0}, []))
    tokenizer.decoder = decoders.ByteLevel()
    with pytest.raises(RequestError, match="names no token that ends a text"):
        get_tokenizer(str(saved(tokenizer, tmp_path)))


def test_a_tokenizer_that_drops_blanks_says_so_and_counts_what_it_keeps(tmp_path: Path) -> None:
    tokenizer = get_tokenizer(str(saved(word_pieces(), tmp_path)))
    assert tokenizer.loses == ("the blanks between words", "characters that it does not know")
    ids = tokenizer.encode("cats  cat")
    assert tokenizer.byte_lengths[ids].tolist() == [3, 1, 3]


def test_what_a_normaliser_loses_is_said(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    assert get_tokenizer(str(saved(tokenizer, tmp_path))).loses == (
        "decomposed characters",
        "capital letters",
    )


def test_prepared_data_keep_their_tokenizer(tmp_path: Path) -> None:
    source = tmp_path / "text.txt"
    source.write_text("\n\n".join(f"The cat sat {number} times on {number**3}." for number in range(900)))
    folder = saved(byte_level(), tmp_path / "tokenizer")
    data = prepare(source, tokenizer=get_tokenizer(str(folder)), cache=tmp_path / "cache")
    for file in folder.iterdir():
        file.unlink()
    again = load_dataset(data.folder).open_tokenizer()
    assert again.name == data.tokenizer and again.vocab_size == 288
    assert "The cat sat" in again.decode(data.train.read(0, 200))
    lengths = again.byte_lengths[data.train.read(0, data.train.num_tokens)]
    assert lengths.sum() == data.train.num_bytes


def test_a_changed_file_is_another_tokenizer(tmp_path: Path) -> None:
    first = get_tokenizer(str(saved(byte_level(), tmp_path)))
    second = get_tokenizer(str(saved(llama_like(), tmp_path)))
    assert first.name != second.name and second.vocab_size == 263


def test_an_id_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="id 300 is not in the vocabulary of 'bpe-288-"):
        get_tokenizer(str(saved(byte_level(), tmp_path))).decode(np.array([5, 300]))


def test_a_name_that_is_neither_known_nor_there_offers_what_is(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no tokenizer 'byte': did you mean bytes\?, or the path of one"):
        get_tokenizer("byte")
    with pytest.raises(RequestError, match="holds no tokenizer: paribus-tokenizer.json, tokenizer.json, "):
        get_tokenizer(str(tmp_path))


def test_a_located_tokenizer_is_the_same_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(byte_level(), tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    assert located("own") == str(tmp_path / "own") and located("bytes") == "bytes"


def test_a_link_out_of_the_folder_is_not_kept_with_the_data(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("1234")
    folder = saved(byte_level(), tmp_path / "tokenizer")
    (folder / "special_tokens_map.json").symlink_to(tmp_path / "secret")
    tokenizer = get_tokenizer(str(folder))
    with pytest.raises(RequestError, match="a link out of the folder"):
        tokenizer.files()
