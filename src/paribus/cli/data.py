"""`paribus data`: what is in a text, and getting it ready for training."""

from __future__ import annotations

import typer

from paribus.cli import audit

app = typer.Typer(no_args_is_help=True, help="What is in a text, and getting it ready for training.")
app.command("audit")(audit.audit)
