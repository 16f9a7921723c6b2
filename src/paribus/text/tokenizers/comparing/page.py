"""The report of a comparison: one HTML file without scripts, with one sentence coloured by each tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from paribus.text.pages import rendered
from paribus.text.tokenizers.comparing.tables import notes, tables

#: Tokens side by side have different colours; a few in turn are enough.
_COLOURS = 5


def page(results: Mapping[str, Any]) -> str:
    """The whole page as HTML."""
    values = {
        "results": results,
        "answer": answer(results),
        "tables": tables(results),
        "notes": notes(results),
        "coloured": [
            {
                "label": row["label"],
                "number": len(row["sentence"]),
                "tokens": [
                    {"text": token, "colour": number % _COLOURS}
                    for number, token in enumerate(row["sentence"])
                ],
            }
            for label in [*results["ranked"], *results["lossy"]]
            for row in results["rows"]
            if row["label"] == label
        ],
    }
    return rendered(
        resources.files("paribus.text.tokenizers.comparing") / "templates",
        "compare",
        values,
        filters={"seen": _seen, "whole": lambda value: f"{value:,}"},
    )


def answer(results: Mapping[str, Any]) -> str:
    """The comparison in a sentence or two, with no word on which is better for a model."""
    rows = {row["label"]: row for row in results["rows"]}
    if not results["ranked"]:
        return "None of these tokenizers gives every text back, so none is ranked."
    first, last = (rows[results["ranked"][end]] for end in (0, -1))
    found = first["bytes_per_token"]
    said = f"Of those that lose nothing, {first['label']} writes the most bytes with a token, {found['value']:.3f}"
    if last is not first:
        said += f", and {last['label']} the fewest, {last['bytes_per_token']['value']:.3f}"
    if len(results["ranked"]) > 1:
        second = rows[results["ranked"][1]]["bytes_per_token"]
        if found["low"] is not None and found["low"] <= second["high"]:
            said += f"; the intervals of {first['label']} and {results['ranked'][1]} overlap"
    if results["lossy"]:
        said += f". Not ranked, as they lose text: {', '.join(results['lossy'])}"
    return said + "."


def _seen(token: str) -> str:
    """Blanks that end a line or a column as signs that can be seen."""
    return token.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·") or "∅"
