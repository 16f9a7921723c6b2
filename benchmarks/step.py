"""A training step at the default study's size: ours against `transformers`, side by side in one process.

Every contender is the same architecture (Llama: swiglu, rmsnorm, pre-norm, rope, untied) at the same shape,
compiled, one thread, with fused AdamW and clipping; rounds are interleaved and medians compared. The line
`ours again` is a second copy of ours: how far it is from 1.00 is the noise of the measurement.

    python benchmarks/step.py [--rounds 40] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable

from paribus.study.launch import worker_environment
from paribus.study.settings import resolve

STEPS_A_ROUND = 10

Step = Callable[[], None]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--rounds", type=int, default=40, help=f"interleaved rounds of {STEPS_A_ROUND} steps"
    )
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    environment = worker_environment(given.threads)
    if (
        os.environ.get("OMP_NUM_THREADS") != environment["OMP_NUM_THREADS"]
        or "MALLOC_MMAP_THRESHOLD_" not in os.environ
    ):
        # Thread and allocator settings count only when the process starts with them.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **environment})
    settings = resolve("default", {})
    tokens = settings.train.tokens_per_step
    contenders = _contenders()
    for name, step in contenders.items():
        print(f"compiling {name}", file=sys.stderr)
        for _ in range(5):
            step()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(given.rounds):
        for name, step in contenders.items():
            started = time.perf_counter()
            for _ in range(STEPS_A_ROUND):
                step()
            times[name].append((time.perf_counter() - started) / STEPS_A_ROUND)
    ours = statistics.median(times["ours"])
    rows = []
    for name, values in times.items():
        median = statistics.median(values)
        low, _, high = statistics.quantiles(values, n=4)
        rows.append(
            {
                "name": name,
                "milliseconds": 1e3 * median,
                "quartiles": [1e3 * low, 1e3 * high],
                "tokens_per_second": tokens / median,
                "time_over_ours": median / ours,
            }
        )
    if given.json:
        print(json.dumps({"rounds": given.rounds, "threads": given.threads, "rows": rows}, indent=2))
        return
    print(f"{'':34}{'ms a step':>10}{'quartiles':>16}{'tokens/s':>10}{'time / ours':>12}")
    for row in rows:
        low, high = row["quartiles"]
        print(
            f"{row['name']:34}{row['milliseconds']:10.2f}{low:9.2f}-{high:.2f}"
            f"{row['tokens_per_second']:10,.0f}{row['time_over_ours']:12.2f}"
        )


def _contenders() -> dict[str, Step]:
    """A training step of each, on random tokens of the default study's shape."""
    import torch

    from paribus.model.config import ModelConfig
    from paribus.model.initialise import initialise
    from paribus.train.optimiser import adamw
    from paribus.train.program import Batch, Program

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    settings = resolve("default", {})
    train = settings.train
    section = settings.model_section() | {"d_ff": 256}
    config = ModelConfig(vocab_size=257, max_seq_len=train.seq_len, ffn="swiglu", **section)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 256, (train.batch_size, train.seq_len + 1), generator=generator)

    def ours() -> Step:
        program = Program(config, train)
        examples = Batch(inputs_BT=ids[:, :-1].contiguous(), targets_BT=ids[:, 1:].contiguous())
        initialise(program.model, seed=0)
        optimiser = adamw(program.model, train, peak_rate=1e-3)

        def step() -> None:
            (program.loss(examples)[0].sum() / train.tokens_per_step).backward()
            torch.nn.utils.clip_grad_norm_(program.model.parameters(), train.clip)
            optimiser.step()
            optimiser.zero_grad()

        return step

    def theirs(attention: str, *, masters: bool) -> Step:
        """`masters`: float32 weights under autocast, as trainers do it; else weights in bfloat16 too."""
        from transformers import LlamaConfig, LlamaForCausalLM

        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=config.vocab_size,
                hidden_size=config.d_model,
                intermediate_size=config.d_ff,
                num_hidden_layers=config.num_layers,
                num_attention_heads=config.num_heads,
                max_position_embeddings=config.max_seq_len,
                tie_word_embeddings=False,
                attn_implementation=attention,
                use_cache=False,
            )
        )
        if not masters:
            model = model.to(torch.bfloat16)
        compiled = torch.compile(model, dynamic=False)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

        def step() -> None:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=masters):
                # shift_labels: the model's own loss on these targets, without shifting them once more
                loss = compiled(input_ids=inputs, labels=targets, shift_labels=targets).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), train.clip)
            optimiser.step()
            optimiser.zero_grad()

        return step

    contenders = {"ours": ours(), "ours again": ours()}
    for attention in ("sdpa", "eager"):
        contenders[f"transformers {attention}, autocast"] = theirs(attention, masters=True)
        contenders[f"transformers {attention}, bf16 weights"] = theirs(attention, masters=False)
    return contenders


if __name__ == "__main__":
    main()
