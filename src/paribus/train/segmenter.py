"""The neural segmenter: a network tags every character with B, M, E or S, and the best sequence that spells words wins.

It stands behind the `Segmenter` protocol of `paribus.text.segmenting` and is scored like any other. How networks read,
learn and are kept stands in `paribus.train.tagging`.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import torch

from paribus.errors import RequestError, nearest
from paribus.families.loading import load
from paribus.text.segmenting.methods import METHODS, Method
from paribus.text.segmenting.segmented_text import Sentence
from paribus.text.segmenting.viterbi import BEFORE, TAGS, best_tags, spelled
from paribus.train.tagging.alphabet import Alphabet, Bytes, Characters
from paribus.train.tagging.files import METHOD, load_tagger, save_tagger
from paribus.train.tagging.fitting import FitConfig, examples_of, fit, padded
from paribus.train.tagging.nets import (
    EncoderTagger,
    RecurrentConfig,
    RecurrentTagger,
    Tagger,
    build_tagger,
    small_encoder,
    tagger_on,
)

#: Characters that a network sees at once; longer text is read in windows.
WINDOW = 256
_AT_ONCE = 32
_SPACE = re.compile(r"(\s+)")
#: The network has scored what stands beside what already; only what spells no words is forbidden.
_START = {"B": 0.0, "M": -1e9, "E": -1e9, "S": 0.0}
_MOVE = {tag: {to: 0.0 for to in TAGS if tag in BEFORE[to]} for tag in TAGS}


class NeuralSegmenter:
    """The words of the tags with the highest sum of log probabilities. White space is no part of a word.

    Text without white space is read in windows of `window` characters; each gives the tags of its middle, so that an
    eighth of it stands before and behind them.
    """

    name: ClassVar[str] = METHOD

    def __init__(self, tagger: Tagger, alphabet: Alphabet) -> None:
        longest = WINDOW
        if isinstance(tagger, RecurrentTagger) and alphabet.size > tagger.config.vocab_size:
            raise RequestError(
                f"the net has {tagger.config.vocab_size:,} ids and the alphabet {alphabet.size:,}"
            )
        if isinstance(tagger, EncoderTagger):
            longest = min(WINDOW, tagger.encoder.config.max_seq_len // alphabet.longest)
            if alphabet.size > tagger.encoder.config.vocab_size:
                raise RequestError(
                    f"the encoder has {tagger.encoder.config.vocab_size:,} ids and the alphabet {alphabet.size:,}"
                )
        if longest < 8:
            raise RequestError(f"an encoder for tagging sees at least 8 characters; this one sees {longest}")
        self.tagger, self.alphabet, self.window = tagger.eval(), alphabet, longest

    def segment(self, text: str) -> list[str]:
        stretches = _SPACE.split(text)
        rows = self._scores(stretches[::2])
        pieces: list[str] = []
        for number, stretch in enumerate(stretches):
            if number % 2:
                pieces.append(stretch)
            else:
                tags = best_tags(itertools.islice(rows, len(stretch)), start=_START, move=_MOVE)
                pieces += spelled(stretch, tags)
        return pieces

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a new folder with `segmenter.json` and `model.safetensors`, for `load_neural`."""
        save_tagger(self.tagger, self.alphabet, Path(folder))

    def _scores(self, stretches: Sequence[str]) -> Iterator[list[float]]:
        """Log probabilities of B, M, E, S for every character of all stretches, in order."""
        windows = (each for stretch in stretches for each in self._windows(stretch))
        while batch := list(itertools.islice(windows, _AT_ONCE)):
            rows, ends = zip(*(self.alphabet.ids(window) for window, _, _ in batch), strict=True)
            valid_BT = padded([[1] * len(row) for row in rows]).bool()
            with torch.inference_mode():
                scores = self.tagger(padded(rows), valid_BT).float().log_softmax(-1)
            for row, end, (_, first, last) in zip(scores, ends, batch, strict=True):
                yield from row[end[first:last]].tolist()

    def _windows(self, stretch: str) -> Iterator[tuple[str, int, int]]:
        """Windows of a stretch, and which of each one's characters it gives the tags of."""
        margin = self.window // 8
        step = self.window - 2 * margin
        start = 0
        while start < len(stretch):
            left = min(start, margin)
            rest = len(stretch) - start
            taken = rest if left + rest <= self.window else step
            yield stretch[start - left : start + taken + margin], left, left + taken
            start += taken


