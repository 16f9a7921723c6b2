"""Which documents are the same text as an earlier one, by the sha256 of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def first_of_text(digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """int64 [documents]: for each the first that has the same digest, itself if there is none before.

    `digests` is uint64 [documents, 4].
    """
    order = np.lexsort([digests[:, column] for column in reversed(range(digests.shape[1]))])  # stable
    other = np.ones(len(order), dtype=bool)
    other[1:] = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[np.maximum.accumulate(np.where(other, np.arange(len(order)), 0))]
    return first
