"""`paribus data prepare` and `paribus data check`: text into shards, and whether they are still what was written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cli.json_option import JsonOption
from paribus.cli.text_options import FieldOption

if TYPE_CHECKING:
    from paribus.text.data import Dataset
    from paribus.text.data.sft import PackedDataset


def prepare(
    source: Annotated[
        str,
        typer.Argument(
            help="A text file, .jsonl, .jsonl.gz, .parquet, a folder of these, the word stdlib, or datasets:NAME."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the shards: new, empty, or where this was begun before.")
    ],
    tokenizer: Annotated[str, typer.Option(help="bytes, or the folder or file of a tokenizer.")] = "bytes",
    held_out: Annotated[
        float, typer.Option(help="Share of the bytes that is kept for evaluation and never trained on.")
    ] = 0.1,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that tokenise. Default: one a core.")
    ] = None,
    text_field: FieldOption = "text",
    as_json: JsonOption = False,
) -> None:
    """Tokenise text into memory-mapped shards, with documents apart and a held-out share.

    Exact copies go, near-duplicates stay on one side, and the same source gives the same bytes on any number of
    cores. Stop it at any time: the same command goes on from the pieces that were finished. The folder is taken by
    every --data.

    Example: [bold]paribus data prepare corpus/ --out prepared/ --tokenizer tokenizers/bpe-16k[/bold]

    Example: [bold]paribus data prepare wiki.jsonl.gz --out wiki/ --text-field body --held-out 0.01[/bold]
    """
    from paribus.cli.display import Display
    from paribus.cores import usable_processes
    from paribus.text.data.build import Recipe
    from paribus.text.data.preparing import prepare_folder
    from paribus.text.tokenizers import get_tokenizer

    display = Display()
    began = time.perf_counter()
    before: float | None = None  # the share of the source that an earlier try had finished
    workers = usable_processes(workers)
    try:
        with display.bytes("reading text") as reading, display.tokens("writing shards") as writing:

            def read(done: int, total: int) -> None:
                nonlocal before
                before = done / total if before is None else before
                reading(done, total)

            recipe = Recipe(
                tokenizer=get_tokenizer(tokenizer),
                text_field=text_field,
                held_out=held_out,
                workers=workers,
                progress=read,
                writing=writing,
            )
            dataset, earlier = prepare_folder(source, out, recipe)
    except KeyboardInterrupt:
        display.say("stopped; the same command goes on from the pieces that were finished")
        raise typer.Exit(130) from None
    seconds = None if earlier else time.perf_counter() - began
    if as_json:
        print(json.dumps(_document(dataset, seconds=seconds, before=before or 0, workers=workers), indent=2))
        return
    if earlier:
        display.say(f"{out} holds this already; the source has not changed since")
    display.show(_table(dataset, seconds=seconds, before=before or 0, workers=workers))


def check(
    folder: Annotated[Path, typer.Argument(help="A folder that paribus data prepare or sft has made.")],
    as_json: JsonOption = False,
) -> None:
    """Read all that `prepare` or `sft` wrote against its checksums. Ends with code 1 if any was changed, cut or swapped.

    Example: [bold]paribus data check prepared/[/bold]
    """
    from paribus.cli.display import Display
    from paribus.text.data.dataset import check_dataset, load_dataset
    from paribus.text.data.sft import check_packed, is_packed, load_packed

    display = Display()
    dataset: Dataset | PackedDataset
    with display.bytes("reading shards") as reading:
        if is_packed(folder):
            dataset = load_packed(folder)
            read = check_packed(dataset, progress=reading)
        else:
            dataset = load_dataset(folder)
            read = check_dataset(dataset, progress=reading)
    if as_json:
        print(
            json.dumps(
                {"folder": str(dataset.folder), "sha256": dataset.sha256, "bytes_read": read}, indent=2
            )
        )
    else:
        display.out.print(f"{folder} is as it was written: {read:,} bytes match their checksums")


def _document(dataset: Dataset, *, seconds: float | None, before: float, workers: int) -> dict[str, Any]:
    tokens = dataset.train.num_tokens + dataset.heldout.num_tokens
    return {
        "folder": str(dataset.folder),
        "name": dataset.name,
        "sha256": dataset.sha256,
        "tokenizer": dataset.tokenizer,
        "bytes": dataset.bytes,
        "tokens": tokens,
        "documents": dataset.documents,
        "duplicates": dataset.duplicates,
        "near_duplicates": dataset.near_duplicates,
        "near_duplicate_groups": dataset.near_duplicate_groups,
        "skipped": dataset.skipped,
        **{
            split.name: {
                "tokens": split.num_tokens,
                "bytes": split.num_bytes,
                "documents": split.num_documents,
                "shards": len(split.shards),
            }
            for split in (dataset.train, dataset.heldout)
        },
        "earlier": seconds is None,
        "workers": workers,
        "finished_before": before,
        "seconds": seconds,
        "tokens_per_second": None if seconds is None else (1 - before) * tokens / seconds,
    }


def _table(dataset: Dataset, *, seconds: float | None, before: float, workers: int) -> Any:
    from rich.table import Table

    table = Table("", "", show_header=False, box=None)
    table.columns[1].overflow = "fold"  # the hash in full
    tokens = dataset.train.num_tokens + dataset.heldout.num_tokens
    for split, what in ((dataset.train, "to train on"), (dataset.heldout, "held out")):
        table.add_row(
            what,
            f"{split.num_tokens:,} tokens of {split.num_bytes:,} bytes in {split.num_documents:,} documents",
        )
    table.add_row("bytes per token", f"{dataset.bytes / tokens:.3f}, each document's end counted")
    table.add_row("left out", f"{dataset.duplicates:,} exact copies, {dataset.skipped:,} that are no text")
    table.add_row(
        "nearly the same",
        f"{dataset.near_duplicates:,} documents in {dataset.near_duplicate_groups:,} groups, each on one side",
    )
    if seconds is not None:
        now = 1 - before
        table.add_row(
            "speed",
            f"{now * tokens / seconds:,.0f} tokens/s, {now * dataset.bytes / seconds / 1e6:,.1f} MB/s, in "
            f"{seconds:,.1f} s on {workers} {'cores' if workers > 1 else 'core'}"
            + (f"; {before:.0%} was finished before" if before else ""),
        )
    table.add_row("content", dataset.sha256)
    table.add_row("folder", str(dataset.folder))
    return table
