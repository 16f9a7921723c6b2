"""How long the first training step compiles at several depths, each in a process of its own with an empty cache.

    python benchmarks/compile_time.py [--layers 2 6 24] [--rounds 2]

Models of up to six layers are compiled whole, deeper ones by block, so that time stops growing with depth.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from tempfile import TemporaryDirectory


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--layers", type=int, nargs="+", default=[2, 6, 24])
    options.add_argument("--rounds", type=int, default=2)
    given = options.parse_args()
    found: dict[int, list[float]] = {layers: [] for layers in given.layers}
    by: dict[int, str] = {}
    for _ in range(given.rounds):
        for layers in given.layers:
            by[layers], seconds = _in_a_process(layers)
            found[layers].append(seconds)
    base = statistics.median(found[given.layers[0]])
    print(f"{'layers':>8}{'compiled by':>13}{'seconds':>10}{'spread':>14}{f'/ {given.layers[0]} layers':>12}")
    for layers, seconds in found.items():
        middle, spread = statistics.median(seconds), f"{min(seconds):.1f}-{max(seconds):.1f}"
        print(f"{layers:>8}{by[layers]:>13}{middle:>10.1f}{spread:>14}{middle / base:>12.2f}")


def _in_a_process(layers: int) -> tuple[str, float]:
    """How a model of this depth is compiled, and for how long."""
    with TemporaryDirectory() as cache:
        ran = subprocess.run(
            [sys.executable, "-c", f"from compile_time import measure; measure({layers})"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=os.path.dirname(__file__),
            env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache},
        )
    by, seconds = ran.stdout.split()
    return by, float(seconds)


def measure(layers: int) -> None:
    """Print how the model is compiled, and how much longer its first step takes than its second."""
    import torch

    from paribus.model.config import ModelConfig
    from paribus.model.initialise import initialise
    from paribus.train.config import TrainConfig
    from paribus.train.program import Batch, Program

    config = ModelConfig(
        vocab_size=257,
        d_model=128,
        d_ff=344,
        num_layers=layers,
        num_heads=4,
        max_seq_len=128,
        tie_embeddings=True,
    )
    train = TrainConfig(tokens=409_600, batch_size=32, seq_len=128, compile="on")
    program = Program(config, train)
    initialise(program.model, seed=0)
    ids = torch.randint(257, (32, 129)).to(program.device)
    batch = Batch(inputs_BT=ids[:, :-1].contiguous(), targets_BT=ids[:, 1:].contiguous())
    torch.compile(lambda x: x * 2 + 1)(
        torch.ones(8, device=program.device)
    )  # what every first compilation pays

    def step() -> float:
        began = time.perf_counter()
        program.loss(batch).total.backward()
        program.model.zero_grad()
        return time.perf_counter() - began

    first = step()
    print(program.compiled_by, first - step())


if __name__ == "__main__":
    main()
