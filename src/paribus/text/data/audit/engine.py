"""The audit of a source, from its text to one plain document of numbers that every view is made from."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paribus.cores import cores
from paribus.errors import RequestError
from paribus.text.data.audit.clusters import Near, near_duplicates, near_of
from paribus.text.data.audit.copies import first_of_text
from paribus.text.data.audit.coverage import covered
from paribus.text.data.audit.dedup import check_out, ledger_of, write_cleaned
from paribus.text.data.audit.examples import cluster_examples, copy_examples, overlap_examples, span_rows
from paribus.text.data.audit.minhash import meeting
from paribus.text.data.audit.reading import Progress, parts_of, read
from paribus.text.data.audit.repeats import FROM_SOURCE, SEEN, find_repeats
from paribus.text.data.audit.runs import Runs
from paribus.text.data.audit.spans import Span, top_spans
from paribus.text.data.audit.store import Store
from paribus.text.data.audit.verdicts import Verdicts, amount
from paribus.text.data.audit.worth import check_plan, worth
from paribus.text.data.building import building_folder
from paribus.text.data.failures import writing
from paribus.text.data.reuse import default_cache
from paribus.text.tokenizers import Tokenizer

FORMAT = 1
NEAR, COMPARING, WRITING = "near duplicates", "held-out text", "cleaned set"
_MOST_SPANS = 20
_BINS = 10


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a source is audited; raises `RequestError` for what cannot be.

    `tokenizer` None is that of a prepared dataset, else bytes. `passes` or `tokens`: the training that is planned.
    `memory` bytes are for sorting; the rest of an audit takes some hundred bytes a document beside it.
    """

    tokenizer: str | None = None
    against: str | None = None
    text_field: str = "text"
    ngrams: tuple[int, ...] = (13, 50)
    similarity: float = 0.8
    passes: float | None = None
    tokens: float | None = None
    dedup: Path | None = None
    memory: int = 2**30
    workers: int = field(default_factory=cores)

    def __post_init__(self) -> None:
        if not 0.5 <= self.similarity <= 1:
            raise RequestError(
                f"the similarity is {self.similarity:g}: it is a Jaccard similarity from 0.5, below which most pairs "
                "would not be found, to 1"
            )
        if not self.ngrams or any(not 2 <= n <= 10_000 for n in self.ngrams):
            raise RequestError(
                f"n-grams have 2 to 10,000 tokens, as in 13,50; asked for: {', '.join(map(str, self.ngrams)) or 'none'}"
            )
        if self.workers < 1:
            raise RequestError(f"an audit takes at least 1 worker; it is {self.workers}")
        if self.memory < 2**20:
            raise RequestError(f"sorting takes at least 1 MiB of memory; it is {self.memory:,} bytes")
        check_plan(self.passes, self.tokens)


