"""What a loaded checkpoint writes is what transformers writes from it, token for token."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from torch import Tensor

import paribus
from paribus.families.texts import open_text_model
from paribus.model.generate import generate

from . import peers

#: The encoders write nothing.
WRITING = [name for name in peers.FAMILIES if name not in ("bert", "roberta")]
NEW = 12
#: Else models whose head is their embedding say one token again and again, which shows little.
PENALTY = 1.5


def their_text(name: str, ids: Tensor) -> Tensor:
    model: Any = peers.peer(name)
    model.generation_config.eos_token_id = None
    starts = {"decoder_start_token_id": 0} if model.config.is_encoder_decoder else {}
    return model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=NEW,
        do_sample=False,
        repetition_penalty=PENALTY,
        pad_token_id=0,
        **starts,
    )


@pytest.mark.parametrize("name", [*WRITING, "gemma2, no caps", "falcon, rw", "t5, gated"])
def test_the_likeliest_text_is_that_of_transformers(name: str, tmp_path: Path) -> None:
    ids = peers.tokens(6)
    expected = their_text(name, ids)
    ours = paribus.load(peers.checkpoint(name, tmp_path))
    if ours.config.architecture == "encoder_decoder":
        start = torch.zeros(len(ids), 1, dtype=torch.long)
        written = generate(ours, start, source_BS=ids, max_new_tokens=NEW, repetition_penalty=PENALTY)
    else:
        written = generate(ours, ids, max_new_tokens=NEW, repetition_penalty=PENALTY)
    assert len(set(written[:, -NEW:].flatten().tolist())) > 4
    torch.testing.assert_close(written, expected)


def test_a_bfloat16_checkpoint_writes_in_bfloat16(tmp_path: Path) -> None:
    ours = paribus.load(peers.checkpoint("llama", tmp_path), dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.bfloat16}
    written = generate(ours, peers.tokens(6), max_new_tokens=NEW, dtype=torch.bfloat16)
    assert written.shape == (2, 6 + NEW)


@pytest.mark.parametrize(
    ("name", "says", "begin", "end"),
    [
        ("llama", None, [1], []),
        ("llama", {"add_bos_token": False}, [], []),
        ("llama", {"add_bos_token": True, "add_eos_token": True}, [1], [2]),
        ("t5", None, [], [2]),
    ],
)
def test_a_text_has_the_tokens_around_it_that_its_model_was_trained_to_see(
    name: str, says: dict[str, bool] | None, begin: list[int], end: list[int], tmp_path: Path
) -> None:
    """Where a checkpoint has a tokenizer.model and no tokenizer.json."""
    folder = peers.checkpoint(name, tmp_path)
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a cat and a mat"] * 9),
        model_writer=made,
        vocab_size=20,
        model_type="bpe",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(made.getvalue())
    if says is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(says))
    library = sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())
    coder = open_text_model(folder).coder
    assert coder.encode("a cat") == [*begin, *library.encode("a cat"), *end]
    assert coder.decode(coder.encode("a cat")) == "a cat"
