"""`paribus generate`: text from a checkpoint, as it comes, or for a file of prompts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paribus.cli.json_option import JsonOption
from paribus.cores import settle_waiting
from paribus.errors import RequestError
from paribus.files.opening import bytes_of

if TYPE_CHECKING:
    from paribus.families.texts import TextModel

DTYPES = ("auto", "float32", "bfloat16", "float16")
_MOST_PROMPT_BYTES = 256 * 2**20


def generate(
    path: Annotated[Path, typer.Argument(help="A folder with config.json, safetensors and tokenizer.json.")],
    prompt: Annotated[
        str | None, typer.Argument(help="The text to go on from; - reads it from stdin.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="A file of prompts: one a line, or .jsonl with a `prompt` each.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", "-n", min=1)] = 128,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.0,
    top_k: Annotated[int | None, typer.Option(help="Draw among the k likeliest.")] = None,
    top_p: Annotated[float, typer.Option(help="Draw among the fewest that reach this probability.")] = 1.0,
    min_p: Annotated[
        float, typer.Option(help="Draw among those this share as likely as the likeliest.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1, tokens that were seen are less likely.")
    ] = 1.0,
    stop: Annotated[
        list[str] | None, typer.Option(help="End before this string; may be given again.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    window: Annotated[
        int | None, typer.Option(min=1, help="Go on past so many tokens, reading the last ones only.")
    ] = None,
    sinks: Annotated[int, typer.Option(min=0, help="With a window: the first tokens, which are kept.")] = 0,
    chat: Annotated[
        bool | None,
        typer.Option("--chat/--no-chat", help="In the model's chat template. Default: if it has one."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts of a file that run together.")] = 8,
    dtype: Annotated[
        str,
        typer.Option(
            help=f"To compute in: {', '.join(DTYPES)}. auto: that of the weights, or float32 where half precision is slow."
        ),
    ] = "auto",
    own_parts: Annotated[
        bool, typer.Option(help="Import the parts that a model of yours has from files.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Text that a checkpoint goes on with, shown as it comes.

    Example: [bold]paribus generate models/pythia-70m "Once upon a time" --temperature 0.8 --top-p 0.95[/bold]

    Example: [bold]paribus generate models/mine --prompts prompts.txt --json > texts.json[/bold]
    """
    settle_waiting()
    import torch

    from paribus.cli.warned import warned
    from paribus.families.texts import open_text_model

    if dtype not in DTYPES:
        raise RequestError(f"--dtype is one of {', '.join(DTYPES)}; it is {dtype!r}")
    texts = _texts(prompt, prompts)
    with warned():
        model = open_text_model(
            path, dtype=None if dtype == "auto" else getattr(torch, dtype), own_parts=own_parts
        )
    settings: dict[str, Any] = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "window": window,
        "sinks": sinks,
    }
    in_chat = model.coder.template is not None if chat is None else chat
    made: list[dict[str, Any]] = []
    clock = _Clock()
    for first in range(0, len(texts), batch_size):
        batch = texts[first : first + batch_size]
        made += _made(
            model,
            batch,
            settings | {"seed": _seeds(seed, first, len(batch))},
            stop or [],
            in_chat,
            clock,
            shown=not as_json and len(texts) == 1,
        )
        if not as_json and len(texts) > 1:
            for row in made[first:]:
                print(f"--- {row['prompt']}\n{row['text']}", flush=True)
    if as_json:
        document = {
            "model": str(path),
            "dtype": str(model.dtype).removeprefix("torch."),
            "chat": in_chat,
            "settings": {**settings, "seed": seed, "stop": stop or []},
            "texts": made,
            "tokens_per_second": clock.rate,
        }
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        rate = f", {clock.rate:,.1f} a second after the first" if clock.rate else ""
        computed = str(model.dtype).removeprefix("torch.")
        typer.echo(f"{sum(row['tokens'] for row in made):,} tokens{rate}, in {computed}", err=True)


