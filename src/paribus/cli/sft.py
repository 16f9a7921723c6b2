"""`paribus data sft`: conversations into packed rows, with a ledger of every token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from paribus.cli.json_option import JsonOption


def sft(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.jsonl", help="A conversation a line: messages, or a prompt with its answer."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the packed rows; what was packed there is replaced.")],
    seq_len: Annotated[int, typer.Option(help="Tokens in a row; the model must take as many.")],
    tokenizer: Annotated[
        str, typer.Option(help="A tokenizer by its name, or the folder of one or of a model.")
    ] = "bytes",
    chat_template: Annotated[
        str | None,
        typer.Option(
            help="plain, chatml, own (the tokenizer's) or a .jinja file. Default: own if it has one, else plain for "
            "prompts with answers and chatml for chats."
        ),
    ] = None,
    overflow: Annotated[
        str, typer.Option(help="What becomes of a longer conversation: split, truncate or drop.")
    ] = "split",
    loss: Annotated[str, typer.Option(help="Which tokens are scored: answers or all.")] = "answers",
    held_out: Annotated[
        float, typer.Option(help="Share of the tokens that is kept for scoring; no prompt is on both sides.")
    ] = 0.1,
    prompt_field: Annotated[
        str | None, typer.Option(help="The field that holds the prompt, if it has no usual name.")
    ] = None,
    answer_field: Annotated[
        str | None, typer.Option(help="The field that holds the answer, if it has no usual name.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Count lines that cannot be used, and pass them over.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Pack conversations for fine-tuning, and say where every token went.

    Conversations go into rows of one length, best fit decreasing over all of them, with masks that keep them apart and
    a loss on answers only. `paribus train --finetune MODEL --data DIR` trains on the folder, `paribus study sft` says
    what more data would be worth.

    Example: [bold]paribus data sft chats.jsonl --out chats --seq-len 512[/bold]

    Example: [bold]paribus data sft pairs.jsonl --out pairs --seq-len 1024 --prompt-field frage --answer-field antwort
    --overflow truncate --skip-bad[/bold]
    """
    from paribus.cli.display import Display
    from paribus.cli.sft_tables import described, ledger_table, rules_table, sides_table
    from paribus.text.data.sft import Fields, pack
    from paribus.text.tokenizers import get_tokenizer

    display = Display()
    with display.bytes("reading conversations") as reading:
        packed = pack(
            source,
            out,
            tokenizer=get_tokenizer(tokenizer),
            seq_len=seq_len,
            template=chat_template,
            overflow=overflow,
            loss=loss,
            held_out=held_out,
            skip_bad=skip_bad,
            fields=Fields(prompt=prompt_field, answer=answer_field),
            progress=reading,
        )
    for sentence in packed.bad_lines:
        display.say(sentence)
    if (unsaid := packed.dataset.ledger["bad"] - len(packed.bad_lines)) > 0:
        display.say(f"and {unsaid:,} bad lines more")
    if as_json:
        print(json.dumps(described(packed.dataset), indent=2))
        return
    display.show(ledger_table(packed.dataset))
    display.show(sides_table(packed.dataset))
    display.show(rules_table(packed.dataset))
    display.say(f"template {packed.dataset.template}, loss on {packed.dataset.loss}; packed in {out}")
