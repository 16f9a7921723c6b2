"""A checkpoint's tokenizer.json as a `Tokenizer`: its bytes are counted, and it goes with the data."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

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
    for each in (tokenizer, pickle.loads(pickle.dumps(tokenizer))):  # another process may be sent it
        assert (
            not {0, 1} & set(each.encode("<s>a</s>").tolist()) and each.decode(each.encode("<s>a")) == "<s>a"
        )


def test_added_tokens_stand_for_their_text_and_special_ones_for_none(tmp_path: Path) -> None:
    library = byte_level()
    library.add_tokens(["<größe>"])
    tokenizer = get_tokenizer(str(saved(library, tmp_path)))
    ids = tokenizer.encode("a <größe>")
    assert ids[-1] == 288 and tokenizer.byte_lengths[288] == len("<größe>".encode())
    assert tokenizer.byte_lengths[ids].sum() == len("a <größe>".encode())
    assert tokenizer.byte_lengths[0] == 0  # <s>


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


def test_the_end_of_a_document_takes_back_the_blank_put_before_it(tmp_path: Path) -> None:
    library = llama_like()
    library.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    library.decoder = decoders.Sequence(
        [
            *(decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer = get_tokenizer(str(saved(library, tmp_path)))
    assert tokenizer.byte_lengths[tokenizer.end_of_document] == -1 and tokenizer.loses == ()
    for text in ("cat", " cat", TEXT):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert tokenizer.byte_lengths[[*ids, tokenizer.end_of_document]].sum() == len(text.encode())


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_a_space_that_is_put_before_a_text_is_said_to_lose(scheme: str, tmp_path: Path) -> None:
    tokenizer = llama_like()
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=scheme), decoders.Fuse()]
    )
    found = get_tokenizer(str(saved(tokenizer, tmp_path)))
    kept = found.decode(found.encode(" cat")) == " cat"
    assert kept == (scheme == "never")
    assert found.loses == (() if kept else ("whether a text begins with a space",))


def changed(folder: Path, **fields: object) -> str:
    """The folder of a tokenizer.json in which these fields are others; `model` adds to the model."""
    content = json.loads(llama_like().to_str())
    content["model"] |= fields.pop("model", {})
    (folder / "tokenizer.json").write_text(json.dumps(content | fields))
    return str(folder)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"normalizer": {"type": "NFX"}},
            r"its normalizer 'NFX' is none that tokenizers has: did you mean NFD or",
        ),
        (
            {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Odd"}]}},
            "its normalizer 'Odd' is none",
        ),
        ({"pre_tokenizer": {"type": "Odd"}}, "its pre_tokenizer 'Odd' is none"),
        ({"post_processor": {"type": "Odd"}}, "its post_processor 'Odd' is none"),
        ({"decoder": {"type": "Odd"}}, "its decoder 'Odd' is none"),
        (
            {"model": {"type": "Odd"}},
            "its model 'Odd' is none that tokenizers has: known: BPE, Unigram, Word",
        ),
        ({"model": {"merges": [["\u2581", "c"]] * 2}}, "its merge 2, of '\u2581' and 'c', is there twice"),
        (
            {"model": {"merges": ["\u2581 c", "c a", "\u2581 c"]}},
            "its merge 3, of '\u2581' and 'c', is there tw",
        ),
        (
            {"model": {"merges": [["\u2581", "c"], ["c", ""]]}},
            "its merge 2, of 'c' and '', makes one of the two",
        ),
        (
            {"model": {"merges": [["c", "##"]], "continuing_subword_prefix": "##"}},
            "its merge 1, of 'c' and '##', makes one of the two again",
        ),
        ({"model": {"vocab": {"</s>": 2**30}, "merges": []}}, "gives a piece the id 1,073,741,824"),
        ({"model": {"vocab": {"</s>": -1}}}, "is no tokenizer: "),
    ],
)
def test_what_of_a_file_cannot_be_used_is_named(tmp_path: Path, fields: dict[str, object], said: str) -> None:
    with pytest.raises(RequestError, match=said) as error:
        get_tokenizer(changed(tmp_path, **fields))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"normalizer": {"type": "Sequence", "normalizers": 7}},
        {"model": {"merges": [["a", {}], ["a", {}]]}},
        {"model": {"merges": [[], ["\u2581", 1.5]]}},
        {"model": {"merges": ["a b c"]}},
        {"model": {"merges": {"a": "b"}}},
    ],
)
def test_parts_of_another_kind_than_they_should_be_are_one_sentence(
    tmp_path: Path, fields: dict[str, object]
) -> None:
    with pytest.raises(RequestError, match="is no tokenizer: ") as error:
        get_tokenizer(changed(tmp_path, **fields))
    assert "\n" not in str(error.value)


def test_a_word_without_an_unknown_token_is_one_sentence(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordPiece({"[SEP]": 0, "cat": 1}, unk_token="[UNK]"))
    found = get_tokenizer(str(saved(tokenizer, tmp_path)))
    assert found.encode("cat").tolist() == [1]
    with pytest.raises(RequestError, match=r"cannot encode this: .*Missing \[UNK\]"):
        found.encode("dog")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"', "[" * 100_000, "\ud800"])
def test_a_file_that_is_none_is_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(RequestError, match="is no tokenizer: ") as error:
        get_tokenizer(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_link_that_leads_nowhere_is_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").symlink_to(tmp_path / "gone")
    with pytest.raises(RequestError, match="holds no tokenizer"):
        get_tokenizer(str(tmp_path))


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
    other_end = get_tokenizer(str(saved(llama_like(), tmp_path / "other", eos_token="c")))
    assert other_end.name != second.name


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


def test_a_text_does_not_become_a_special_token_by_merges_that_only_meet_inside_it(tmp_path: Path) -> None:
    """At the beginning of a text the space before it takes the first letter away."""
    pieces = ["</s>", "\u2581", "a", "b", "<", "/", "s", ">", "\u2581<", "</", "s>"]
    merges = [("\u2581", "<"), ("<", "/"), ("s", ">"), ("</", "s>")]
    library = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, merges))
    library.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    library.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    library.add_special_tokens(["</s>"])
    tokenizer = get_tokenizer(str(saved(library, tmp_path, eos_token="</s>")))
    assert tokenizer.decode(tokenizer.encode("a</s>b")) == "a</s>b"
    assert tokenizer.end_of_document not in tokenizer.encode("a</s>b")


@pytest.mark.parametrize(
    ("changed", "lost"),
    [
        ({"normalizer": normalizers.Replace("a", "e")}, "what its normaliser replaces"),
        ({"normalizer": normalizers.Prepend("_")}, "that nothing stood before a text"),
        ({"pre_tokenizer": pre_tokenizers.CharDelimiterSplit("-")}, "what words are cut at"),
        ({"pre_tokenizer": pre_tokenizers.Split("a", "removed")}, "what words are cut at"),
    ],
)
def test_what_is_replaced_or_cut_out_is_lost(changed: dict[str, object], lost: str, tmp_path: Path) -> None:
    library = byte_level()
    for name, part in changed.items():
        setattr(library, name, part)
    assert lost in get_tokenizer(str(saved(library, tmp_path, eos_token="</s>"))).loses


def test_the_mark_at_the_end_of_a_word_is_no_text(tmp_path: Path) -> None:
    pieces = ["[UNK]", "[SEP]", "c", "a", "t</w>", "ca", "cat</w>"]
    library = Tokenizer(
        models.BPE(
            {piece: number for number, piece in enumerate(pieces)},
            [("c", "a"), ("ca", "t</w>")],
            unk_token="[UNK]",
            end_of_word_suffix="</w>",
        )
    )
    library.pre_tokenizer, library.decoder = pre_tokenizers.Whitespace(), decoders.BPEDecoder("</w>")
    tokenizer = get_tokenizer(str(saved(library, tmp_path)))
    assert tokenizer.byte_lengths[tokenizer.encode("cat")].sum() == 3
