"""A process that makes and measures one tokenizer, so that its peak memory is its own and it can be ended.

The job comes in as one line of JSON on stdin; what was done is said on stdout, the row at the end. When stdin closes,
whoever sent the job is gone, and the process ends at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import ParibusError
from paribus.text.data.dataset import Dataset, load_dataset
from paribus.text.tokenizers import Tokenizer, get_tokenizer
from paribus.text.tokenizers.comparing import memory
from paribus.text.tokenizers.comparing.conditions import conditions_of
from paribus.text.tokenizers.comparing.contenders import Contender
from paribus.text.tokenizers.comparing.measuring import Measures, measure
from paribus.text.tokenizers.comparing.parity import parity
from paribus.text.tokenizers.comparing.pieces import shown_tokens
from paribus.text.tokenizers.comparing.sides import SideText
from paribus.text.tokenizers.methods import Corpus, get_method, train_tokenizer
from paribus.text.tokenizers.opening import open_tokenizer
from paribus.text.tokenizers.splits import get_split
from paribus.text.tokenizers.training import write_tokenizer

Send = Callable[[dict[str, Any]], None]
_TOLD_SECONDS = 0.25


@dataclass
class _Telling:
    """Steps of progress as messages, a few a second."""

    send: Send
    stage: str
    total: int
    _done: int = 0
    _said: float = 0.0

    def __call__(self, more: int) -> None:
        self._done += more
        now = time.monotonic()
        if not self._said or now - self._said >= _TOLD_SECONDS or self._done >= self.total:
            self._said = now
            self.send({"stage": self.stage, "done": min(self._done, self.total), "total": self.total})


def work(job: dict[str, Any], *, send: Send) -> dict[str, Any]:
    """The row of one contender; its tokenizer is written to `job["folder"]` if it was trained here.

    Raises `RequestError` for a recipe that the text does not allow.
    """
    data, contender = load_dataset(job["data"]), Contender.from_dict(job["contender"])
    row: dict[str, Any] = {"label": contender.label, "path": contender.path, "training": None}
    if contender.recipe is not None:
        row["training"] = _train(contender, data, job, send)

    def opens() -> Tokenizer:
        if contender.path is not None:
            return get_tokenizer(contender.path)
        return open_tokenizer(Path(job["folder"]))

    tokenizer = opens()
    split, most = data.heldout, job["score_bytes"]
    told = _Telling(send, "measuring", SideText(split, data.open_tokenizer(), most_bytes=most).expected_bytes)
    texts = list(SideText(split, data.open_tokenizer(), most_bytes=most, told=told))
    measures = Measures(split=get_split(job["split"]), alpha=job["alpha"], over=job["over"])
    row |= {"name": tokenizer.name, "conditions": conditions_of(tokenizer)}
    row |= measure(opens, texts, split.groups, measures)
    row["parity"] = parity(tokenizer, job["parallel"]) if job["parallel"] else None
    row["sentence"] = shown_tokens(tokenizer, job["sentence"])
    return row


def _train(contender: Contender, data: Dataset, job: dict[str, Any], send: Send) -> dict[str, Any]:
    """Train and write; seconds include the reading of the text, which is the same for everybody."""
    assert contender.recipe is not None
    expected = SideText(data.train, data.open_tokenizer(), most_bytes=job["train_bytes"]).expected_bytes
    telling = _Telling(send, "training", expected)
    text = SideText(data.train, data.open_tokenizer(), most_bytes=job["train_bytes"], told=telling)
    get_method(contender.recipe.method)  # the library that a method comes from is not its own cost
    before = memory.resident()
    memory.forget_peak()
    began = time.perf_counter()
    tokenizer = train_tokenizer(contender.recipe, Corpus(lambda: text))
    seconds = time.perf_counter() - began
    peak = memory.resident(peak=True)
    seen = {"documents": text.documents, "bytes": text.bytes}
    tokenizer.trained_on |= {"source": data.name, "side": "train", "seen": seen}
    write_tokenizer(tokenizer, Path(job["folder"]))
    return {
        "documents": text.documents,
        "bytes": text.bytes,
        "seconds": seconds,
        "mb_per_second": text.bytes / 1e6 / seconds,
        "peak_bytes": None if peak is None or before is None else max(0, peak - before),
    }


def main() -> None:
    """`python -m paribus.text.tokenizers.comparing.worker`; see `processes.py`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us stops us
    # What libraries print must not mix with the messages.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: dict[str, Any]) -> None:
        try:
            out.write(json.dumps(message) + "\n")
            out.flush()
        except BrokenPipeError:
            os._exit(0)

    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_until_closed, daemon=True).start()
    try:
        send({"row": work(job, send=send)})
    except ParibusError as error:
        send({"error": type(error).__name__, "message": str(error)})


def _until_closed() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
