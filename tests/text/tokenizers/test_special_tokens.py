"""No text becomes a special token, whatever kind of tokenizer is loaded and whatever the text is."""

import functools
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from paribus.text.tokenizers import get_tokenizer
from paribus.text.tokenizers.formats.importing import from_ranks
from paribus.text.tokenizers.formats.tiktoken_ranks import write_ranks
from paribus.text.tokenizers.of_folder import FolderTokenizer
from paribus.text.tokenizers.protocol import Tokenizer as OurTokenizer

from .made import byte_level, llama_like, saved

NAMES = ("<s>", "</s>", "<unk>", "<pad>", "<|im_end|>", "[SEP]", "[CLS]", "[UNK]")
LETTERS = sorted(set("".join(NAMES)) | set("a b\n"))
TEXT = st.lists(st.sampled_from([*NAMES, "a", " ", "\n", "b<", "s>"]), max_size=12).map("".join)


def unigram() -> Tokenizer:
    """As T5's: special tokens are pieces of the model."""
    pieces = [(name, 0.0) for name in NAMES] + [(letter, -5.0) for letter in LETTERS] + [("\u2581", -4.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=NAMES.index("<unk>")))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never", split=False)
    return special(tokenizer)


def words(model: Callable[..., object]) -> Tokenizer:
    """What stands between blanks is looked up as a whole."""
    pieces = [*NAMES, "a"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(model(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece()
    return special(tokenizer)


def bpe(**options: bool) -> Tokenizer:
    """Merges make a special token's name, or `ignore_merges` takes it whole."""
    pieces = [*LETTERS, "<s", *NAMES]
    merges = [] if options else [("<", "s"), ("<s", ">")]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, **options))
    tokenizer.decoder = decoders.Fuse()
    return special(tokenizer)


def special(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in NAMES])
    return tokenizer


def json_folder(make: Callable[[], Tokenizer], folder: Path) -> OurTokenizer:
    return get_tokenizer(str(saved(special(make()), folder, eos_token="</s>")))


def model_file(folder: Path, *, kind: str) -> OurTokenizer:
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b " + " ".join(NAMES)] * 20),
        model_writer=out,
        vocab_size=320,
        model_type=kind,
        minloglevel=4,
        hard_vocab_limit=False,
        byte_fallback=True,
        pad_id=3,
        control_symbols=["<|im_end|>", "[SEP]", "[CLS]", "[UNK]"],
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
    )
    (folder / "tokenizer.model").write_bytes(out.getvalue())
    return get_tokenizer(str(folder))


def gpt2_files(folder: Path) -> OurTokenizer:
    byte_level().model.save(str(folder))
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    return get_tokenizer(str(folder))


def ranks(folder: Path) -> OurTokenizer:
    path = folder / "it.tiktoken"
    path.write_bytes(write_ranks([*(bytes((value,)) for value in range(256)), b"<s", b"<s>"]))
    return from_ranks(path, split="gpt4", specials=NAMES)


LOSSLESS: dict[str, Callable[[Path], OurTokenizer]] = {
    "unigram": functools.partial(json_folder, unigram),
    "merged": functools.partial(json_folder, bpe),
    "taken whole": functools.partial(json_folder, functools.partial(bpe, ignore_merges=True)),
    "byte level": functools.partial(json_folder, byte_level),
    "with bytes": functools.partial(json_folder, llama_like),
    "model bpe": functools.partial(model_file, kind="bpe"),
    "model unigram": functools.partial(model_file, kind="unigram"),
    "gpt2": gpt2_files,
    "ranks": ranks,
}


@pytest.fixture(scope="module", params=LOSSLESS)
def lossless(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OurTokenizer:
    return LOSSLESS[request.param](tmp_path_factory.mktemp("it"))


@settings(max_examples=40, deadline=None)
@given(text=TEXT)
def test_a_text_with_names_of_special_tokens_comes_back(lossless: OurTokenizer, text: str) -> None:
    ids = lossless.encode(text)
    assert (lossless.byte_lengths[ids] > 0).all(), "special tokens stand for no text"
    assert lossless.decode(ids) == text and lossless.byte_lengths[ids].sum() == len(text.encode())


@pytest.mark.parametrize("model", [models.WordPiece, models.WordLevel])
def test_a_tokenizer_that_loses_text_makes_no_special_token_of_it_but_the_unknown(
    model: Callable[..., object], tmp_path: Path
) -> None:
    tokenizer = json_folder(lambda: words(model), tmp_path)
    assert "characters that it does not know" in tokenizer.loses
    ids = tokenizer.encode(" ".join(["a", *NAMES]))
    unknown = NAMES.index("[UNK]")
    assert set(ids[ids < len(NAMES)].tolist()) <= {unknown} and ids[0] == len(NAMES)


def test_on_request_a_name_is_its_token_and_what_stands_around_a_text_stays(tmp_path: Path) -> None:
    made = unigram()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = FolderTokenizer(saved(made, tmp_path))
    assert tokenizer.encode("a<s>")[-1] == 1 and 0 not in tokenizer.encode("a<s>")
    assert tokenizer.encode("a<s>", special=True)[-2:] == [0, 1]
    assert 0 not in tokenizer.encode("a<s>")
