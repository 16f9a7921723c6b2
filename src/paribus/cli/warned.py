"""Warnings about a checkpoint as one line each on stderr."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def warned() -> Iterator[None]:
    """Print the warnings of what runs inside; those that are not about checkpoints are left as they are."""
    from paribus.families.loading import CheckpointWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CheckpointWarning)
        yield
    for each in caught:
        if issubclass(each.category, CheckpointWarning):
            typer.secho(f"warning: {each.message}", err=True, fg="yellow")
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
