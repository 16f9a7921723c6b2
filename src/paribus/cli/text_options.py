"""What a user says of text and of tokenizers, alike for every command."""

from __future__ import annotations

from typing import Annotated

import typer

_FIELD = "The field of .jsonl or .parquet rows that holds the text."
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data", help="stdlib, or a text file, a folder, .jsonl, .jsonl.gz or .parquet. Default: stdlib."
    ),
]
TextFieldOption = Annotated[str | None, typer.Option("--text-field", help=f"{_FIELD} Default: text.")]
#: For a command whose default is "text".
FieldOption = Annotated[str, typer.Option("--text-field", help=_FIELD)]
WhichTokenizer = Annotated[
    str, typer.Argument(metavar="TOKENIZER", help="bytes, or the folder or file of a tokenizer.")
]
NormaliserOption = Annotated[str, typer.Option("--normaliser", help="What is done to the text before.")]
SplitOption = Annotated[
    str, typer.Option("--split", help="How text is cut into words; no piece is longer than one.")
]
UnknownOption = Annotated[
    str,
    typer.Option("--unknown", help="What becomes of unseen characters: bytes (nothing is lost) or token."),
]
MinCountOption = Annotated[
    int | None,
    typer.Option("--min-count", help="Least count of what is merged or kept. Default: the method's own."),
]
