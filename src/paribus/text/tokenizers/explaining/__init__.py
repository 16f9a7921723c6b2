"""Tokenizers told step by step: how one is trained, and how it writes a text.

What is told is plain data (`training.py`, `encoded.py`), shown in blocks (`blocks.py`) by a page or in a terminal.
"""

from paribus.text.tokenizers.explaining.encoded import Encoding
from paribus.text.tokenizers.explaining.encoding import explain_encoding
from paribus.text.tokenizers.explaining.training import Training, explain_training

__all__ = ["Encoding", "Training", "explain_encoding", "explain_training"]
