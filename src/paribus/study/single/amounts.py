"""Held-out loss against the amount of fine-tuning data: the same run on shares of packed conversations, by seed.

Every share is read the same number of times, so more data means more steps, as in practice: the question is what more
data would be worth, not what else the same compute could do. Which conversations are in a share is drawn from the
seed, smaller shares within larger ones; so the intervals hold the luck of the draw too.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.files.appearing import write_whole
from paribus.study.engine import Listener
from paribus.study.kinds.intervals import over_seeds
from paribus.study.pages.plots.amounts import amounts_plot
from paribus.study.single.preparing import Prepared, make
from paribus.study.single.session import train
from paribus.study.single.settings import RunSettings, resolve
from paribus.text.data.sft import PackedDataset, is_packed, load_packed, subset

RESULTS, PLOT = "results.json", "loss.svg"


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """The request: the settings of every run but for its seed and length, the shares, rising, the seeds and passes."""

    options: Mapping[str, Any]
    overrides: Sequence[str]
    shares: tuple[Fraction, ...]
    seeds: int
    passes: int

    def __post_init__(self) -> None:
        if not is_packed(self.options.get("data") or ""):
            raise RequestError(
                f"{self.options.get('data')} holds no packed conversations: make them with paribus data sft"
            )
        rising = all(low < high for low, high in zip(self.shares, self.shares[1:], strict=False))
        if len(self.shares) < 2 or not rising or not 0 < self.shares[0] <= self.shares[-1] <= 1:
            raise RequestError(
                "--shares takes at least two rising shares up to 1, as in 1/8,1/4,1/2,1; it is "
                + ",".join(map(str, self.shares))
            )
        if self.seeds < 1 or self.passes < 1:
            raise RequestError(f"--seeds and --passes start at 1; they are {self.seeds} and {self.passes}")
        if taken := next(
            (word for word in self.overrides if word.split("=")[0].split(".")[-1] in _TAKEN), None
        ):
            raise RequestError(f"{taken} cannot be set here: shares, seeds and passes decide it")

    def settings(self, share: Fraction, seed: int) -> RunSettings:
        """The run of this share from this seed. Raises `RequestError` for a share under two steps."""
        whole = resolve({**self.options, "seed": seed, "scores": 1}, self.overrides)
        data = load_packed(whole.data)
        steps = self.passes * round(share * data.train.num_rows) // whole.train.batch_size
        if steps < max(2, self.passes):
            raise RequestError(
                f"{share} of {data.train.num_rows:,} rows is too little for {self.passes} passes in batches of "
                f"{whole.train.batch_size}: take a smaller batch_size or larger shares"
            )
        tokens = steps * whole.train.tokens_per_step
        asked = {"seed": seed, "scores": 1, "tokens": tokens, "passes": self.passes}
        return resolve({**self.options, **asked}, self.overrides)

    def runs(self) -> Iterator[tuple[Fraction, int]]:
        """Share and seed of every run, seed by seed."""
        return ((share, seed) for seed in range(self.seeds) for share in self.shares)


_TAKEN = frozenset({"seed", "tokens", "passes", "scores", "seq_len"})


def run(
    asked: Amounts,
    out: Path,
    *,
    listener: Listener,
    say: Callable[[str], None],
    threads: int | None = None,
    command: str | None = None,
) -> dict[str, Any]:
    """Train every share from every seed in folders of `out`, and write results.json and loss.svg there.

    What is finished is read, so the same call goes on after an end. Raises what `session.train` raises.
    """
    for share in asked.shares:  # before any of them runs
        asked.settings(share, 0)
    found: dict[Fraction, list[dict[str, Any]]] = {share: [] for share in asked.shares}
    first: Prepared | None = None
    listener = dataclasses.replace(listener, note=lambda note: None)  # of each run: its end is said here
    for share, seed in asked.runs():
        prepared = make(asked.settings(share, seed))
        first = first or prepared
        label = f"{share.numerator}-of-{share.denominator}-seed-{seed}"
        trained = train(
            prepared,
            out / label,
            listener=listener,
            command=command,
            threads=threads,
            saves=False,
            otherwise="give another --out",
        )
        found[share].append(_point(prepared, trained.result, seed))
        say(f"{share}, seed {seed}: {found[share][-1]['val_bpb']:.4f} bits per byte of held-out answers")
    assert first is not None
    results = _results(asked, first, found)
    write_whole(out / RESULTS, (json.dumps(results, indent=2) + "\n").encode())
    write_whole(out / PLOT, amounts_plot(results).encode())
    return results


def _point(prepared: Prepared, result: Mapping[str, Any], seed: int) -> dict[str, Any]:
    data, train_config = prepared.data, prepared.plan.train
    assert isinstance(data, PackedDataset) and train_config.unique_tokens is not None
    rows = train_config.unique_tokens // train_config.seq_len
    tokens, scored = data.train.counts(subset(data.train, seed=seed, unique_rows=rows))
    before = next((each["val_bpb"] for each in result["scores"] if each["tokens"] == 0), None)
    return {
        "seed": seed,
        "rows": rows,
        "tokens": tokens,
        "loss_bearing": scored,
        "steps": result["steps"],
        "val_bpb": result["val_bpb"],
        "before": before,
    }


def _results(
    asked: Amounts, first: Prepared, found: Mapping[Fraction, list[dict[str, Any]]]
) -> dict[str, Any]:
    points = []
    smaller: list[dict[str, Any]] | None = None
    for share, runs in found.items():
        values = [each["val_bpb"] for each in runs]
        gains = None
        if smaller is not None:
            gains = [low["val_bpb"] - high["val_bpb"] for low, high in zip(smaller, runs, strict=True)]
        points.append(
            {
                "share": str(share),
                **{key: round(sum(each[key] for each in runs) / len(runs)) for key in _COUNTED},
                "val_bpb": over_seeds(values),
                "gain": over_seeds(gains) if gains else None,
                "runs": runs,
            }
        )
        smaller = runs
    return {
        "study": "sft",
        "metric": "bits per byte of held-out answers",
        "data": dict(first.plan.data),
        "finetune": asked.options.get("finetune"),
        "passes": asked.passes,
        "seeds": asked.seeds,
        "rate": first.plan.rate,
        "params": first.params,
        "before": points[0]["runs"][0]["before"],
        "points": points,
    }


_COUNTED = ("rows", "tokens", "loss_bearing", "steps")
