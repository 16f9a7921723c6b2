"""Where every line, document and token of the data went, as numbers that must add up.

What comes in is counted while reading, what is kept is counted again in the finished files; `check` holds the one
against the other.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple


class Sum(NamedTuple):
    """An equation of the ledger: `whole` is the sum of `parts`."""

    name: str
    whole: int
    parts: dict[str, int]

    @property
    def holds(self) -> bool:
        return self.whole == sum(self.parts.values())

    def __str__(self) -> str:
        parts = " + ".join(f"{number:,} {name}" for name, number in self.parts.items())
        return f"{self.name}: {self.whole:,} = {parts}"


@dataclass(kw_only=True)
class Ledger:
    """Counts over both sides of the data.

    Lines are `documents` or `bad`. Documents are `whole`, `split`, `truncated`, `dropped` for their length, or
    `masked`: nothing of them would be scored, mostly as their answer was cut off. `tokens` are those of all documents;
    `kept` are in the rows, `loss_bearing` of these are scored, and the rest is `padded`. `learnable` tokens are those
    of answers, or all with the loss on everything; where one is kept and not scored, nothing stands before it.
    """

    lines: int = 0
    bad: int = 0
    documents: int = 0
    whole: int = 0
    split: int = 0
    truncated: int = 0
    dropped: int = 0
    masked: int = 0
    tokens: int = 0
    truncated_tokens: int = 0
    dropped_tokens: int = 0
    masked_tokens: int = 0
    learnable: int = 0
    truncated_learnable: int = 0
    dropped_learnable: int = 0
    masked_learnable: int = 0
    unpredicted: int = 0
    kept: int = 0
    loss_bearing: int = 0
    places: int = 0
    padded: int = 0

    def sums(self) -> tuple[Sum, ...]:
        """Every equation that must hold."""
        return (
            Sum("lines", self.lines, {"documents": self.documents, "bad": self.bad}),
            Sum(
                "documents",
                self.documents,
                {
                    "whole": self.whole,
                    "split": self.split,
                    "truncated": self.truncated,
                    "dropped": self.dropped,
                    "without a scored token": self.masked,
                },
            ),
            Sum(
                "tokens",
                self.tokens,
                {
                    "kept": self.kept,
                    "truncated": self.truncated_tokens,
                    "dropped": self.dropped_tokens,
                    "without a scored token": self.masked_tokens,
                },
            ),
            Sum(
                "tokens to learn",
                self.learnable,
                {
                    "loss-bearing": self.loss_bearing,
                    "with nothing before them": self.unpredicted,
                    "truncated": self.truncated_learnable,
                    "dropped": self.dropped_learnable,
                    "without a scored token": self.masked_learnable,
                },
            ),
            Sum("places in rows", self.places, {"kept": self.kept, "padded": self.padded}),
        )

    def check(self) -> None:
        """Raises `AssertionError` if an equation does not hold, which would be a mistake of ours."""
        for each in self.sums():
            if not each.holds:
                raise AssertionError(f"the ledger does not add up: {each}")

    def to_dict(self) -> dict[str, int]:
        return dataclasses.asdict(self)
