"""Syllables: Latin words by maximal onset, Hangul by arithmetic, Chinese characters with their pinyin."""

from paribus.text.segmenting.syllables.segmenter import SyllableSegmenter

__all__ = ["SyllableSegmenter"]
