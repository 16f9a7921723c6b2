"""Scores every word segmenter on one segmented corpus: the table of docs/segmenting.md.

python benchmarks/segmenting.py TEXT [--held-out 0.2] [--nets lstm ...] [--seed 0]

TEXT is UTF-8, a sentence a line, its words divided by spaces. A share of the sentences, chosen by a hash of each, is
for testing; all segmenters are trained on the others. Networks are trained from scratch with their defaults.
"""

from __future__ import annotations

import argparse
import dataclasses
from functools import partial
from pathlib import Path

from paribus.text.segmenting import METHODS, Method, compare_segmenters, read_segmented
from paribus.text.segmenting.comparing import divide
from paribus.train.segmenter import NEURAL


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--held-out", type=float, default=0.2)
    parser.add_argument("--nets", nargs="*", default=["lstm"])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    train, test = divide(read_segmented(given.text), held_out=given.held_out)
    methods: list[Method] = [*METHODS.values(), *(_neural(net, given.seed) for net in given.nets)]
    found = compare_segmenters(map(" ".join, train), map(" ".join, test), methods, seed=given.seed)
    print(found.markdown())
    print(
        f"{found.train_sentences:,} sentences to train on, {found.test_sentences:,} to test ({found.test_words:,} words, "
        f"{100 * found.unknown:.1f} % of them unknown; {found.repeated} sentences stand in both)"
    )
    for row in found.rows:
        print(
            f"{row.method}: trained in {row.train_seconds:.1f} s, {row.characters_per_second:,.0f} characters/s"
        )


def _neural(net: str, seed: int) -> Method:
    train = partial(NEURAL.train, net=net, seed=seed)
    return dataclasses.replace(NEURAL, name=f"neural ({net})", train=train, options={})


if __name__ == "__main__":
    main()
