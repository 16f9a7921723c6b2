"""The neural segmenter as a method of making tokenizers, offered to the text wing by an entry point.

Its words are pieces as those of any segmenter are; the weights of its network lie beside the tokenizer's JSON file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paribus.errors import RequestError
from paribus.text.tokenizers.methods.segments import Keeping, segmented_method
from paribus.train.segmenter import NEURAL as SEGMENTER
from paribus.train.segmenter import NeuralSegmenter
from paribus.train.tagging.files import description_of, tagger_of, weights_of


def _restored(content: Mapping[str, Any], weights: bytes | None) -> NeuralSegmenter:
    if weights is None:
        raise RequestError("it has no weights, and its segmenter is a network")
    return NeuralSegmenter(*tagger_of(content, weights, "the segmenter"))


NEURAL = segmented_method(
    SEGMENTER,
    SEGMENTER.name,
    Keeping(
        content=lambda segmenter: description_of(segmenter.tagger, segmenter.alphabet),
        restore=_restored,
        weights=lambda segmenter: weights_of(segmenter.tagger),
    ),
)
