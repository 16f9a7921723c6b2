"""What `paribus train` prints: what a model like another one has of its own, and what a run gave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from paribus.study.likeness import Likeness


def changes_table(like: Likeness) -> Table:
    """What is not as in the original."""
    table = _table("", like.path, "here")
    for name, (theirs, ours) in like.changes.items():
        label = "parameters, embeddings included" if name == "params" else name
        table.add_row(label, _shown(theirs), _shown(ours))
    return table


def result_table(result: Mapping[str, Any]) -> Table:
    """A finished run in a few lines."""
    table = _table("", "")
    saved, memory = result["saved"], result["peak_memory_bytes"]
    layout = f"as {saved['family']}" if saved["family"] else "in our own format"
    rows = {
        "held-out bits per byte": f"{result['val_bpb']:.4f}",
        "parameters": f"{result['params']:,}",
        "trained on": f"{result['tokens']:,} tokens of {result['data']['name']} in {result['seconds']:,.0f} s",
        "speed": f"{result['tokens_per_second']:,.0f} tokens/s in {result['dtype']}",
        "peak memory": "" if memory is None else f"{memory / 2**20:,.0f} MiB",
        "saved": f"{saved['path']} ({layout})",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_header=any(headings))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _shown(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value)
