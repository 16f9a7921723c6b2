"""What a user says of the text, alike for a study and for one run."""

from __future__ import annotations

from typing import Annotated

import typer

DataOption = Annotated[
    str | None,
    typer.Option(
        "--data", help="stdlib, or a text file, a folder, .jsonl, .jsonl.gz or .parquet. Default: stdlib."
    ),
]
TextFieldOption = Annotated[
    str | None,
    typer.Option(
        "--text-field", help="The field of .jsonl or .parquet rows that holds the text. Default: text."
    ),
]
