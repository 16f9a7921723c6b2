"""The comparison from request to result: the text divided, every contender made and measured, who may be ranked."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, WorkError, nearest, shown
from paribus.text.data.dataset import Dataset
from paribus.text.data.reuse import default_cache
from paribus.text.tokenizers.comparing.conditions import differing
from paribus.text.tokenizers.comparing.contenders import Contender
from paribus.text.tokenizers.comparing.parity import Parallel
from paribus.text.tokenizers.comparing.processes import run_apart
from paribus.text.tokenizers.comparing.renyi import ALPHA
from paribus.text.tokenizers.comparing.sides import SideText, divided
from paribus.text.tokenizers.splits import get_split
from paribus.text.tokenizers.unicode import utf8

#: stage, done, total, unit
Told = Callable[[str, int, int, str], None]
OVER = ("declared", "observed")
_SENTENCE = range(40, 161)  # characters of a line that is shown as an example


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to compare on what. `train_bytes` and `score_bytes` bound the text of each side, None takes all of it.

    `split` cuts the words that fertility counts. `parallel` are lines that say the same, by language. `folder` keeps the
    trained tokenizers, a folder each. Raises `RequestError` for what cannot be.
    """

    source: str
    contenders: tuple[Contender, ...]
    split: str = "gpt4"
    text_field: str = "text"
    held_out: float = 0.1
    train_bytes: int | None = None
    score_bytes: int | None = 4_000_000
    alpha: float = ALPHA
    over: str = "declared"
    parallel: Parallel | None = None
    sentence: str | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        get_split(self.split)
        labels = [each.label for each in self.contenders]
        if len(set(labels)) < len(labels) or not labels:
            raise RequestError(f"contenders have different labels, and there is one at least: {labels}")
        if self.over not in OVER:
            raise RequestError(
                f"the vocabulary is {' or '.join(OVER)}, not {self.over!r}: {nearest(self.over, OVER)}"
            )
        if not 0 < self.alpha < float("inf"):
            raise RequestError(f"alpha is {self.alpha:g}: it is a number above 0")
        if self.sentence is not None and not utf8(self.sentence).strip():
            raise RequestError("the sentence to show is empty")
        for name in ("train_bytes", "score_bytes"):
            if (given := getattr(self, name)) is not None and given < 1:
                raise RequestError(f"{name} is {given}: at least 1 byte is taken")

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, by which two requests are known to be the same."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        contenders = [each.to_dict() for each in self.contenders]
        plain = {
            **fields,
            "contenders": contenders,
            "folder": None if self.folder is None else str(self.folder),
        }
        found: dict[str, Any] = json.loads(json.dumps(plain))
        return found


def _tell_nobody(stage: str, done: int, total: int, unit: str) -> None:
    pass


def compare(request: Request, *, progress: Told = _tell_nobody) -> dict[str, Any]:
    """Train, measure and put in order; the result is plain data.

    A contender that the text does not allow is in `refused` with the reason, and the others go on. `ranked` are the
    lossless ones by bytes a token, which are compared only if they were trained on the same text; `lossy` the others.
    Raises `RequestError` for a source that cannot be used, and if every contender was refused.
    """
    if (folder := request.folder) is not None and folder.exists():
        raise RequestError(f"{shown(folder)} is there already; give a folder that is not")
    data = divided(
        request.source,
        cache=default_cache(),
        text_field=request.text_field,
        held_out=request.held_out,
        progress=lambda done, total: progress("reading text", done, total, "bytes"),
    )
    sentence = request.sentence or example_sentence(SideText(data.heldout, data.open_tokenizer()))
    rows: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="paribus-compare-") as scratch:
        for contender in request.contenders:
            folder = (request.folder or Path(scratch)) / contender.label.replace(":", "-").replace(
                os.sep, "-"
            )
            job = _job(request, contender, data, sentence, folder)

            def told(stage: str, done: int, total: int, label: str = contender.label) -> None:
                progress(f"{stage} {label}", done, total, "bytes")

            try:
                row = run_apart(job, progress=told)
            except (RequestError, WorkError) as error:
                refused.append({"label": contender.label, "reason": str(error)})
                continue
            if same := _same(row, rows):
                refused.append(
                    {"label": row["label"], "reason": f"it is {same} again: the text has no more pieces"}
                )
            else:
                rows.append(row | {"folder": folder.name})
    if not rows:
        raise RequestError("; ".join(f"{each['label']}: {each['reason']}" for each in refused))
    return _result(request, data, sentence, rows, refused)


def example_sentence(texts: SideText) -> str:
    """The first line of held-out text that is a sentence by its length and words; the beginning if there is none."""
    beginning = ""
    for text in texts:
        beginning = beginning or text.strip()[: _SENTENCE[-1]]
        for line in text.splitlines():
            words = [word for word in line.split() if word.isalpha()]
            if len(line.strip()) in _SENTENCE and len(words) >= 6:
                return line.strip()
    return beginning


def _job(
    request: Request, contender: Contender, data: Dataset, sentence: str, folder: Path
) -> dict[str, Any]:
    return {
        "data": str(data.folder),
        "contender": contender.to_dict(),
        "folder": str(folder.absolute()),
        "train_bytes": request.train_bytes,
        "score_bytes": request.score_bytes,
        "split": request.split,
        "alpha": request.alpha,
        "over": request.over,
        "parallel": request.parallel,
        "sentence": sentence,
    }


def _same(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str | None:
    """The label of a row that is the same tokenizer: one method, as large as it gets, by two sizes."""
    for other in rows:
        alike = all(row["conditions"][fact] == other["conditions"][fact] for fact in ("method", "vocab_size"))
        if alike and row["path"] is None is other["path"] and row["tokens"] == other["tokens"]:
            return str(other["label"])
    return None


def _result(
    request: Request,
    data: Dataset,
    sentence: str,
    rows: list[dict[str, Any]],
    refused: list[dict[str, str]],
) -> dict[str, Any]:
    for row in rows:
        row["lossless"] = not row["loses"] and not row["round_trips"]["failed"]
    lossless = sorted(
        (row for row in rows if row["lossless"]),
        key=lambda row: (-row["bytes_per_token"]["value"], row["label"]),
    )
    trained = next((row["training"] for row in rows if row["training"]), None)
    return {
        "source": {
            "name": data.name,
            "sha256": data.sha256,
            "documents": data.documents,
            "bytes": data.bytes,
            "train_bytes": data.train.num_bytes,
            "heldout_bytes": data.heldout.num_bytes,
            "trained_on_bytes": trained["bytes"] if trained else None,
            "scored_bytes": rows[0]["bytes"],
            "scored_documents": rows[0]["documents"],
        },
        "words_of": request.split,
        "renyi": {"alpha": request.alpha, "over": request.over},
        "parity": None
        if request.parallel
        else "parity between languages takes text that says the same in each of them: give --parallel lang=FILE",
        "sentence": sentence,
        "rows": rows,
        "ranked": [row["label"] for row in lossless],
        "lossy": [row["label"] for row in rows if not row["lossless"]],
        "refused": refused,
        "differs": differing(rows),
    }
