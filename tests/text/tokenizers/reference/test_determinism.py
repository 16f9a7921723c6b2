"""Training gives the same to the last id under any hash seed and any order of the words."""

from __future__ import annotations

import json
import os
import subprocess
import sys

PROGRAM = """
import json, sys
from paribus.text.tokenizers import reference

words = json.load(sys.stdin)
words = {word: words[word] for word in set(words)}  # in the order of hashes
characters = reference.train_bpe(words, vocab_size=600, unit="characters", runners_up=1)
print(characters.pieces, characters.merges)
frequency = reference.train_wordpiece(words, vocab_size=600, runners_up=1)
likelihood = reference.train_wordpiece_likelihood(words, vocab_size=600, runners_up=1)
topdown = reference.train_wordpiece_topdown(words, vocab_size=600)
print(frequency, likelihood, topdown)
spaced = {word.replace(" ", "\u2581"): count for word, count in words.items() if " " not in word[1:]}
print(reference.train_sentencepiece_bpe(spaced, vocab_size=600))
print(reference.train_unigram(spaced, vocab_size=300, told=True))
"""


def test_training_is_the_same_under_any_hash_seed(words: dict[str, int]) -> None:
    def run(seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=json.dumps(words),
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert run("1") == run("2") != ""
