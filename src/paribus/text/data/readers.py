"""The formats that can be read, by name: how a file of each is cut into spans and a span into documents.

Which files there are and what format each has belongs in `corpus.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from paribus.text.data.json_lines import cut_gzip, read_json_lines
from paribus.text.data.parquet_files import cut_parquet, read_parquet
from paribus.text.data.spans import Document, Format, SourceFile, Span, blocks
from paribus.text.data.text_files import cut_file, read_file, read_pieces

FORMATS = {
    "file": Format(cut_file, read_file),
    "text": Format(blocks, read_pieces),
    "jsonl": Format(blocks, read_json_lines),
    "jsonl.gz": Format(cut_gzip, read_json_lines),
    "parquet": Format(cut_parquet, read_parquet),
}


def spans_of(file: SourceFile) -> Iterator[Span]:
    """The spans of a file in order."""
    return FORMATS[file.format].cut(file)


def documents_of(span: Span, text_field: str) -> Iterator[Document]:
    """The documents of a span in order; a last line that ends beyond the span has a position beyond its size."""
    return FORMATS[span.file.format].read(span, text_field)
