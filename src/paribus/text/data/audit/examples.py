"""What a reader wants to see beside the numbers: the beginnings of the largest clusters, and the top spans as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.text.data.audit.clusters import Near
from paribus.text.data.audit.spans import Span
from paribus.text.data.audit.store import Store
from paribus.text.data.audit.verdicts import Verdicts
from paribus.text.tokenizers import Tokenizer

_MOST = 10
_BEGINNING = 240  # bytes
_SPAN_TOKENS = 200


def copy_examples(store: Store, verdicts: Verdicts) -> list[dict[str, Any]]:
    """The documents of which there are most copies: `times` they are there, where for the first time, how they begin."""
    first, times = np.unique(verdicts.first, return_counts=True)
    return [
        {
            "document": store.named(first[each]),
            "times": int(times[each]),
            "begins": _begins(store, first[each]),
        }
        for each in np.lexsort([first, -times])[:_MOST].tolist()
        if times[each] > 1
    ]


def cluster_examples(store: Store, verdicts: Verdicts) -> list[dict[str, Any]]:
    """The largest clusters of near duplicates: the document that stays, and the least similar of the others."""
    heads, sizes = verdicts.clusters()
    rows = []
    for each in np.lexsort([heads, -sizes])[:_MOST].tolist():
        members = np.flatnonzero(verdicts.near.of == heads[each])
        farthest = int(members[np.argmin(verdicts.near.similarity[members])])
        rows.append(
            {
                "document": store.named(heads[each]),
                "size": int(sizes[each]),
                "begins": _begins(store, heads[each]),
                "farthest": {
                    "document": store.named(farthest),
                    "similarity": float(verdicts.near.similarity[farthest]),
                    "begins": _begins(store, farthest),
                },
            }
        )
    return rows


def overlap_examples(store: Store, first: npt.NDArray[np.int64], near: Near) -> list[dict[str, Any]]:
    """Held-out documents that are in the source, the longest first, each with the one it repeats."""
    apart = np.arange(store.sources, len(first))
    found = apart[(first[apart] < store.sources) | (near.of[apart] >= 0)]
    rows = []
    for document in found[np.lexsort([found, -store.num_bytes[found]])[:_MOST]].tolist():
        same = first[document] < store.sources
        rows.append(
            {
                "document": store.named(document),
                "of": store.named(int(first[document] if same else near.of[document])),
                "similarity": 1.0 if same else float(near.similarity[document]),
                "begins": _begins(store, document),
            }
        )
    return rows


def span_rows(store: Store, spans: Sequence[Span], tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Each span with its length in tokens, how often it is there, where first, and its text (at most 200 tokens)."""
    rows = []
    for span in spans:
        tokens = store.tokens[span.start : span.start + min(span.length, _SPAN_TOKENS)]
        document = int(np.searchsorted(store.token_ends, span.start, side="right"))
        rows.append(
            {
                "tokens": span.length,
                "times": span.times,
                "document": store.named(document),
                "text": tokenizer.decode(tokens),
                "cut": span.length > _SPAN_TOKENS,
            }
        )
    return rows


def _begins(store: Store, document: int) -> str:
    return store.text(document, most=_BEGINNING)
