"""What single tokens are by themselves: text, or a part of a character that is none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paribus.text.tokenizers.protocol import Tokenizer
from paribus.text.tokenizers.trained import TrainedTokenizer


def invalid_alone(tokenizer: Tokenizer) -> npt.NDArray[np.bool_]:
    """[vocab_size]: tokens that stand for bytes which are no UTF-8 by themselves."""
    lengths = tokenizer.byte_lengths
    if isinstance(tokenizer, TrainedTokenizer):
        return np.array([_invalid(piece) for piece in tokenizer.pieces], dtype=np.bool_)
    return np.array(
        [
            bool(lengths[number]) and "\N{REPLACEMENT CHARACTER}" in tokenizer.decode([number])
            for number in range(tokenizer.vocab_size)
        ],
        dtype=np.bool_,
    )


def shown_tokens(tokenizer: Tokenizer, text: str) -> list[str]:
    """Each token of `text` as a reader can see it; bytes that are no text by themselves as ⟨E7 8C⟩."""
    found = []
    for number in tokenizer.encode(text).tolist():
        if isinstance(tokenizer, TrainedTokenizer):
            piece = tokenizer.pieces[number]
            found.append(f"⟨{piece.hex(' ').upper()}⟩" if _invalid(piece) else piece.decode())
        else:
            found.append(tokenizer.decode([number]))
    return found


def _invalid(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return True
    return False
