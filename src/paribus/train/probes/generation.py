"""What a model writes: how much it repeats itself, and how much it copies from the text it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from paribus.errors import RequestError
from paribus.model.generate import generate
from paribus.text.data import Dataset, heldout_windows
from paribus.text.data.sampling import spread_windows
from paribus.train.config import TrainConfig
from paribus.train.probes.base import Probe, check_causal, check_whole, untouched
from paribus.train.probes.copying import Ids, distinct, longest_copy
from paribus.train.program import Program

_GAP = -1  # no token: what is copied does not reach from one window over to the next


@dataclass(frozen=True, kw_only=True)
class GenerationProbe(Probe):
    """Text of a decoder, drawn at temperature 1 from the run's seed after `num_samples` held-out prompts.

    {samples, prompt_tokens, length, distinct: {"1": ..}, longest_copy: {tokens, bytes, text}, heldout: the same
    two of what really follows the prompts}. `distinct` n is distinct n-grams over all n-grams of what was
    written, n = 1 .. `max_n`; `longest_copy` the longest run of it that stands verbatim in the training text (with
    `config.passes`, in the part that the run sees). Prompts are not part of either.

    A prompt has `prompt_tokens` (default: a quarter of seq_len), `length` more are drawn (default: up to
    seq_len, the trained length). Where positions cannot go past the model's max_seq_len, it ends there. In the
    run's dtype. Costs `length` eager passes of one token for all samples, and two readings of the training text
    (about 0.1 seconds a million tokens). Raises `RequestError` (at the start) for another architecture, and
    for prompts that leave no room or do not fit the held-out text.
    """

    num_samples: int = 32
    length: int | None = None
    prompt_tokens: int | None = None
    max_n: int = 3

    def __post_init__(self) -> None:
        for name in ("num_samples", "length", "prompt_tokens", "max_n"):
            if getattr(self, name) is not None:
                check_whole(f"the generation probe's {name}", getattr(self, name))

    def at_start(self, program: Program, data: Dataset, config: TrainConfig, *, seed: int) -> dict[str, Any]:
        check_causal("generation", program)
        self._texts(program, data, config)
        return {}

    def at_end(self, program: Program, data: Dataset, config: TrainConfig, *, seed: int) -> dict[str, Any]:
        texts, prompt = self._texts(program, data, config)
        ids = torch.from_numpy(np.ascontiguousarray(texts[:, :prompt])).to(program.device)
        new = texts.shape[1] - prompt
        with untouched(program):
            if not _gives_numbers(program, ids):  # drawing from nan would end the process on a GPU
                return {"samples": 0, "reason": "the model's logits are not finite"}
            written = generate(
                program.model, ids, max_new_tokens=new, temperature=1.0, seed=seed, dtype=program.dtype
            )
        return {
            "samples": len(texts),
            "prompt_tokens": prompt,
            "length": new,
            **self._measured(written[:, prompt:].cpu().numpy(), data, config),
            "heldout": self._measured(texts[:, prompt:], data, config),
        }

    def _texts(self, program: Program, data: Dataset, config: TrainConfig) -> tuple[Ids, int]:
        """Held-out texts [N, prompt + what is written], and how much of them is prompt."""
        prompt = self.prompt_tokens or max(1, config.seq_len // 4)
        total = prompt + (self.length or max(1, config.seq_len - prompt))
        if total > program.config.max_seq_len and not _reads(program, total):
            total = program.config.max_seq_len
            if total <= prompt:
                raise RequestError(
                    f"the generation probe's prompt_tokens {prompt} leave no room to write: the positions of this "
                    f"model end at {total} tokens"
                )
        # heldout_windows gives one token more than seq_len.
        texts = heldout_windows(data.heldout, seq_len=total - 1, num_tokens=self.num_samples * (total - 1))
        return texts[: self.num_samples], prompt

    def _measured(self, ids_NT: Ids, data: Dataset, config: TrainConfig) -> dict[str, Any]:
        tokenizer = data.open_tokenizer()
        copied = longest_copy(ids_NT, *_seen(data, config))
        return {
            "distinct": {str(n): distinct(ids_NT, n) for n in range(1, self.max_n + 1)},
            "longest_copy": {
                "tokens": len(copied),
                "bytes": int(tokenizer.byte_lengths[copied].clip(min=0).sum()),
                "text": tokenizer.decode(copied),
            },
        }


def _seen(data: Dataset, config: TrainConfig) -> tuple[Callable[[int, int], npt.NDArray[Any]], int]:
    """A reader of the text that training saw, and its length: all of it, or its windows with a gap after each."""
    train = data.train
    if config.unique_tokens is None:
        return train.read, train.num_tokens
    count, period = config.unique_tokens // config.seq_len, config.seq_len + 2  # a target more, and the gap

    def read(start: int, length: int) -> Ids:
        index = np.arange(start // period, min(count, -(-(start + length) // period)))
        starts = spread_windows(train, index, seq_len=config.seq_len, count=count)
        windows = train.windows(starts, config.seq_len + 1).astype(np.int64)
        gapped = np.pad(windows, ((0, 0), (0, 1)), constant_values=_GAP).ravel()
        return gapped[start % period :][:length]

    return read, count * period


def _reads(program: Program, length: int) -> bool:
    """Whether the positions can go so far: tried on one row."""
    ids = torch.zeros(1, length, dtype=torch.long, device=program.device)
    with untouched(program), program.scoring(), torch.no_grad():
        try:
            program.model(ids, dtype=program.dtype)
        except (RequestError, IndexError):
            return False
    return True


def _gives_numbers(program: Program, ids: torch.Tensor) -> bool:
    with program.scoring(), torch.no_grad():
        return bool(program.model(ids, dtype=program.dtype).isfinite().all())
