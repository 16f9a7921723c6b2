"""What the report says in its first sentence: numbers and names, no word on which is better for a model."""

from __future__ import annotations

from typing import Any

import pytest

from paribus.text.tokenizers.comparing.page import answer

MOST = "Of those that lose nothing, a writes the most bytes with a token, 3.000"


def results(
    *rows: tuple[str, float, float | None, float | None], lossy: tuple[str, ...] = ()
) -> dict[str, Any]:
    made = [
        {"label": label, "bytes_per_token": {"value": value, "low": low, "high": high}}
        for label, value, low, high in rows
    ]
    return {"rows": made, "ranked": [row[0] for row in rows if row[0] not in lossy], "lossy": list(lossy)}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            results(("a", 3.0, 2.8, 3.2), ("b", 2.9, 2.7, 3.1), ("c", 1.0, 1.0, 1.0)),
            f"{MOST}, and c the fewest, 1.000; the intervals of a and b overlap.",
        ),
        (
            results(("a", 3.0, 2.8, 3.2), ("b", 2.6, 2.5, 2.7)),
            f"{MOST}, and b the fewest, 2.600.",
        ),
        (
            results(("a", 3.0, None, None), ("b", 2.9, None, None), ("c", 9.0, 8.0, 9.5), lossy=("c",)),
            f"{MOST}, and b the fewest, 2.900. Not ranked, as they lose text: c.",
        ),
        (
            results(("a", 3.0, 2.8, 3.2)),
            f"{MOST}.",
        ),
        (
            results(("c", 9.0, 8.0, 9.5), lossy=("c",)),
            "None of these tokenizers gives every text back, so none is ranked.",
        ),
    ],
)
def test_the_answer_names_the_ends_of_the_order_and_whom_it_leaves_out(
    found: dict[str, Any], said: str
) -> None:
    assert answer(found) == said
