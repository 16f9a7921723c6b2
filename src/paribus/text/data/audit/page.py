"""The report of an audit: one HTML file of its own, without scripts, that loads nothing from anywhere.

The page is a view of the plain document that `audit` returns; no number is made here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from paribus.text.data.audit.worth import count
from paribus.text.pages import rendered


def page(results: Mapping[str, Any]) -> str:
    """The whole page as HTML."""
    from paribus.text.data.audit.plots import Column, columns, lines

    near, ngrams = results["near"], results["ngrams"]
    figures = {
        "sizes": columns(
            [Column(*row) for row in size_columns(near["sizes"])],
            title="Sizes of clusters",
            x="different documents in a cluster",
            y="clusters of near duplicates",
        ),
        "ngrams": [
            columns(
                [
                    Column(f"{10 * place}", each, f"{10 * place} to {10 * place + 10} %: {each:,} documents")
                    for place, each in enumerate(row["documents"])
                ],
                title=f"Documents by repeated tokens, n = {row['n']}",
                x=f"% of a document's tokens inside a repeated {row['n']}-gram",
                y="documents",
            )
            for row in ngrams
        ],
        "worth": lines(results["worth"]),
    }
    values = {
        **results,
        "figures": figures,
        "answer": answer(results),
        "heldout": results.get("heldout"),
        "dedup": results.get("dedup"),
    }
    return rendered(
        resources.files("paribus.text.data.audit") / "templates",
        "audit",
        values,
        filters={"percent": percent, "count": count, "whole": lambda value: f"{value:,}"},
    )


def answer(results: Mapping[str, Any]) -> str:
    """The audit in two sentences."""
    exact, near, ngram = results["exact"], results["near"], results["ngrams"][-1]
    gone = percent(exact["share"]["tokens"] + near["share"]["tokens"])
    return (
        f"{gone} of the tokens are in documents that repeat another ({percent(exact['share']['tokens'])} exact, "
        f"{percent(near['share']['tokens'])} near copies), {percent(ngram['share'])} inside a run of {ngram['n']} tokens "
        f"that was there before. {results['worth']['said']}."
    )


def percent(share: float) -> str:
    """12.3 %; small shares with two digits that are not zero."""
    value = 100 * share
    return f"{value:.1f} %" if value >= 1 or not value else f"{value:.2g} %"


def size_columns(sizes: list[list[int]]) -> list[tuple[str, int, str]]:
    """Clusters by size, from two documents on in steps that double: label, clusters, the sentence."""
    if not sizes:
        return []
    made = []
    low = 2
    while low <= sizes[-1][0]:
        clusters = sum(number for size, number in sizes if low <= size < 2 * low)
        label = f"{low}" if low < 4 else f"{low}+"
        made.append((label, clusters, f"{low} to {2 * low - 1} documents: {clusters:,} clusters"))
        low *= 2
    return made
