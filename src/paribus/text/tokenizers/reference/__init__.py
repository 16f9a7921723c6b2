"""Readable trainers and encoders of every subword method: what the fast libraries are judged by.

Each takes words with their counts and gives a model with the trace of its training; only numpy is needed.
"""

from __future__ import annotations

from paribus.text.tokenizers.reference.bpe import BPE, train_bpe
from paribus.text.tokenizers.reference.pairs import Candidate, Merge
from paribus.text.tokenizers.reference.sentencepiece_bpe import SentencePieceBPE, train_sentencepiece_bpe
from paribus.text.tokenizers.reference.sentencepiece_text import (
    PieceRules,
    sentencepiece_line_ends,
    sentencepiece_words,
    sentences,
)
from paribus.text.tokenizers.reference.topdown import TopDownWordPiece, train_wordpiece_topdown
from paribus.text.tokenizers.reference.unigram import train_unigram
from paribus.text.tokenizers.reference.unigram_model import Pruned, Round, Unigram
from paribus.text.tokenizers.reference.wordpiece import WordPiece, train_wordpiece, train_wordpiece_likelihood
from paribus.text.tokenizers.reference.words import largest_pair_count

__all__ = [
    "BPE",
    "Candidate",
    "Merge",
    "PieceRules",
    "Pruned",
    "Round",
    "SentencePieceBPE",
    "TopDownWordPiece",
    "Unigram",
    "WordPiece",
    "largest_pair_count",
    "sentencepiece_line_ends",
    "sentencepiece_words",
    "sentences",
    "train_bpe",
    "train_sentencepiece_bpe",
    "train_unigram",
    "train_wordpiece",
    "train_wordpiece_likelihood",
    "train_wordpiece_topdown",
]