def _texts(prompt: str | None, prompts: Path | None) -> list[str]:
    """The prompts that were asked for."""
    if (prompt is None) == (prompts is None):
        raise RequestError('give one prompt, as in `paribus generate PATH "Once"`, or --prompts FILE')
    if prompts is None:
        assert prompt is not None
        return [_stdin() if prompt == "-" else prompt]
    try:
        content = bytes_of(prompts, "a file of prompts", at_most=_MOST_PROMPT_BYTES)
        lines = content.decode("utf-8-sig").split("\n")  # a JSON string may hold the other ends of lines
    except UnicodeDecodeError as error:
        raise RequestError(f"{prompts} is not UTF-8 text: byte {error.start:,} is wrong") from None
    if not any(line.strip() for line in lines):
        raise RequestError(f"{prompts} has no prompts")
    if prompts.suffix != ".jsonl":
        return [line for line in lines if line.strip()]
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["prompt"]
        except (ValueError, KeyError, TypeError, RecursionError):
            text = None
        if not isinstance(text, str):
            raise RequestError(f'{prompts}: line {number} is no object with a string "prompt"')
        found.append(text)
    return found


def _stdin() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise RequestError(f"what stdin gives is not text in {error.encoding}") from None


def _seeds(seed: int, first: int, rows: int) -> list[int]:
    """Each prompt draws as it would alone in any batch."""
    from paribus.model.sampling import row_seed

    return [row_seed(seed, first + row) for row in range(rows)]


class _Clock:
    """How fast tokens come once the prompt is read: `add` is told how many each step gave, one a row at most."""

    def __init__(self) -> None:
        self.tokens, self.seconds = 0, 0.0
        self._last: float | None = None

    def begin(self) -> None:
        self._last = None

    def add(self, tokens: int) -> None:
        if not tokens:  # the last piece of a text may come without one
            return
        now = time.perf_counter()
        if self._last is not None:
            self.tokens, self.seconds = self.tokens + tokens, self.seconds + now - self._last
        self._last = now

    @property
    def rate(self) -> float | None:
        """Tokens a second; None before there were two steps."""
        return self.tokens / self.seconds if self.seconds else None


def _made(
    model: TextModel,
    texts: Sequence[str],
    settings: dict[str, Any],
    stop_strings: Sequence[str],
    in_chat: bool,
    clock: _Clock,
    *,
    shown: bool,
) -> list[dict[str, Any]]:
    """The texts of one batch; `shown` prints the only one as it comes."""
    import torch

    from paribus.model.write import write

    coder = model.coder
    ids = [
        coder.encode_chat([{"role": "user", "content": text}]) if in_chat else coder.encode(text)
        for text in texts
    ]
    given = dict(settings)
    if model.model.config.architecture == "encoder_decoder":
        if model.start is None:
            raise RequestError("config.json does not say with which token the decoder starts")
        given |= _sources(ids)
        ids = [[model.start] for _ in ids]
    if any(not row for row in ids):
        raise RequestError("a prompt is at least one token; this tokenizer gives none for an empty text")
    pieces: list[list[str]] = [[] for _ in ids]
    counts, ended = [0] * len(ids), [False] * len(ids)

    def count(row: int, token: int) -> bool:
        counts[row] += token not in model.stop
        ended[row] = token in model.stop
        return False

    stream = write(
        model.model,
        ids,
        decode=coder.decode,
        stop_strings=stop_strings,
        stop=model.stop,
        ends=count,
        dtype=model.dtype,
        **given,
    )
    clock.begin()
    timed = 0
    with torch.inference_mode():
        for step in stream:
            clock.add(sum(counts) - timed)
            timed = sum(counts)
            for row, piece in enumerate(step):
                pieces[row].append(piece)
            if shown:
                print(step[0], end="", flush=True)
    if shown:
        print()
    return [
        {
            "prompt": text,
            "text": "".join(parts),
            "tokens": number,
            "ended": "stop" if at_stop or number < settings["max_new_tokens"] else "length",
        }
        for text, parts, number, at_stop in zip(texts, pieces, counts, ended, strict=True)
    ]


def _sources(ids: Sequence[Sequence[int]]) -> dict[str, Any]:
    """What an encoder reads: rows of one length, filled up behind."""
    import torch

    longest = max(map(len, ids))
    return {
        "source_BS": torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids]),
        "source_valid_BS": torch.arange(longest) < torch.tensor([[len(row)] for row in ids]),
    }