def audit(
    source: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """How repeated the text of `source` is, as plain data; the same for any number of workers, but for `seconds`.

    `source` is what `prepare` takes or the folder of a prepared dataset. Texts and tokens lie in `cache` while this runs.
    `progress(stage, done, total, unit)` is told how far each stage is. Raises `RequestError` for a source that cannot be
    read, `WorkError` for a full disk.
    """
    settings = settings or Settings()
    tell = progress or _tell_nobody
    began = time.monotonic()
    if settings.dedup is not None:
        check_out(settings.dedup)
    part, heldout, tokenizer = parts_of(
        os.fspath(source),
        against=settings.against,
        text_field=settings.text_field,
        tokenizer=settings.tokenizer,
    )
    workers = settings.workers
    place = Path(os.path.expanduser(cache)) if cache is not None else default_cache()
    with building_folder(place / "audits", key=f"{os.getpid()}-{time.monotonic_ns()}") as folder:
        store, left_out = read(
            part,
            heldout,
            tokenizer=tokenizer,
            folder=folder,
            workers=workers,
            progress=tell,
            keep_lines=settings.dedup is not None,
        )
        try:
            first = first_of_text(store.rows["digest"])
            verdicts = _verdicts(store, first, settings, tell)
            repeated = [
                _ngrams(store, n, tokenizer, settings, tell, spans=n == max(settings.ngrams))
                for n in sorted(set(settings.ngrams))
            ]
            results = _results(store, verdicts, repeated, settings)
            results["source"] |= {
                "name": part.name,
                "place": part.place,
                "left_out": left_out,
                "tokenizer": tokenizer.name,
            }
            if heldout is not None:
                results["heldout"] = {"name": heldout.name, "place": heldout.place} | _overlap(
                    store, first, repeated, settings, tell
                )
            if settings.dedup is not None:
                tell(WRITING, 0, store.sources, "documents")
                with writing(settings.dedup.parent):
                    write_cleaned(store, verdicts, settings.dedup, text_field=settings.text_field)
                tell(WRITING, store.sources, store.sources, "documents")
                results["dedup"] = {
                    "cleaned": str(settings.dedup),
                    "ledger": str(ledger_of(settings.dedup)),
                }
        finally:
            store.close()
    return results | {"seconds": time.monotonic() - began}


def _verdicts(store: Store, first: npt.NDArray[np.int64], settings: Settings, tell: Progress) -> Verdicts:
    different = np.flatnonzero(first[: store.sources] == np.arange(store.sources))
    near = near_duplicates(
        store,
        different,
        least=settings.similarity,
        workers=settings.workers,
        told=lambda done, total: tell(NEAR, done, total, "documents"),
    )
    return Verdicts(store=store, first=first[: store.sources], near=near)


@dataclass(frozen=True)
class _Repeated:
    """Of one n: tokens of each document inside a run that was there before, or before in the source; top spans."""

    n: int
    seen: npt.NDArray[np.int64]
    from_source: npt.NDArray[np.int64]
    spans: list[dict[str, Any]]


def _ngrams(
    store: Store, n: int, tokenizer: Tokenizer, settings: Settings, tell: Progress, *, spans: bool
) -> _Repeated:
    ends = store.token_ends
    runs = Runs(tokens=store.tokens, ends=ends, length=n)
    path = store.folder / f"flags-{n}"
    found = find_repeats(
        runs,
        path,
        source_tokens=store.source_tokens,
        memory=settings.memory,
        workers=settings.workers,
        told=lambda done, total: tell(f"{n}-grams", done, total, "runs"),
    )
    seen = covered(found.flags, SEEN, n, ends)
    apart = store.sources < len(store.rows)
    from_source = covered(found.flags, FROM_SOURCE, n, ends) if apart else np.zeros_like(seen)
    top: list[Span] = top_spans(runs, found, most=_MOST_SPANS, workers=settings.workers) if spans else []
    path.unlink(missing_ok=True)  # it is as long as the tokens
    return _Repeated(n, seen, from_source, span_rows(store, top, tokenizer))


def _results(
    store: Store, verdicts: Verdicts, repeated: list[_Repeated], settings: Settings
) -> dict[str, Any]:
    own = slice(0, store.sources)
    measure = partial(amount, store, of=own)
    total = measure(np.ones(store.sources, dtype=bool))
    kept = measure(verdicts.kept)
    heads, sizes = verdicts.clusters()
    numbers, clusters = np.unique(sizes, return_counts=True)
    return {
        "format": FORMAT,
        "source": {name: total[name] for name in ("documents", "bytes", "tokens")},
        "exact": measure(verdicts.copies) | {"largest": copy_examples(store, verdicts)},
        "near": measure(verdicts.near_duplicates)
        | {
            "similarity": settings.similarity,
            "found_at_similarity": meeting(settings.similarity),
            "pairs_compared": verdicts.near.compared,
            "clusters": len(heads),
            "sizes": [list(pair) for pair in zip(numbers.tolist(), clusters.tolist(), strict=True)],
            "largest": cluster_examples(store, verdicts),
        },
        "kept": kept,
        "ngrams": [_ngram_row(store, each.n, each.seen[own], store.num_tokens[own]) for each in repeated],
        "spans": repeated[-1].spans,
        "worth": worth(
            tokens=total["tokens"], unique=kept["tokens"], passes=settings.passes, planned=settings.tokens
        ),
    }


def _ngram_row(
    store: Store, n: int, inside: npt.NDArray[np.int64], of: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """Tokens inside repeated n-grams; `documents`: how many have 0 to 10 %, 10 to 20 %, ... of theirs there."""
    shares = inside / np.maximum(of, 1)
    bins = np.bincount(np.minimum((shares * _BINS).astype(np.int64), _BINS - 1), minlength=_BINS)
    return {
        "n": n,
        "tokens": int(inside.sum()),
        "share": float(inside.sum() / max(of.sum(), 1)),
        "documents": bins.tolist(),
    }


def _overlap(
    store: Store,
    first: npt.NDArray[np.int64],
    repeated: list[_Repeated],
    settings: Settings,
    tell: Progress,
) -> dict[str, Any]:
    """What of the held-out text is in the source: the same documents, near duplicates, n-grams."""
    apart = slice(store.sources, len(first))
    measure = partial(amount, store, of=apart)
    same = first[apart] < store.sources
    others = store.sources + np.flatnonzero(~same)
    different = np.flatnonzero(first[: store.sources] == np.arange(store.sources))
    near: Near = near_of(
        store,
        different,
        others,
        least=settings.similarity,
        workers=settings.workers,
        told=lambda done, total: tell(COMPARING, done, total, "documents"),
    )
    total = measure(np.ones(len(same), dtype=bool))
    return {
        **{name: total[name] for name in ("documents", "bytes", "tokens")},
        "exact": measure(same),
        "near": measure(near.of[apart] >= 0),
        "ngrams": [
            _ngram_row(store, each.n, each.from_source[apart], store.num_tokens[apart]) for each in repeated
        ],
        "examples": overlap_examples(store, first, near),
    }


def _tell_nobody(stage: str, done: int, total: int, unit: str) -> None:
    pass
