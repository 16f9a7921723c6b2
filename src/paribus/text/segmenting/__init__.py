"""Cutting text into words, syllables or classes of characters: what needs no learned vocabulary of subwords.

A segmenter cuts and never changes: its pieces join to the text. Which there are stands in `methods.METHODS`.
"""

from paribus.text.segmenting.comparing import SegmenterComparison, compare_segmenters
from paribus.text.segmenting.files import load_segmenter, save_segmenter
from paribus.text.segmenting.methods import METHODS, Method, get_method, train_segmenter
from paribus.text.segmenting.protocol import Segmenter
from paribus.text.segmenting.segmented_text import Sentence, read_segmented, sentences_of

__all__ = [
    "METHODS",
    "Method",
    "Segmenter",
    "SegmenterComparison",
    "Sentence",
    "compare_segmenters",
    "get_method",
    "load_segmenter",
    "read_segmented",
    "save_segmenter",
    "sentences_of",
    "train_segmenter",
]
