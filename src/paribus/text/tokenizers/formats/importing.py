"""Tokenizers of ours made from other libraries' files that do not say everything."""

from __future__ import annotations

from pathlib import Path

from paribus.files.opening import bytes_of, place
from paribus.text.tokenizers.formats.tiktoken_ranks import read_ranks
from paribus.text.tokenizers.methods import restored
from paribus.text.tokenizers.methods.byte_bpe import ByteBPE
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.trained import FORMAT, TrainedTokenizer

_MOST_BYTES = 256 * 2**20


def from_ranks(path: Path, *, split: str, specials: tuple[str, ...] = ()) -> TrainedTokenizer:
    """Byte-level BPE of tiktoken's ranks, with the words of `split`. Raises `RequestError` for a file that is none.

    Ids are the file's ranks.
    """
    pieces = read_ranks(bytes_of(path, "a tokenizer", at_most=_MOST_BYTES), place(path))
    recipe = Recipe(
        method="byte_bpe", vocab_size=len(pieces) + len(specials) + 1, split=split, specials=specials
    )
    return restored(
        {
            "format": FORMAT,
            "recipe": recipe.to_dict(),
            "model": ByteBPE(pieces).state(),
            "trained_on": {"file": path.name},
        }
    )
