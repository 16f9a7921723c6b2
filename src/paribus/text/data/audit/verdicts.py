"""What goes and why: of every document of a source whether it stays, and if not, which one it repeats.

Sums are made here and nowhere else, so that report, ledger and cleaned set cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.text.data.audit.clusters import Near
from paribus.text.data.audit.store import Store

KEPT, COPY, NEAR = "kept", "exact copy", "near duplicate"


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Of each document of the source: the first with its text, and the near duplicate it repeats (-1: none).

    `near` speaks of documents that are the first with their text.
    """

    store: Store
    first: npt.NDArray[np.int64]
    near: Near

    @property
    def copies(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.first != np.arange(len(self.first)))

    @property
    def near_duplicates(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.near.of[: len(self.first)] >= 0)

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        return np.asarray(~self.copies & ~self.near_duplicates)

    def why(self, document: int) -> str:
        if self.first[document] != document:
            return COPY
        return NEAR if self.near.of[document] >= 0 else KEPT

    def repeats(self, document: int) -> tuple[int, float]:
        """The document that this one repeats, and their similarity; itself where it stays."""
        first = int(self.first[document])
        if first != document:
            return first, 1.0
        other = int(self.near.of[document])
        return (other, float(self.near.similarity[document])) if other >= 0 else (document, 1.0)

    def stays(self, document: int) -> int:
        """The document that is kept in the place of this one."""
        first = int(self.first[document])
        return int(self.near.of[first]) if self.near.of[first] >= 0 else first

    def clusters(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Of every cluster of near duplicates the kept document, and how many different documents it has with it."""
        heads, members = np.unique(self.near.of[: len(self.first)], return_counts=True)
        return heads[heads >= 0], members[heads >= 0] + 1


def amount(store: Store, which: npt.NDArray[np.bool_], of: slice) -> dict[str, Any]:
    """Documents, bytes and tokens of `which` of the documents `of` the store, and their shares of all of these."""
    counts = {
        "documents": np.ones(len(which), dtype=np.int64),
        "bytes": store.num_bytes[of],
        "tokens": store.num_tokens[of],
    }
    sums: dict[str, Any] = {name: int(count[which].sum()) for name, count in counts.items()}
    totals = {name: int(count.sum()) for name, count in counts.items()}
    return sums | {"share": {name: sums[name] / totals[name] if totals[name] else 0.0 for name in counts}}
