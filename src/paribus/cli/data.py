"""`paribus data`: what is done with data before training; one file per subcommand."""

from __future__ import annotations

import typer

from paribus.cli import sft

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode="rich", help="Prepare data for training."
)
app.command("sft")(sft.sft)


@app.callback()
def _data() -> None:
    """Make data ready for training, and know what is in them."""
