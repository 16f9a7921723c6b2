"""`paribus bench tokenizer-train|tokenizer-encode`: byte-level BPE, ours beside the libraries it stands on, which are its floor, and others.

The text is Python source: the standard library's and that of the installed packages, repeated where it is too little.
"""

from __future__ import annotations

import functools
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paribus.bench.contender import Case, Contender, Suite
from paribus.text.tokenizers.methods import Corpus, train_tokenizer
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.splits import get_split
from paribus.text.tokenizers.trained import TrainedTokenizer
from paribus.text.tokenizers.unicode import LETTER_OF_BYTE

_SPLIT = "gpt4"


@functools.lru_cache(maxsize=2)
def _texts(megabytes: int) -> Sequence[str]:
    """Source files of so many megabytes together."""
    found: list[str] = []
    left = megabytes * 10**6
    while left > 0:
        for folder in ("stdlib", "purelib"):
            for path in sorted(Path(sysconfig.get_path(folder)).rglob("*.py")):
                text = path.read_text("utf-8", "replace").encode()[: max(left, 0)].decode("utf-8", "ignore")
                if text:
                    found.append(text)
                left -= len(text.encode())
                if left <= 0:
                    return found
    return found


def _recipe(options: Mapping[str, Any]) -> Recipe:
    return Recipe(method="byte_bpe", vocab_size=options["vocab_size"], split=_SPLIT)


def _by_rustbpe(texts: Sequence[str], vocab_size: int) -> Any:
    import rustbpe

    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_iterator(iter(texts), vocab_size, pattern=get_split(_SPLIT).pattern)
    return tokenizer


def _by_tokenizers(texts: Sequence[str], vocab_size: int) -> Any:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(get_split(_SPLIT).pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = list(LETTER_OF_BYTE.values())
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def training(options: Mapping[str, Any]) -> list[Contender]:
    """Ours with all that it keeps, and the bare trainers of the libraries."""
    vocab_size = options["vocab_size"]

    def case(train: Callable[[Sequence[str]], Any], *, imports: str | None = None) -> Callable[[], Case]:
        def build() -> Case:
            if imports is not None:
                __import__(imports)
            texts = _texts(options["megabytes"])
            return Case(step=lambda: train(texts))

        return build

    def ours(texts: Sequence[str]) -> TrainedTokenizer:
        return train_tokenizer(_recipe(options), Corpus(lambda: texts))

    return [
        Contender(name="ours", kind="ours", make=case(ours)),
        Contender(name="ours again", kind="ours", make=case(ours)),
        Contender(
            name="rustbpe",
            kind="floor",
            make=case(lambda texts: _by_rustbpe(texts, vocab_size), imports="rustbpe"),
        ),
        Contender(
            name="tokenizers",
            kind="peer",
            make=case(lambda texts: _by_tokenizers(texts, vocab_size), imports="tokenizers"),
        ),
    ]


def encoding(options: Mapping[str, Any]) -> list[Contender]:
    """One tokenizer, trained here, in the hands of each library: the same ids from all."""

    def build(encoder: Callable[[TrainedTokenizer], Callable[[str], Any]]) -> Callable[[], Case]:
        def make() -> Case:
            tokenizer = train_tokenizer(_recipe(options), Corpus(lambda: _texts(options["megabytes"])))
            texts, encode = _texts(options["megabytes"]), encoder(tokenizer)

            def step() -> None:
                for text in texts:
                    encode(text)

            return Case(step=step)

        return make

    return [
        Contender(name="ours", kind="ours", make=build(lambda tokenizer: tokenizer.encode)),
        Contender(name="ours again", kind="ours", make=build(lambda tokenizer: tokenizer.encode)),
        Contender(name="tiktoken", kind="floor", make=build(_tiktoken)),
        Contender(name="tokenizers", kind="peer", make=build(_tokenizers)),
        Contender(name="ours, word by word", kind="ours", make=build(_words), note="as every other method"),
    ]


def _tiktoken(tokenizer: TrainedTokenizer) -> Callable[[str], Any]:
    import tiktoken

    ranks = {piece: rank for rank, piece in enumerate(tokenizer.model.pieces)}
    pattern = get_split(_SPLIT).pattern
    encoding = tiktoken.Encoding("it", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return encoding.encode_ordinary


def _tokenizers(tokenizer: TrainedTokenizer) -> Callable[[str], Any]:
    import json

    from tokenizers import Tokenizer

    from paribus.text.tokenizers.formats.exporting import tokenizer_json

    library = Tokenizer.from_str(json.dumps(tokenizer_json(tokenizer)))
    return lambda text: library.encode_batch_fast([text], add_special_tokens=False)[0].ids


def _words(tokenizer: TrainedTokenizer) -> Callable[[str], Any]:
    return TrainedTokenizer(tokenizer.recipe, tokenizer.model).encode


def _bytes(options: Mapping[str, Any]) -> int:
    return int(options["megabytes"]) * 10**6


SUITES = (
    Suite(
        name="tokenizer-train",
        summary="training byte-level BPE on source code",
        shapes={
            "30 MB": {"megabytes": 30, "vocab_size": 16384},
            "4 MB": {"megabytes": 4, "vocab_size": 4096},
        },
        contenders=training,
        reference="rustbpe",
        tokens=_bytes,
        unit="bytes",
    ),
    Suite(
        name="tokenizer-encode",
        summary="encoding source code by one byte-level BPE",
        shapes={
            "4 MB": {"megabytes": 4, "vocab_size": 16384},
            "small": {"megabytes": 1, "vocab_size": 1024},
        },
        contenders=encoding,
        reference="tiktoken",
        tokens=_bytes,
        unit="bytes",
    ),
)
