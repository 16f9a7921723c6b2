"""What `paribus data sft` prints: the sums of the ledger, the two sides, and the counts beside those of others."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

from paribus.text.data.sft.dataset import PackedDataset, PackedSplit
from paribus.text.data.sft.ledger import Ledger
from paribus.text.data.sft.rules_of_thumb import LAW, beside


def described(data: PackedDataset) -> dict[str, Any]:
    """All of it as plain data."""
    return {
        "folder": str(data.folder),
        "name": data.name,
        "sha256": data.sha256,
        "tokenizer": data.tokenizer,
        "template": data.template,
        "loss": data.loss,
        "overflow": data.overflow,
        "seq_len": data.seq_len,
        "ledger": data.ledger,
        "sums": [
            {"name": each.name, "whole": each.whole, "parts": each.parts, "holds": each.holds}
            for each in Ledger(**data.ledger).sums()
        ],
        "splits": {split.name: _side(split) for split in (data.train, data.heldout)},
        "rules_of_thumb": beside(data.train.num_conversations),
        "law": LAW,
    }


def ledger_table(data: PackedDataset) -> Table:
    """Where everything went: each line a sum that was checked."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("", "in all", ""):
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    for each in Ledger(**data.ledger).sums():
        parts = [f"{number:,} {name}" for name, number in each.parts.items() if number]
        table.add_row(each.name, f"{each.whole:,}", "= " + (" + ".join(parts) or "0"))
    return table


def sides_table(data: PackedDataset) -> Table:
    """Training and held-out data in numbers."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in (
        "",
        "rows",
        "conversations",
        "documents",
        "tokens",
        "loss-bearing",
        "padding",
        "unpacked",
    ):
        table.add_column(heading, justify="right" if heading else "left")
    for name, split in (("training", data.train), ("held-out", data.heldout)):
        side = _side(split)
        table.add_row(
            name,
            f"{split.num_rows:,}",
            f"{split.num_conversations:,}",
            f"{split.num_documents:,}",
            f"{split.num_tokens:,}",
            f"{split.num_scored:,}",
            f"{side['padding']:.2%}",
            f"{side['padding_unpacked']:.1%}",
        )
    table.caption = "padding: share of the places; unpacked: what it would be with a document a row"
    return table


def rules_table(data: PackedDataset) -> Table:
    """The number of training conversations beside what others had."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(f"{data.train.num_conversations:,} conversations are", justify="right")
    table.add_column("what others had", overflow="fold")
    table.add_column("source", overflow="fold")
    for rule in beside(data.train.num_conversations):
        table.add_row(f"{rule['times']:.3g} x", str(rule["what"]), str(rule["source"]))
    table.caption = f"rules of thumb, not laws; {LAW}"
    return table


def _side(split: PackedSplit) -> dict[str, Any]:
    places = split.num_rows * split.seq_len
    return {
        "rows": split.num_rows,
        "conversations": split.num_conversations,
        "documents": split.num_documents,
        "tokens": split.num_tokens,
        "loss_bearing": split.num_scored,
        "padded": split.padded,
        "padding": split.padded / places,
        "padding_unpacked": 1 - split.num_tokens / (split.num_documents * split.seq_len),
        "bytes": split.num_bytes,
        "loss_bearing_bytes": split.scored_bytes,
    }
