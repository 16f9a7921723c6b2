"""Parquet: one document a row of one string column, some row groups at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from paribus.errors import RequestError, shown
from paribus.text.data import spans
from paribus.text.data.failures import reading
from paribus.text.data.json_lines import names
from paribus.text.data.spans import Document, SourceFile, Span

_ROWS_AT_ONCE = 256
# Without it, pyarrow reads a whole column of a row group before it gives the first row.
_BUFFER_BYTES = 2**20


def cut_parquet(file: SourceFile) -> Iterator[Span]:
    """Runs of row groups, each of 4 MiB at least where there are as many.

    Raises `RequestError` without pyarrow and for a broken file.
    """
    with _opened(file) as table:
        metadata = table.metadata
        first = before = rows = waiting = 0
        for group in range(metadata.num_row_groups):
            rows += metadata.row_group(group).num_rows
            waiting += metadata.row_group(group).total_byte_size
            if waiting >= spans.BLOCK_BYTES or group == metadata.num_row_groups - 1:
                position = file.size * rows // max(metadata.num_rows, 1)
                yield Span(file, first, group + 1, position - before)
                first, before, waiting = group + 1, position, 0


def read_parquet(span: Span, text_field: str) -> Iterator[Document]:
    """The documents of the rows of the span's row groups; a null is an empty document.

    Raises `RequestError` without pyarrow, for a broken file and for a column that is missing or no string.
    """
    with _opened(span.file) as table:
        _check_column(table.schema_arrow, text_field, span.file)
        groups = list(range(span.start, span.end))
        rows = max(sum(table.metadata.row_group(group).num_rows for group in groups), 1)
        done = 0
        for batch in table.iter_batches(
            batch_size=_ROWS_AT_ONCE, row_groups=groups, columns=[text_field], use_threads=False
        ):
            for value in batch.column(0):
                done += 1
                yield Document(_string_of(value), span.size * done // rows)


@contextmanager
def _opened(file: SourceFile) -> Iterator[Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise RequestError(
            f"reading {shown(file.path)} needs pyarrow, which is not installed: pip install 'paribus[parquet]'"
        ) from error
    with reading(file.path), open(file.path, "rb") as raw:
        try:
            yield pyarrow.parquet.ParquetFile(raw, buffer_size=_BUFFER_BYTES)
        except (pyarrow.ArrowException, OSError) as error:  # a damaged page comes as a bare OSError
            reason = " ".join(str(error).split()).split(". ")[0].rstrip(".")
            raise RequestError(f"{shown(file.path)} is a broken parquet file: {reason}") from error


def _check_column(schema: Any, text_field: str, file: SourceFile) -> None:
    import pyarrow

    if text_field not in schema.names:
        raise RequestError(
            f"{shown(file.path)} has no column {text_field!r}, its columns are {names(schema.names)}"
        )
    kind = schema.field(text_field).type
    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
        raise RequestError(
            f"the column {text_field!r} of {shown(file.path)} holds {kind} and not strings, its columns are "
            f"{names(schema.names)}"
        )


def _string_of(value: Any) -> str | None:
    try:
        return value.as_py() or ""
    except UnicodeDecodeError:  # parquet does not check that its strings are UTF-8
        return None
