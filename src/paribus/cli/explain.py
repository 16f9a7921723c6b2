"""`paribus explain`: one part's card, with counts taken from the built part."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

_EXAMPLE_WIDTH = 768
_EXAMPLE_LENGTH = 1024


def explain(
    name: Annotated[str, typer.Argument(help="A part's name or alias, or my_file.py:MyPart.")],
    plot: Annotated[
        Path | None, typer.Option(help="Write the part's figure to this .svg, .png or .pdf file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Explain a part: formula, source, shapes, options, cost, what is commonly got wrong, and its curve.

    A name that stands in several slots (gelu is an activation and a feed-forward layer) is explained in each.

    Example: [bold]paribus explain swiglu[/bold]

    Example: [bold]paribus explain gelu --plot gelu.svg[/bold]
    """
    from rich.console import Console
    from rich.text import Text

    from paribus import registry
    from paribus.cli.formula import readable

    cards = registry.search(name)
    documents = [_document(card) for card in cards]
    if plot is not None:
        _write_figure(cards, plot)
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
            "options": ", ".join(f"{option} = {default}" for option, default in document["settings"].items()),
            **{key: value for key, value in document["example"].items()},
        }
        for key, value in rows.items():
            if value:
                console.print(Text.assemble((f"  {key}: ", "cyan"), str(value)), soft_wrap=True)
        for trap in card.traps:
            console.print(Text.assemble(("  trap: ", "yellow"), trap), soft_wrap=True)
        if (curve := _curve(card)) is not None:
            console.print()
            console.print(Text(curve), soft_wrap=True)
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
        "settings": _settings(card),
        "example": _example(card),
    }


def _settings(card: Any) -> dict[str, Any]:
    """What can be chosen beside what the model gives, with its defaults."""
    from paribus.model.config import GIVEN

    settings = card.parameters_of_build()
    given = GIVEN.get(card.slot, set())
    return {
        name: None if each.default is each.empty else each.default
        for name, each in settings.items()
        if name not in given
    }


def _curve(card: Any) -> str | None:
    """The part's curve in dots, if there is one and the terminal can show it."""
    from paribus.figures.terminal import curve_of

    if "utf" not in (sys.stdout.encoding or "").lower():
        return None
    return curve_of(card)


def _write_figure(cards: list[Any], path: Path) -> None:
    from paribus.errors import RequestError
    from paribus.figures.catalogue import figure_of
    from paribus.figures.style import save

    for card in cards:
        if (found := figure_of(card)) is not None:
            drawing, options = found
            save(drawing.draw(**options)[0], path)
            return
    raise RequestError(f"there is no figure of {cards[0].slot} {cards[0].name!r}; see paribus plot")


def _example(card: Any) -> dict[str, str]:
    """Counts at the width of the GLU paper, of a part that maps d_model to d_model by itself."""
    if card.slot == "ffn":
        from paribus.study.match import nearest_width

        def params(d_ff: int) -> int:
            return int(card.num_params(d_model=_EXAMPLE_WIDTH, d_ff=d_ff))

        sizes = {"d_model": _EXAMPLE_WIDTH, "d_ff": nearest_width(params, 8 * _EXAMPLE_WIDTH**2)}
        said = (
            f"at d_model {_EXAMPLE_WIDTH}, d_ff {sizes['d_ff']} (nearest to a two-matrix layer of 4 d_model)"
        )
        if params(1) == params(2):
            said = f"at d_model {_EXAMPLE_WIDTH} (there is no d_ff to choose)"
    elif card.slot == "norm":
        sizes = {"d_model": _EXAMPLE_WIDTH}
        said = f"at d_model {_EXAMPLE_WIDTH}"
    elif card.slot == "attention":
        return _attention_example(card)
    else:
        return {}
    example = {
        said: f"{card.num_params(**sizes):,} parameters, {card.flops(**sizes):,} FLOPs a token forward"
    }
    return example | (_hidden_rms(card, **sizes) if card.slot == "ffn" else {})


def _hidden_rms(card: Any, *, d_model: int, d_ff: int) -> dict[str, str]:
    """How large the hidden vector starts out, which decides how loud the layer is at first."""
    from paribus.errors import RequestError
    from paribus.model.config import ModelConfig
    from paribus.model.hidden_rms import hidden_rms
    from paribus.parts.init import SCHEMES

    config = ModelConfig(vocab_size=256, num_layers=1, num_heads=1, ffn=card.name, d_model=d_model, d_ff=d_ff)
    try:
        values = ", ".join(f"{hidden_rms(config, scheme=scheme):.3f} under {scheme}" for scheme in SCHEMES)
    except RequestError:  # it has no hidden vector
        return {}
    return {"hidden RMS as it starts, from inputs of unit RMS": values}


def _attention_example(card: Any) -> dict[str, str]:
    import torch

    from paribus.model.count import attention_flops

    sizes = {"d_model": _EXAMPLE_WIDTH, "num_heads": 12, "head_dim": 64}
    groups = {"num_kv_heads": 4} if card.name == "gqa" else {}
    with torch.device("meta"):
        layer = card.build(**sizes, **groups)
    flops = attention_flops(layer, **sizes, seq_len=_EXAMPLE_LENGTH)
    grouped = ", 4 key heads" if groups else ""
    said = f"at d_model {_EXAMPLE_WIDTH}, 12 heads{grouped}, {_EXAMPLE_LENGTH} tokens"
    return {said: f"{card.num_params(**sizes, **groups):,} parameters, {flops:,.0f} FLOPs a token forward"}
