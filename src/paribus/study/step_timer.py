"""A process that trains one model for as long as it is asked to, on as many threads, and says how fast that went.

    python -m paribus.study.step_timer MODEL TRAIN TOKENIZER

The step is a real one at its real shape, forward, backward and optimiser, on ids drawn at random; but it is not
compiled, as that would take longer than all else that `division` does. When stdin closes the process ends.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time

import numpy as np
import torch

from paribus.model.config import ModelConfig
from paribus.model.initialise import initialise
from paribus.text.tokenizers import get_tokenizer
from paribus.train.config import TrainConfig
from paribus.train.optimiser import descend, make_optimiser
from paribus.train.program import Batch, Program

_RATE = 1e-4


class StepTimer:
    """Training steps of one model, on the same batch every time."""

    def __init__(self, model: ModelConfig, train: TrainConfig, *, tokenizer: str) -> None:
        self._program = Program(model, dataclasses.replace(train, compile="off"))
        initialise(self._program.model, seed=0, scheme=train.init_scheme)
        self._optimiser = make_optimiser(self._program.model, train, peak_rate=_RATE)
        vocab = get_tokenizer(tokenizer).vocab_size
        windows = np.random.default_rng(0).integers(vocab, size=(train.batch_size, train.seq_len + 1))
        examples = self._program.objective.examples(windows, seed=0, step=0, tokenizer_vocab=vocab)
        self._batch = Batch.of(examples, self._program.device)
        self._tokens, self._clip = train.tokens_per_step, train.clip

    def time(self, *, threads: int, seconds: float) -> dict[str, float]:
        """Tokens a second on so many threads, and the share of the time that the main thread had a core.

        Steps are done for about so many seconds, but one at least.
        """
        torch.set_num_threads(threads)
        steps, passed = 0, 0.0
        began, began_own = time.perf_counter(), time.thread_time()
        while steps == 0 or passed < seconds:
            self._step()
            steps, passed = steps + 1, time.perf_counter() - began
        return {
            "tokens_per_second": steps * self._tokens / passed,
            "running": (time.thread_time() - began_own) / passed,
        }

    def _step(self) -> None:
        self._program.loss(self._batch).total.backward()
        descend(self._program.model.parameters(), self._optimiser, clip=self._clip)


def main() -> None:
    """Answer requests until stdin closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who asked stops us
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not mix with the answers
    model, train, tokenizer = sys.argv[1:]
    timer = StepTimer(ModelConfig(**json.loads(model)), TrainConfig(**json.loads(train)), tokenizer=tokenizer)
    for line in sys.stdin:
        request = json.loads(line)
        found = timer.time(threads=request["threads"], seconds=request["seconds"])
        out.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
