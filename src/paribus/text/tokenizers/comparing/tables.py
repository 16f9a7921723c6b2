"""A comparison as tables of words, for a terminal and a page alike; no number is made here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells in rows; the first column names, and those in `words` hold words where others hold numbers."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[int, ...] = (0,)


def tables(results: Row) -> list[Table]:
    """All tables that the comparison has something for, those of lossless and of lossy tokenizers apart."""
    by_label = {row["label"]: row for row in results["rows"]}
    ranked = [by_label[label] for label in results["ranked"]]
    lossy = [by_label[label] for label in results["lossy"]]
    found = []
    if ranked:
        found.append(_quality("Lossless, by bytes a token", ranked))
    if lossy:
        found += [
            _quality("Lossy: what they leave out makes them look better, so they are not ranked", lossy)
        ]
        found += [_losses(lossy)]
    everybody = [*ranked, *lossy]
    found.append(_costs(everybody))
    found.append(_conditions(everybody))
    if everybody[0]["parity"]:
        found.append(_parity(everybody))
    if results["refused"]:
        rows = tuple((each["label"], each["reason"]) for each in results["refused"])
        found.append(Table(title="Not compared", headings=("tokenizer", "why"), rows=rows, words=(0, 1)))
    return found


def notes(results: Row) -> list[str]:
    """What has to be known to read the tables, a sentence each."""
    source, renyi = results["source"], results["renyi"]
    trained = source["trained_on_bytes"]
    found = [
        (f"Trained on {trained / 1e6:,.1f} MB of {source['name']}, measured" if trained else "Measured")
        + f" on {source['scored_bytes'] / 1e6:,.2f} MB in {source['scored_documents']:,} other documents of it; "
        "intervals of 95 % are over these documents.",
        f"Words are those of the split {results['words_of']} without blanks, each where it stands in its text; "
        + "a token counts for every word that it has bytes of.",
        "Broken tokens are no UTF-8 by themselves: parts of characters.",
        f"Rényi efficiency is of alpha {renyi['alpha']:g} over the "
        + ("declared vocabulary." if renyi["over"] == "declared" else "tokens that occur (observed)."),
    ]
    if results["differs"]:
        names = ", ".join(each["condition"].replace("_", " ") for each in results["differs"])
        found.append(f"Not equal for all, so bytes a token may differ through it alone: {names}.")
    if any(row["path"] is not None for row in results["rows"]):
        found.append(
            "A tokenizer with a path was trained elsewhere, on text that may hold what it is measured on."
        )
    if results["parity"]:
        found.append(results["parity"][0].upper() + results["parity"][1:] + ".")
    found.append("Which of them a model learns best with, only models can tell: paribus study tokenizer.")
    return found


def _quality(title: str, rows: Sequence[Row]) -> Table:
    return Table(
        title=title,
        headings=(
            "tokenizer",
            "bytes a\ntoken",
            "95 %",
            "tokens\na word",
            "words\nof one",
            "vocab.\nused",
            "Rényi",
            "broken",
        ),
        rows=tuple(
            (
                row["label"],
                f"{row['bytes_per_token']['value']:.3f}",
                _interval(row["bytes_per_token"]),
                _number(row["fertility"], ".3f"),
                _number(row["single_token_words"], ".1%"),
                f"{row['vocabulary_used_share']:.1%}",
                _number(row["renyi"], ".3f"),
                f"{row['invalid_tokens']:.2%}",
            )
            for row in rows
        ),
    )


def _losses(rows: Sequence[Row]) -> Table:
    def first(row: Row) -> str:
        example = row["round_trips"]["example"]
        return "" if example is None else f"{example['text']!r} comes back as {example['decoded']!r}"

    return Table(
        title="What they lose",
        headings=("tokenizer", "loses", "documents\nchanged", "for example"),
        rows=tuple(
            (
                row["label"],
                ", ".join(row["loses"]) or "says nothing, yet loses",
                f"{row['round_trips']['failed']:,} of {row['round_trips']['documents']:,}",
                first(row),
            )
            for row in rows
        ),
        words=(0, 1, 3),
    )


def _costs(rows: Sequence[Row]) -> Table:
    def training(row: Row, key: str, form: Callable[[float], str]) -> str:
        found = row["training"]
        return form(found[key]) if found and found["bytes"] and found[key] is not None else "—"

    return Table(
        title="Speed and memory, in this run",
        headings=("tokenizer", "training\nMB/s", "in", "peak", "encoding\nMB/s", "decoding\nMB/s"),
        rows=tuple(
            (
                row["label"],
                training(row, "mb_per_second", _sized),
                training(row, "seconds", lambda value: f"{value:,.1f} s"),
                training(row, "peak_bytes", lambda value: f"{value / 1e6:,.0f} MB"),
                _sized(row["encode_mb_per_second"]),
                _sized(row["decode_mb_per_second"]),
            )
            for row in rows
        ),
    )


def _conditions(rows: Sequence[Row]) -> Table:
    counts = ("vocab_size", "specials", "bytes", "usable", "alphabet")

    def cells(conditions: Row) -> list[str]:
        if conditions["split"] is None:
            return [f"{conditions['vocab_size']:,}", *["—"] * 4, "its own", "its own", ""]
        beside = [f"{key}={value}" for key, value in conditions["options"].items()]
        if conditions["unknown"] == "token":
            beside.append("unseen characters are one token")
        settings = [conditions["split"], conditions["normaliser"], ", ".join(beside)]
        return [*(f"{conditions[key]:,}" for key in counts), *settings]

    headings = ("vocab.", "special", "bytes", "usable", "alphabet", "split", "normaliser", "beside")
    made = [cells(row["conditions"]) for row in rows]
    kept = [number for number in range(len(headings)) if any(each[number] for each in made)]
    return Table(
        title="What each was made with",
        headings=("tokenizer", *(headings[number] for number in kept)),
        rows=tuple(
            (row["label"], *(each[number] for number in kept)) for row, each in zip(rows, made, strict=True)
        ),
        words=(0, 6, 7, 8),
    )


def _parity(rows: Sequence[Row]) -> Table:
    first = rows[0]["parity"]
    languages = list(first["languages"])
    return Table(
        title=f"Tokens for the same sentence, over those in {first['reference']} ({first['sentences']:,} sentences)",
        headings=("tokenizer", *languages),
        rows=tuple(
            (
                row["label"],
                *(
                    f"{found['value']:.2f} ({_interval(found, digits=2)})"
                    for found in row["parity"]["languages"].values()
                ),
            )
            for row in rows
        ),
    )


def _interval(found: Row, *, digits: int = 3) -> str:
    return "—" if found["low"] is None else f"{found['low']:.{digits}f}–{found['high']:.{digits}f}"


def _number(value: float | None, form: str) -> str:
    return "—" if value is None else format(value, form)


def _sized(value: float) -> str:
    """A speed with two digits that mean something."""
    return f"{value:,.1f}" if value >= 1 else f"{value:.2g}"
