"""The text of a study of tokenizers: for each arm the same documents, read by a tokenizer of its own.

A tokenizer that is named by method and size is trained on the training documents only and kept in the cache. All arms
hold out the same documents, because these are chosen by what they say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.source import digest
from paribus.study.arms import Overrides, varied
from paribus.study.settings import StudySettings
from paribus.study.texts import prepared_text
from paribus.text.data import Dataset, default_cache
from paribus.text.data.corpus import list_source
from paribus.text.data.dataset import holds_dataset
from paribus.text.tokenizers import Tokenizer, get_tokenizer
from paribus.text.tokenizers.comparing.sides import SideText
from paribus.text.tokenizers.methods import Corpus, method_names, train_tokenizer
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.training import write_tokenizer

#: The name of the setting in which the arms of such a study differ.
TOKENIZER = "tokenizer"


@dataclass(frozen=True)
class OwnText:
    """What an arm reads."""

    data: Dataset
    tokenizer: Tokenizer

    @property
    def bytes_per_token(self) -> float:
        """Of the training text, ends of documents counted as tokens."""
        return self.data.train.num_bytes / self.data.train.num_tokens

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.tokenizer.name,
            "vocab_size": self.tokenizer.vocab_size,
            "bytes_per_token": self.bytes_per_token,
            "sha256": self.data.sha256,
        }

    def fitted(
        self, overrides: Mapping[str, Any], *, seq_bytes: int, steps: int, batch: int
    ) -> dict[str, Any]:
        """The overrides of an arm whose windows have about `seq_bytes` bytes, for so many steps of `batch` windows."""
        seq_len = max(2, round(seq_bytes / self.bytes_per_token))
        return {**overrides, "train.seq_len": seq_len, "train.tokens": steps * batch * seq_len}


def check_tokenizers(settings: StudySettings, differing: Sequence[str]) -> None:
    """Raises `RequestError` unless tokenizers, and nothing else, are what a study of kind `tokenizer` compares."""
    if settings.kind == "tokenizer":
        if tuple(differing) != (TOKENIZER,):
            raise RequestError(
                "a study of tokenizers compares two or more and nothing else, as in --arms bytes,byte_bpe:4096"
            )
        if settings.match not in ("bytes", "flops"):
            raise RequestError(
                f"a study of tokenizers is matched by bytes or by flops, not by {settings.match}: their embeddings differ"
            )
    elif TOKENIZER in differing or settings.match == "bytes":
        raise RequestError(
            "tokenizers are compared by a study of their own, the only one that matches bytes: paribus study tokenizer"
        )


def own_texts(
    settings: StudySettings,
    named: Mapping[str, Overrides],
    *,
    leave_out: tuple[Path, ...] = (),
    say: Callable[[str], None],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, OwnText]:
    """The text of every arm in `named`, by the arm's name.

    About `train.heldout_tokens` bytes are held out, and all of them are scored in every arm. Raises `RequestError` for
    data that are prepared already, a tokenizer that is none, and one that loses text.
    """
    check_tokenizers(settings, varied(named))
    if holds_dataset(settings.data):
        raise RequestError(
            f"{settings.data} is prepared with one tokenizer, and this study compares several: give the text itself"
        )
    size = list_source(settings.data, leave_out=leave_out).num_bytes
    share = min(0.5, settings.train.heldout_tokens / max(size, 1))

    def read(tokenizer: Tokenizer) -> Dataset:
        return prepared_text(settings, tokenizer, held_out=share, leave_out=leave_out, progress=progress)

    by_bytes = read(get_tokenizer("bytes"))
    found = {}
    for name, overrides in named.items():
        tokenizer = _tokenizer(str(overrides[TOKENIZER]), by_bytes, say)
        if tokenizer.loses:
            raise RequestError(
                f"the arm {name!r} loses {' and '.join(tokenizer.loses)}, so its bits per byte are of less text: only "
                "lossless tokenizers are compared"
            )
        data = read(tokenizer)
        assert data.heldout.num_bytes == by_bytes.heldout.num_bytes, "the documents decide what is held out"
        found[name] = OwnText(data, tokenizer)
    return found


def trained_here(given: str) -> bool:
    """Whether METHOD:SIZE is asked for, which is trained for the study."""
    method, colon, size = given.partition(":")
    return bool(colon and size.isdecimal() and method in method_names())


def _tokenizer(given: str, by_bytes: Dataset, say: Callable[[str], None]) -> Tokenizer:
    """What METHOD:SIZE, a name or a path says; one to be trained is trained on the training side, or found again."""
    if not trained_here(given):
        return get_tokenizer(given)
    method, _, size = given.partition(":")
    recipe = Recipe(method=method, vocab_size=int(size))
    key = json.dumps([by_bytes.sha256, recipe.to_dict(), digest("text")], sort_keys=True)
    folder = default_cache() / "tokenizers" / hashlib.sha256(key.encode()).hexdigest()[:32]
    if not folder.is_dir():
        say(f"training {given} on {by_bytes.train.num_bytes / 1e6:,.1f} MB, none of it held out")
        text = SideText(by_bytes.train, by_bytes.open_tokenizer())
        write_tokenizer(train_tokenizer(recipe, Corpus(lambda: text)), folder)
    return get_tokenizer(str(folder))
