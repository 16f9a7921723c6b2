"""`paribus catalog`: every part there is, by slot; `catalog models` is its one subcommand.

A first word that is no subcommand is a slot.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from paribus.cli.models import models

_PARTS = "parts"


class _Group(TyperGroup):
    """What is no subcommand goes to the list of parts: `paribus catalog ffn` is `paribus catalog parts ffn`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [_PARTS, *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return ("" if name == _PARTS else name), command, rest


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    rich_markup_mode="rich",
    help="All parts by slot (`parts`, also without the word), or which model type uses which (`models`).\n\n"
    "Example: [bold]paribus catalog ffn[/bold]",
)
app.command("models")(models)


@app.command(_PARTS)
def catalog(
    slot: Annotated[str | None, typer.Argument(help="Only this slot, such as ffn or norm.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List all parts by slot: name, formula, source.

    Example: [bold]paribus catalog ffn[/bold]
    """
    from rich.console import Console
    from rich.table import Table

    from paribus import registry
    from paribus.cli.formula import readable
    from paribus.errors import RequestError, nearest

    slots = registry.catalog()
    if slot is not None and slot not in slots:
        raise RequestError(f"there is no slot {slot!r}; {nearest(slot, [*slots, 'models'])}")
    chosen = slots if slot is None else {slot: slots[slot]}
    if as_json:
        document = {
            name: [
                {"name": card.name, "aliases": card.aliases, "summary": card.summary, "paper": card.paper}
                for card in cards.values()
            ]
            for name, cards in chosen.items()
        }
        print(json.dumps(document, indent=2))
        return
    console = Console(highlight=False)
    for name, cards in chosen.items():
        table = Table("name", "formula", "source", title=name, title_justify="left", title_style="bold")
        for card in cards.values():
            names = card.name + "".join(f", {alias}" for alias in card.aliases)
            table.add_row(names, readable(card.formula), card.paper)
        console.print(table)
    console.print("more on each: paribus explain NAME; which model uses which: paribus catalog models")
