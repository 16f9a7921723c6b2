"""A checkpoint that writes: its model, its tokenizer, and the tokens at which it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from paribus.errors import RequestError
from paribus.families.files.config import read_config
from paribus.families.loading import Origin, load
from paribus.model.transformer import Transformer
from paribus.ops.precision import fast_dtype
from paribus.text.tokenizers import ByteTokenizer, Tokenizer, get_tokenizer, holds_tokenizer
from paribus.text.tokenizers.of_folder import FILE, FolderTokenizer
from paribus.text.tokenizers.of_sentencepiece import SentencePieceTokenizer
from paribus.text.tokenizers.older_files import kind_in


class Coder(Protocol):
    """Text to ids and back, and conversations to ids."""

    template: str | None

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def encode_chat(self, messages: Sequence[dict[str, str]]) -> list[int]: ...


class _Ours:
    """A tokenizer of our own or a `tokenizer.model`, which puts the ids `begin` and `end` around a text."""

    template: str | None = None

    def __init__(self, tokenizer: Tokenizer, *, begin: Sequence[int] = (), end: Sequence[int] = ()) -> None:
        self._tokenizer, self._begin, self._end = tokenizer, begin, end
        self.vocab_size, self.end_of_document = tokenizer.vocab_size, tokenizer.end_of_document

    def encode(self, text: str) -> list[int]:
        return [*self._begin, *self._tokenizer.encode(text).tolist(), *self._end]

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids))

    def encode_chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        raise RequestError(
            f"the tokenizer {self._tokenizer.name} has no chat template that is read, which takes a {FILE}; leave --chat out"
        )


@dataclass(frozen=True, kw_only=True)
class TextModel:
    """`stop` are the tokens that end a text; `start` is the first token of what an encoder-decoder writes."""

    model: Transformer
    coder: Coder
    stop: tuple[int, ...]
    start: int | None
    dtype: torch.dtype


def open_text_model(
    path: str | os.PathLike[str], *, dtype: torch.dtype | None = None, own_parts: bool = False
) -> TextModel:
    """The checkpoint at `path` with its tokenizer.

    It computes in `dtype`, or in the dtype of its weights. In place of half precision that the CPU does not multiply
    in, that is bfloat16 if it does in that, else float32.
    Raises `RequestError` as `load` does, and for a folder without a tokenizer that can be read.
    """
    model = load(path, own_parts=own_parts)
    assert isinstance(model.origin, Origin)
    home = model.origin.path if model.origin.path.is_dir() else model.origin.path.parent
    coder = _coder(home, model)
    return TextModel(
        model=model,
        coder=coder,
        stop=_stop(home, model.origin.config, coder),
        start=_start(model.origin.config),
        dtype=dtype or _computing(model.embedding.weight),
    )


def _computing(weight: torch.Tensor) -> torch.dtype:
    """In which dtype to compute with weights like this one."""
    if weight.dtype not in (torch.bfloat16, torch.float16):
        return weight.dtype
    return getattr(torch, fast_dtype(weight.device.type))


def _coder(home: Path, model: Transformer) -> Coder:
    coder: FolderTokenizer | _Ours
    if (home / FILE).is_file() or kind_in(home) is not None:
        coder = FolderTokenizer(home)
    elif holds_tokenizer(home):
        coder = _around(get_tokenizer(str(home)), home, model)
    elif model.config.vocab_size == ByteTokenizer.vocab_size:
        coder = _Ours(ByteTokenizer())
    else:
        raise RequestError(f"{home} has no {FILE}, so text cannot be turned into this model's tokens")
    if coder.vocab_size > model.config.vocab_size:
        raise RequestError(
            f"the tokenizer has {coder.vocab_size:,} tokens and the model only "
            f"{model.config.vocab_size:,}: they do not belong together"
        )
    return coder


def _around(tokenizer: Tokenizer, home: Path, model: Transformer) -> _Ours:
    """The tokenizer of a checkpoint without a `tokenizer.json`, with the ids that its model was trained to see.

    They are those of `tokenizer_config.json`; where it is silent a text begins with a token for that, as for LLaMA and
    Gemma, or ends with one for an encoder-decoder, as for T5. Models that were trained here see none.
    """
    assert isinstance(model.origin, Origin)
    if model.origin.family is None or not isinstance(tokenizer, SentencePieceTokenizer):
        return _Ours(tokenizer)
    path, seq2seq = home / "tokenizer_config.json", model.config.architecture == "encoder_decoder"
    says = read_config(path) if path.is_file() else {}
    _, begin, end, _ = tokenizer.description.ids
    return _Ours(
        tokenizer,
        begin=[begin] if says.get("add_bos_token", not seq2seq) and begin >= 0 else [],
        end=[end] if says.get("add_eos_token", seq2seq) and end >= 0 else [],
    )


def _stop(home: Path, config: Any, coder: Coder) -> tuple[int, ...]:
    """The tokens that end a text, by generation_config.json, else by config.json, else by the tokenizer."""
    if isinstance(coder, _Ours):
        return (coder.end_of_document,)
    path = home / "generation_config.json"
    generation = read_config(path) if path.is_file() else {}
    given = generation.get("eos_token_id", config.get("eos_token_id"))
    if given is None:
        with contextlib.suppress(RequestError):
            return (get_tokenizer(str(home)).end_of_document,)
    given = given if isinstance(given, list) else [given]
    return tuple(each for each in given if isinstance(each, int) and not isinstance(each, bool))


def _start(config: Any) -> int | None:
    given = config.get("decoder_start_token_id", config.get("pad_token_id"))
    return given if isinstance(given, int) else None