def train_neural(
    sentences: Sequence[Sentence],
    *,
    net: str = "lstm",
    encoder: str | os.PathLike[str] | None = None,
    seed: int = 0,
    on_epoch: Callable[[int, float], None] | None = None,
    **fitting: Any,
) -> NeuralSegmenter:
    """A segmenter trained on segmented text.

    `net` is lstm, gru or encoder, a small Transformer of ours; with `encoder`, the folder of a checkpoint, training
    starts from those weights (at a tenth of the rate, unless it is given) and reads its characters or bytes. `fitting`
    are the fields of `FitConfig`. The same seed gives the same weights on the same number of threads. Raises
    `RequestError` for an unknown net or setting, and for a checkpoint that is no encoder or has no alphabet.
    """
    if wrong := fitting.keys() - {each.name for each in fields(FitConfig)}:
        allowed = nearest(min(wrong), [each.name for each in fields(FitConfig)])
        raise RequestError(f"there is no setting {min(wrong)!r} of training a segmenter; {allowed}")
    if net not in _NETS:
        raise RequestError(f"there is no net {net!r} for a segmenter; {nearest(str(net), _NETS)}")
    if not 0 <= seed < 2**63:
        raise RequestError(f"a seed is a whole number from 0 to {2**63 - 1}; it is {seed}")
    if encoder is not None:
        fitting = {"rate": FitConfig.rate / 10, "hide": 0.0, **fitting}
    config = FitConfig(**fitting)
    made = (
        _from_checkpoint(Path(encoder), seed) if encoder is not None else _from_nothing(sentences, net, seed)
    )
    examples = examples_of(sentences, made.alphabet, window=made.window)
    fit(made.tagger, examples, made.alphabet, config, seed=seed, on_epoch=on_epoch)
    return made


def load_neural(folder: str | os.PathLike[str]) -> NeuralSegmenter:
    """The segmenter in a folder of `NeuralSegmenter.save`. Raises `RequestError` in one sentence for a broken one."""
    return NeuralSegmenter(*load_tagger(Path(folder)))


def _from_nothing(sentences: Sequence[Sentence], net: str, seed: int) -> NeuralSegmenter:
    alphabet = Characters.seen(map("".join, sentences))
    if net == "encoder":
        return NeuralSegmenter(
            build_tagger(small_encoder(alphabet.size, max_seq_len=WINDOW), seed=seed), alphabet
        )
    return NeuralSegmenter(
        build_tagger(RecurrentConfig(vocab_size=alphabet.size, kind=net), seed=seed), alphabet
    )


def _from_checkpoint(folder: Path, seed: int) -> NeuralSegmenter:
    model = load(folder)
    # A model of ours without a tokenizer reads bytes: 256 of them and the end of a document.
    alphabet: Alphabet = Bytes() if model.config.vocab_size == 257 else Characters.of_folder(folder)
    return NeuralSegmenter(tagger_on(model, seed=seed), alphabet)


_NETS = ("lstm", "gru", "encoder")

#: The row that `compare_segmenters` takes beside those of the text wing.
NEURAL = Method(
    name=NeuralSegmenter.name,
    summary="a network that tags BMES: a recurrent one or an encoder",
    learns_from="segmented text, from scratch or from a loaded encoder (encoder)",
    train=lambda sentences, **options: train_neural(sentences, **options),
    options={
        "net": "lstm",
        "encoder": None,
        "seed": 0,
        **{each.name: each.default for each in fields(FitConfig)},
    },
)
#: Every method, the neural one with them.
ALL_METHODS: dict[str, Method] = {**METHODS, NEURAL.name: NEURAL}
