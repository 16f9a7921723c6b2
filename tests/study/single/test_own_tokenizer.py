"""Runs on the tokens of a checkpoint's own tokenizer, from preparing the text to writing with the result."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

import paribus
from paribus.errors import RequestError
from paribus.families.texts import open_text_model
from paribus.study.single.folder import MODEL
from paribus.study.single.preparing import Prepared
from paribus.text.tokenizers.formats.exporting import exported
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.training import train_on, write_tokenizer

from ...text.tokenizers.made import byte_level, saved, word_pieces
from .conftest import OF_TRAINING, trained

Prepare = Callable[..., Prepared]
SIZES = {"d_model": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2, "max_seq_len": 64}


def checkpoint(folder: Path, *, vocab_size: int) -> Path:
    """A model of `vocab_size` with a tokenizer of 288 beside."""
    config = paribus.ModelConfig(vocab_size=vocab_size, ffn="swiglu", **SIZES)
    paribus.save(paribus.build(config, seed=0), folder)
    return saved(byte_level(), folder)


def test_finetuning_takes_the_checkpoints_tokenizer_and_gives_it_back(
    prepare: Prepare, tmp_path: Path
) -> None:
    start = checkpoint(tmp_path / "real", vocab_size=320)  # rows that no token has, as real ones do
    prepared = prepare(tiny=OF_TRAINING, finetune=str(start))
    assert prepared.data.tokenizer.startswith("bpe-288-")
    found = trained(prepared, tmp_path / "run")
    assert found.result["val_bpb"] < 0.9 * found.result["scores"][0]["val_bpb"]
    result = tmp_path / "run" / MODEL
    assert (result / "tokenizer.json").read_bytes() == (start / "tokenizer.json").read_bytes()
    assert open_text_model(result).coder.decode(open_text_model(start).coder.encode("a cat")) == "a cat"


def test_losses_are_per_byte_of_text(prepare: Prepare, corpus: Path, tmp_path: Path) -> None:
    """A model of zeros says log2(V) bits a token, whatever a token stands for."""
    model = paribus.build(paribus.ModelConfig(vocab_size=288, **SIZES), seed=0)
    for parameter in model.parameters():
        parameter.data.zero_()
    paribus.save(model, tmp_path / "zeros")
    tokenizer = train_on(corpus, Recipe(method="byte_bpe", vocab_size=288))
    for name, content in exported(tokenizer, "tokenizer.json").items():
        (tmp_path / "zeros" / name).write_bytes(content)
    prepared = prepare("rate=1e-9", tiny=OF_TRAINING, finetune=str(tmp_path / "zeros"))
    heldout = prepared.data.heldout
    text = prepared.data.open_tokenizer().decode(heldout.read(0, heldout.num_tokens))
    assert heldout.num_bytes == len(text.encode()) > 1.2 * heldout.num_tokens
    first = trained(prepared, tmp_path / "run").result["scores"][0]["val_bpb"]
    assert first == pytest.approx(
        math.log2(288) * heldout.num_tokens / heldout.num_bytes, rel=0.15
    )  # some of it is scored


def test_a_new_model_on_another_tokenizer_is_saved_with_it(prepare: Prepare, tmp_path: Path) -> None:
    tokenizer = saved(byte_level(), tmp_path / "tokenizer")
    trained(prepare(tokenizer=str(tokenizer)), tmp_path / "run")
    result = tmp_path / "run" / MODEL
    assert paribus.load(result).config.vocab_size == 288
    assert open_text_model(result).stop == (1,)  # </s>
    assert (result / "tokenizer.json").is_file()


def test_a_model_on_a_tokenizer_trained_here_writes_text(
    prepare: Prepare, corpus: Path, tmp_path: Path
) -> None:
    recipe = Recipe(method="bpe", vocab_size=300)
    write_tokenizer(train_on(corpus, recipe), tmp_path / "tokenizer")
    trained(prepare(tokenizer=str(tmp_path / "tokenizer")), tmp_path / "run")
    text = open_text_model(tmp_path / "run" / MODEL)
    assert text.stop == (299,) and text.model.config.vocab_size == 300
    assert text.coder.decode(text.coder.encode("a cat, \u732b")) == "a cat, \u732b"


def test_what_a_tokenizer_does_not_keep_is_noted(prepare: Prepare, tmp_path: Path) -> None:
    said = (
        "the tokenizer does not keep the blanks between words; characters that it does not know: "
        "bits per byte are those of what it keeps"
    )
    lossy = saved(word_pieces(), tmp_path / "lossy")
    assert said in prepare(tokenizer=str(lossy)).notes
    lossless = saved(byte_level(), tmp_path / "lossless")
    assert not any("keep" in note for note in prepare(tokenizer=str(lossless)).notes)


def test_a_tokenizer_that_is_not_the_checkpoints_is_refused(prepare: Prepare, tmp_path: Path) -> None:
    start = checkpoint(tmp_path / "real", vocab_size=280)
    with pytest.raises(
        RequestError, match="a vocabulary of 280 tokens, and the tokenizer '.*' has 288: they do"
    ):
        prepare(tiny=OF_TRAINING, finetune=str(start))
    paribus.save(
        paribus.build(paribus.ModelConfig(vocab_size=320, architecture="encoder", **SIZES), seed=0),
        tmp_path / "encoder",
    )
    encoder = saved(byte_level(), tmp_path / "encoder")
    with pytest.raises(
        RequestError, match="and the objective masked_token 1 beside: they do not belong together"
    ):
        prepare("objective=masked_token", tiny=OF_TRAINING, finetune=str(encoder))
