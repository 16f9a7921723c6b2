"""The pages of docs/parts, made from the cards: `python -m paribus.figures.docs docs/parts`.

A page is stale when the cards say something else; a figure when what it draws has changed, which `figures.json`
remembers by the size of its numbers (the bytes of a drawing change with every matplotlib, the last digits of its
numbers with every processor).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from paribus import registry
from paribus.figures.catalogue import FIGURES
from paribus.figures.style import save
from paribus.model.config import GIVEN
from paribus.registry import Card

COMMAND = "python -m paribus.figures.docs docs/parts"
_TITLES = {
    "activation": "Activations",
    "ffn": "Feed-forward layers",
    "norm": "Norms",
    "residual": "Residual placements",
    "position": "Position encodings",
    "attention": "Attention",
}


def pages() -> dict[str, str]:
    """Text of every page by file name."""
    named = {slot: _builtin(cards) for slot, cards in registry.catalog().items() if slot in _TITLES}
    links = "\n".join(
        f"- [{_TITLES[slot]}]({slot}.md): {', '.join(cards)}" for slot, cards in sorted(named.items())
    )
    index = f"# The parts\n\nMade by `{COMMAND}` from the parts' own cards.\n\n{links}\n"
    return {"README.md": index, **{f"{slot}.md": _page(slot, cards) for slot, cards in named.items()}}


def fingerprints() -> dict[str, dict[str, float]]:
    """Mean absolute value of every series that a figure shows, by figure."""
    return {name: _sizes(each.draw()[1]) for name, each in FIGURES.items()}


def write(folder: Path) -> None:
    """Write pages, figures and hashes into `folder`."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, each in FIGURES.items():
        save(each.draw()[0], folder / "figures" / f"{name}.svg")
    (folder / "figures" / "figures.json").write_text(json.dumps(fingerprints(), indent=1) + "\n")


def _builtin(cards: Mapping[str, Card]) -> dict[str, Card]:
    """Our own parts: what a user's file has registered is not ours to document."""
    return {name: card for name, card in cards.items() if card.factory.__module__.startswith("paribus.")}


def _page(slot: str, cards: Mapping[str, Card]) -> str:
    figures = [each for each in FIGURES.values() if each.slot == slot]
    lines = [
        f"# {_TITLES[slot]}",
        "",
        f"Made by `{COMMAND}` from the parts' own cards; do not edit.",
        "",
        "| name | formula | source |",
        "|---|---|---|",
        *(
            f"| [`{card.name}`](#{card.name}) | ${_in_table(card.formula)}$ | {_in_table(card.paper)} |"
            for card in cards.values()
        ),
        "",
        *(f"![{each.caption}](figures/{each.name}.svg)\n" for each in figures),
    ]
    for card in cards.values():
        lines += [f"## {card.name}", "", _sentence(card.summary), ""]
        facts = {
            "Also called": ", ".join(card.aliases),
            "Shapes": card.shapes,
            "Parameters": card.parameters,
            "Options": _options(card),
        }
        lines += [f"- {name}: {fact}" for name, fact in facts.items() if fact]
        lines += [f"- Trap: {trap}" for trap in card.traps]
        lines.append("")
    return "\n".join(lines)


def _options(card: Card) -> str:
    given = GIVEN.get(card.slot, set())
    chosen = {name: each for name, each in card.parameters_of_build().items() if name not in given}
    return ", ".join(f"`{name}` ({each.default})" for name, each in chosen.items())


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


def _in_table(text: str) -> str:
    return text.replace("|", "\\|")


def _sizes(data: Any, path: str = "") -> dict[str, float]:
    """Mean absolute value of each series in nested plain data."""
    if isinstance(data, dict):
        return {
            name: size for key, each in data.items() for name, size in _sizes(each, f"{path}/{key}").items()
        }
    return {path: float(f"{np.abs(np.asarray(data, dtype=float)).mean():.4g}")}


if __name__ == "__main__":
    write(Path(sys.argv[1]))
