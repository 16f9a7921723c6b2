"""The cleaned set as .jsonl, and beside it the ledger: one line for each document that went, with its reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

from paribus.errors import RequestError, shown
from paribus.files.appearing import appearing
from paribus.text.data.audit.store import Store
from paribus.text.data.audit.verdicts import KEPT, Verdicts

_BEGINNING = 120  # bytes


def ledger_of(out: Path) -> Path:
    """`clean.ledger.jsonl` for `clean.jsonl`."""
    return out.with_name(f"{out.stem}.ledger.jsonl")


def check_out(out: Path) -> None:
    """Raises `RequestError` unless `out` and its ledger can be new .jsonl files."""
    if out.suffix != ".jsonl":
        raise RequestError(f"--dedup writes a .jsonl file, as in clean.jsonl; it is {shown(out)}")
    for path in (out, ledger_of(out)):
        if path.exists():
            raise RequestError(f"{shown(path)} is there already: give --dedup a new name")
    if not out.parent.is_dir():
        raise RequestError(f"{shown(out.parent)} is no folder to write {shown(out.name)} in")
    if not os.access(out.parent, os.W_OK):
        raise RequestError(f"{shown(out.parent)} cannot be written: permission denied")


def write_cleaned(store: Store, verdicts: Verdicts, out: Path, *, text_field: str) -> None:
    """Write what is kept to `out`, in the order of the source, and what went to its ledger.

    A document that is from a line of JSON keeps it as it was, any other is an object with its text. A line of the ledger has `document` (where it is from), `why` ("exact copy" or "near duplicate"), `of` (the one it
    repeats) and their `similarity`, `kept` (the one that stays in its place), `bytes`, `tokens`, and how it `begins`.
    Both files appear whole or not at all.
    """
    num_bytes, num_tokens = store.num_bytes, store.num_tokens
    with (
        appearing(ledger_of(out)) as ledger_draft,
        appearing(out) as draft,
        ledger_draft.open("wb") as ledger,
        draft.open("wb") as cleaned,
    ):
        for document in range(store.sources):
            why = verdicts.why(document)
            if why == KEPT:
                cleaned.write((store.line(document) or _json({text_field: store.text(document)})) + b"\n")
                continue
            of, similarity = verdicts.repeats(document)
            row = {
                "document": store.named(document),
                "why": why,
                "of": store.named(of),
                "similarity": round(similarity, 4),
                "kept": store.named(verdicts.stays(document)),
                "bytes": int(num_bytes[document]),
                "tokens": int(num_tokens[document]),
                "begins": store.text(document, most=_BEGINNING),
            }
            ledger.write(_json(row) + b"\n")


def _json(row: dict[str, object]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8")
