"""`paribus tokenizer compare`: tokenizers trained alike and measured on text that none of them has seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from paribus.cli.json_option import JsonOption
from paribus.cli.text_options import FieldOption, MinCountOption, NormaliserOption, SplitOption, UnknownOption
from paribus.errors import RequestError, shown


def compare(
    methods: Annotated[
        str | None, typer.Option(help="Methods by comma; see paribus tokenizer methods.")
    ] = None,
    vocab_size: Annotated[
        str, typer.Option(help="Sizes by comma, bytes and special tokens included; each method takes each.")
    ] = "8192",
    tokenizer: Annotated[
        list[str] | None,
        typer.Option(help="A tokenizer that is there already, by folder or file; may be repeated."),
    ] = None,
    data: Annotated[
        str, typer.Option(help="stdlib, text, .jsonl, .parquet, a folder of these, or a prepared dataset.")
    ] = "stdlib",
    text_field: FieldOption = "text",
    held_out: Annotated[
        float, typer.Option(help="Share of the text, by documents, that no tokenizer is trained on.")
    ] = 0.1,
    train_bytes: Annotated[
        str | None, typer.Option(help="Train on so many bytes of the other documents, as 30M. Default: all.")
    ] = None,
    score_bytes: Annotated[str, typer.Option(help="Measure on so many bytes of held-out text.")] = "4M",
    normaliser: NormaliserOption = "none",
    split: SplitOption = "gpt4",
    unknown: UnknownOption = "bytes",
    min_count: MinCountOption = None,
    option: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE for the methods that have it; may be repeated.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="Of Rényi's entropy.")] = 2.5,
    over: Annotated[
        str, typer.Option(help="Rényi efficiency is over the declared vocabulary or the tokens observed.")
    ] = "declared",
    parallel: Annotated[
        list[str] | None,
        typer.Option(
            help="LANG=FILE: a language's lines, which say the same as those of the others; repeat."
        ),
    ] = None,
    sentence: Annotated[
        str | None, typer.Option(help="The text to colour in the report. Default: a line of held-out text.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the trained tokenizers in this folder, a folder each.")
    ] = None,
    models: Annotated[
        bool,
        typer.Option(
            "--train-models",
            help="Then train models on each that loses nothing, at equal bytes and at equal FLOPs, in the folder of --keep.",
        ),
    ] = False,
    preset: Annotated[
        str, typer.Option(help="With --train-models: the size of the studies, quick, default or paper.")
    ] = "quick",
    study: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="With --train-models: a setting of the studies, as train.tokens=1e6; repeat.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the report to this .html file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train tokenizers on the same text in the same way, and measure them on documents that none has seen.

    Those that lose text are never ranked with those that do not.

    Example: [bold]paribus tokenizer compare --methods byte_bpe,wordpiece,unigram --vocab-size 4096,8192 --out tokenizers.html[/bold]

    Example: [bold]paribus tokenizer compare --methods byte_bpe --tokenizer models/gpt2 --parallel en=en.txt --parallel de=de.txt[/bold]
    """
    from paribus.cli import tokenizer_models
    from paribus.cli.page_file import check_page
    from paribus.cli.reading import pairs, size
    from paribus.cli.stages import stages
    from paribus.text.tokenizers.comparing import Request, contenders
    from paribus.text.tokenizers.comparing import compare as run
    from paribus.text.tokenizers.comparing.page import page
    from paribus.text.tokenizers.comparing.parity import read_parallel

    if out is not None:
        check_page(out, option="--out")
    if models and (keep is None or as_json):
        raise RequestError(
            "--train-models takes --keep FOLDER, where tokenizers and studies go, and no --json: results.json is there"
        )
    if study and not models:
        raise RequestError("--study is for the studies of --train-models; give that too")
    if methods is None and not tokenizer:
        raise RequestError("there is nothing to compare: give --methods, --tokenizer or both")
    request = Request(
        source=data,
        contenders=contenders(
            methods.split(",") if methods else [],
            _sizes(vocab_size),
            tokenizer or [],
            normaliser=normaliser,
            split=split,
            unknown=unknown,
            min_count=min_count,
            options=pairs(option, option="--option"),
        ),
        split=split,
        text_field=text_field,
        held_out=held_out,
        train_bytes=size(train_bytes, option="--train-bytes"),
        score_bytes=size(score_bytes, option="--score-bytes"),
        alpha=alpha,
        over=over,
        parallel=read_parallel(_languages(parallel)) if parallel else None,
        sentence=sentence,
        folder=keep,
    )
    asked = request.to_dict()
    results = tokenizer_models.kept_results(keep, asked) if models and keep is not None else None
    try:
        if results is None:
            with stages() as told:
                results = run(request, progress=told)
    except KeyboardInterrupt:
        kept = f"; tokenizers that were trained are in {shown(keep)}" if keep and keep.exists() else ""
        typer.echo(f"stopped{kept}", err=True)
        raise typer.Exit(130) from None
    if out is not None:
        out.write_text(page(results), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(results, indent=2, ensure_ascii=False))
    else:
        _show(results)
    for path in filter(None, [out, keep]):
        typer.echo(f"written: {shown(path)}", err=True)
    if models and keep is not None:
        tokenizer_models.keep_results(keep, asked, results)
        tokenizer_models.train_models(
            results,
            data=data,
            text_field=text_field,
            held_out=held_out,
            folder=keep,
            preset=preset,
            overrides=study or [],
        )


def _show(results: Mapping[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from paribus.text.tokenizers.comparing.page import answer
    from paribus.text.tokenizers.comparing.tables import notes, tables

    console = Console(highlight=False, markup=False)
    for each in tables(results):
        table = Table(title=each.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for number, heading in enumerate(each.headings):
            words = number in each.words
            # Numbers and names stand whole, whatever room is left for their headings.
            widest = max(len(row[number]) for row in each.rows)
            table.add_column(
                heading,
                justify="left" if words else "right",
                overflow="fold",
                min_width=widest if not words else min(widest, 14) if number == 0 else None,
            )
        for row in each.rows:
            table.add_row(*row)
        console.print(table)
    console.print(answer(results))
    for note in notes(results):
        console.print(note)


def _sizes(text: str) -> Sequence[int]:
    try:
        return [int(word.replace("_", "")) for word in text.split(",")]
    except ValueError:
        raise RequestError(
            f"--vocab-size takes whole numbers by comma, as in 4096,8192; it is {text!r}"
        ) from None


def _languages(given: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for each in given:
        language, sign, path = each.partition("=")
        if not (language and sign and path):
            raise RequestError(f"--parallel takes LANG=FILE, as in de=de.txt; it is {each!r}")
        if language in found:
            raise RequestError(f"--parallel gives {language} twice")
        found[language] = Path(path)
    return found
