import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from paribus.text.data import Dataset, heldout_windows
from paribus.train.program import Program
from paribus.train.run import RunResult, evaluate, run

from .conftest import MODEL, TRAIN


class Killed(Exception):
    """Stands for a process that ends in the middle of a run."""


def _facts(result: RunResult) -> dict[str, object]:
    """What must not depend on how long things took."""
    facts = dataclasses.asdict(result)
    for clock in ("seconds", "tokens_per_second", "compile_seconds", "peak_memory_bytes"):
        del facts[clock]
    del facts["curve"]["seconds"]
    return facts


def test_training_lowers_the_loss(program: Program, data: Dataset) -> None:
    result = run(program, data, TRAIN, seed=0, rate=1e-2)
    assert result.status == "done"
    assert result.curve["train_bpb"][-1] < 0.8 * result.curve["train_bpb"][0]
    assert result.val_bpb is not None and result.val_bpb < 8


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(program: Program, data: Dataset) -> None:
    first, again, other = (run(program, data, TRAIN, seed=seed, rate=1e-2) for seed in (0, 0, 1))
    assert _facts(first) == _facts(again)
    assert first.val_bpb != other.val_bpb


def test_a_killed_run_resumes_to_the_same_bits(program: Program, data: Dataset, tmp_path: Path) -> None:
    undisturbed = run(program, data, TRAIN, seed=3, rate=1e-2)
    path = tmp_path / "checkpoints" / "run.pt"

    def dies(done: int, total: int) -> None:
        if done == 45:
            raise Killed

    with pytest.raises(Killed):
        run(program, data, TRAIN, seed=3, rate=1e-2, checkpoint=path, checkpoint_seconds=0.0, progress=dies)
    assert path.exists()
    seen: list[int] = []
    resumed = run(
        Program(MODEL, TRAIN),
        data,
        TRAIN,
        seed=3,
        rate=1e-2,
        checkpoint=path,
        progress=lambda done, total: seen.append(done),
    )
    assert seen[0] == 41  # the checkpoint is of step 40
    assert _facts(resumed) == _facts(undisturbed)
    assert not path.exists()


def test_a_broken_checkpoint_means_a_fresh_start(program: Program, data: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    path.write_bytes(b"half a checkpo")
    assert _facts(run(program, data, TRAIN, seed=0, rate=1e-2, checkpoint=path)) == _facts(
        run(program, data, TRAIN, seed=0, rate=1e-2)
    )


def test_a_full_disk_costs_the_checkpoint_and_not_the_run(program: Program, data: Dataset) -> None:
    checkpoint = Path("/proc/no-room-here/run.pt")
    result = run(program, data, TRAIN, seed=0, rate=1e-2, checkpoint=checkpoint, checkpoint_seconds=0.0)
    assert result.status == "done"


def test_a_loss_that_is_not_finite_is_divergence(program: Program, data: Dataset) -> None:
    result = run(program, data, dataclasses.replace(TRAIN, clip=0.0), seed=0, rate=1e30)
    assert result.status == "diverged"
    assert result.val_bpb is None
    assert result.reason is not None and "not finite" in result.reason
    assert result.tokens < TRAIN.tokens


def test_a_final_loss_above_the_first_is_divergence(program: Program, data: Dataset) -> None:
    result = run(program, data, dataclasses.replace(TRAIN, tokens=64 * 4), seed=0, rate=5.0)
    assert result.status == "diverged"
    assert result.reason is not None and "above the first one" in result.reason
    assert result.val_bpb is not None and math.isfinite(result.val_bpb)


def test_bits_per_byte_is_nats_over_the_bytes_of_the_targets(program: Program, data: Dataset) -> None:
    """Written out window by window, without batches or padding."""
    run(program, data, TRAIN, seed=0, rate=1e-2)
    nats_per_token, bpb = evaluate(program, data, TRAIN)
    windows = heldout_windows(data.heldout, seq_len=16, num_tokens=500)
    assert len(windows) == 31  # does not divide by the batch of 4
    nats = 0.0
    for window in windows:
        ids = torch.from_numpy(window)[None]
        logits = program.model(ids[:, :-1], dtype=program.dtype).float()
        nats += F.cross_entropy(logits[0], ids[0, 1:], reduction="sum").item()
    assert nats_per_token == pytest.approx(nats / 496, rel=1e-3)
    assert bpb == pytest.approx(nats / math.log(2) / np.sum(windows[:, 1:] < 256), rel=1e-3)


def test_clipped_share_counts_steps_above_the_bound(program: Program, data: Dataset) -> None:
    tight, loose = (
        run(program, data, dataclasses.replace(TRAIN, clip=clip), seed=0, rate=1e-3) for clip in (1e-6, 1e6)
    )
    assert (tight.clipped_fraction, loose.clipped_fraction) == (1.0, 0.0)


def test_the_curve_covers_the_run(program: Program, data: Dataset) -> None:
    curve = run(program, data, TRAIN, seed=0, rate=1e-2).curve
    assert curve["tokens"][-1] == TRAIN.tokens
    assert len(curve["tokens"]) == len(curve["seconds"]) == len(curve["train_bpb"]) == 50
    assert curve["seconds"] == sorted(curve["seconds"])


@pytest.mark.parametrize("salted", [None, "ffn"])
def test_a_salted_run_is_another_run(program: Program, data: Dataset, salted: str | None) -> None:
    plain = run(program, data, TRAIN, seed=0, rate=1e-2)
    other = run(program, data, TRAIN, seed=0, rate=1e-2, salted_slot=salted)
    assert (plain.val_bpb == other.val_bpb) == (salted is None)
