"""`paribus data`: text made ready for training, and what there is to know of it."""

from __future__ import annotations

import typer

from paribus.cli import audit, data_prepare, sft

app = typer.Typer(
    no_args_is_help=True,
    help="Text made ready for training: audit it, prepare it, check what was prepared, pack conversations.",
)
app.command("audit")(audit.audit)
app.command("prepare")(data_prepare.prepare)
app.command("check")(data_prepare.check)
app.command("sft")(sft.sft)
