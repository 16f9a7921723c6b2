"""`--json`, alike for every command that has a document for machines."""

from __future__ import annotations

from typing import Annotated

import typer

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout; everything else on stderr.")
]
