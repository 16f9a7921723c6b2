"""`paribus explain`: one part's card, with counts taken from the built part."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

_EXAMPLE_WIDTH = 768


def explain(
    name: Annotated[str, typer.Argument(help="A part's name or alias, or my_file.py:MyPart.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Explain a part: formula, source, shapes, parameters, cost, and what is commonly got wrong.

    Example: [bold]paribus explain swiglu[/bold]
    """
    from rich.console import Console
    from rich.text import Text

    from paribus import registry
    from paribus.cli.formula import readable

    cards = registry.search(name)
    documents = [_document(card) for card in cards]
    if as_json:
        print(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2))
        return
    console = Console(highlight=False)
    for card, document in zip(cards, documents, strict=True):
        also = f" (also {', '.join(card.aliases)})" if card.aliases else ""
        console.print(Text(f"{card.name}{also}: {card.slot}", style="bold"))
        console.print(Text(card.summary))
        rows = {
            "formula": readable(card.formula),
            "LaTeX": card.formula,
            "source": card.paper,
            "shapes": card.shapes,
            "parameters": card.parameters,
            **{key: value for key, value in document["example"].items()},
        }
        for key, value in rows.items():
            if value:
                console.print(Text.assemble((f"  {key}: ", "cyan"), str(value)), soft_wrap=True)
        for trap in card.traps:
            console.print(Text.assemble(("  trap: ", "yellow"), trap), soft_wrap=True)
        console.print()


def _document(card: Any) -> dict[str, Any]:
    return {
        "slot": card.slot,
        "name": card.name,
        "aliases": list(card.aliases),
        "summary": card.summary,
        "formula": card.formula,
        "paper": card.paper,
        "shapes": card.shapes,
        "parameters": card.parameters,
        "traps": list(card.traps),
        "options": dict(card.options),
        "example": _example(card),
    }


def _example(card: Any) -> dict[str, str]:
    """Counts at the width of the GLU paper, of a part that maps d_model to d_model by itself."""
    if card.slot == "ffn":
        from paribus.study.match import match_width

        match = match_width(card, {}, d_model=_EXAMPLE_WIDTH, budget=8 * _EXAMPLE_WIDTH**2)
        sizes = {"d_model": _EXAMPLE_WIDTH, "d_ff": match.d_ff}
        said = f"at d_model {_EXAMPLE_WIDTH}, d_ff {match.d_ff} (equal to a two-matrix layer of 4 d_model)"
    elif card.slot == "norm":
        sizes = {"d_model": _EXAMPLE_WIDTH}
        said = f"at d_model {_EXAMPLE_WIDTH}"
    else:
        return {}
    return {said: f"{card.num_params(**sizes):,} parameters, {card.flops(**sizes):,} FLOPs a token forward"}
