import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from paribus import registry
from paribus.model.initialise import build
from paribus.text.data import Dataset, heldout_windows
from paribus.train.evaluation import evaluate, heldout_examples
from paribus.train.objectives import get_objective
from paribus.train.program import Batch, Program
from paribus.train.run import RunResult, Watch, run

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
    assert seen[0] == 41  # the checkpoint is of step 40: looks are at 1, 20, 40
    assert _facts(resumed) == _facts(undisturbed)
    assert not path.exists()


def test_a_broken_checkpoint_means_a_fresh_start(program: Program, data: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    path.write_bytes(b"half a checkpo")
    assert _facts(run(program, data, TRAIN, seed=0, rate=1e-2, checkpoint=path)) == _facts(
        run(program, data, TRAIN, seed=0, rate=1e-2)
    )


def test_nothing_of_a_checkpoint_that_cannot_be_used_stays(data: Dataset, tmp_path: Path) -> None:
    path, model = tmp_path / "run.pt", dataclasses.replace(MODEL, norm="batchnorm")
    run(Program(model, TRAIN), data, TRAIN, seed=0, rate=3e-2, checkpoint=path, keep_checkpoint=True)
    saved = torch.load(path, weights_only=True)
    torch.save({**saved, "optimiser": {"of another": "version"}}, path)
    assert _facts(run(Program(model, TRAIN), data, TRAIN, seed=0, rate=1e-2, checkpoint=path)) == _facts(
        run(Program(model, TRAIN), data, TRAIN, seed=0, rate=1e-2)
    )


def test_divergence_is_seen_at_the_same_step_wherever_a_run_was_cut(data: Dataset, tmp_path: Path) -> None:
    model = dataclasses.replace(MODEL, ffn="relu2", norm="none")
    train = dataclasses.replace(TRAIN, tokens=64 * 100, clip=0.0, warmup=0.9)

    def diverge(**how: Any) -> RunResult:
        return run(Program(model, train), data, train, seed=3, rate=100.0, **how)

    def dies(done: int, total: int) -> None:
        if done == 5:
            raise Killed

    path, undisturbed = tmp_path / "run.pt", diverge()
    assert undisturbed.status == "diverged" and undisturbed.tokens < train.tokens
    with pytest.raises(Killed):
        diverge(checkpoint=path, checkpoint_seconds=0.0, progress=dies)
    assert path.exists() and str(_facts(diverge(checkpoint=path))) == str(_facts(undisturbed))


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
    score = evaluate(program, data, TRAIN)
    nats_per_token, bpb = score.nats_per_token, score.bits_per_byte
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
    other = run(program, data, TRAIN, seed=0, rate=1e-2, salted=[salted] if salted else [])
    assert (plain.val_bpb == other.val_bpb) == (salted is None)


RANDOM_PART = """
import torch
from paribus import FeedForward

class Forgetful(FeedForward):
    def __init__(self, *, d_model, d_ff):
        super().__init__(d_model=d_model, d_ff=d_ff)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return torch.nn.functional.dropout(super().forward(x), 0.2) * (1 + self.calls / 1000)
"""


def test_random_and_stateful_parts_are_functions_of_the_seed_too(data: Dataset, tmp_path: Path) -> None:
    part = tmp_path / "part.py"
    part.write_text(RANDOM_PART)
    program = Program(dataclasses.replace(MODEL, ffn=f"{part}:Forgetful"), TRAIN)
    before = torch.get_rng_state()
    first, again, other = (run(program, data, TRAIN, seed=seed, rate=1e-2) for seed in (0, 0, 1))
    assert _facts(first) == _facts(again)
    assert first.val_bpb != other.val_bpb
    assert torch.equal(torch.get_rng_state(), before)


def test_a_random_part_draws_after_a_resumption_what_it_would_have_drawn(
    data: Dataset, tmp_path: Path
) -> None:
    part = tmp_path / "part.py"
    part.write_text(RANDOM_PART.replace("self.calls += 1", "pass"))
    program = Program(dataclasses.replace(MODEL, ffn=f"{part}:Forgetful"), TRAIN)
    undisturbed = run(program, data, TRAIN, seed=0, rate=1e-2)

    def dies(done: int, total: int) -> None:
        if done == 45:
            raise Killed

    checkpoint = tmp_path / "run.pt"
    with pytest.raises(Killed):
        run(
            program,
            data,
            TRAIN,
            seed=0,
            rate=1e-2,
            checkpoint=checkpoint,
            checkpoint_seconds=0.0,
            progress=dies,
        )
    resumed = run(program, data, TRAIN, seed=0, rate=1e-2, checkpoint=checkpoint)
    assert _facts(resumed) == _facts(undisturbed)


def test_gradients_that_an_earlier_run_left_do_not_count(program: Program, data: Dataset) -> None:
    clean = run(program, data, TRAIN, seed=0, rate=1e-2)
    for parameter in program.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert _facts(run(program, data, TRAIN, seed=0, rate=1e-2)) == _facts(clean)


def test_a_checkpoint_that_fits_in_part_means_a_fresh_start(
    program: Program, data: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "run.pt"
    weights = {name: torch.ones_like(value) for name, value in program.model.state_dict().items()}
    torch.save({"model": weights, "optimiser": {"of": "another model"}, "state": {}}, path)
    assert _facts(run(program, data, TRAIN, seed=0, rate=1e-2, checkpoint=path)) == _facts(
        run(program, data, TRAIN, seed=0, rate=1e-2)
    )


def test_evaluation_pads_without_changing_strides(program: Program, data: Dataset) -> None:
    """Other strides than in training would compile a second graph."""
    seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    loss = program.loss

    def watched(batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        seen.add((batch.inputs_BT.stride(), batch.targets_BT.stride()))
        return loss(batch)

    program.loss = watched
    run(program, data, TRAIN, seed=0, rate=1e-2)
    assert len(seen) == 1


@pytest.mark.parametrize("ffn", sorted(registry.catalog()["ffn"]))
def test_swapping_the_ffn_leaves_every_batch_and_shared_draw_bit_identical(data: Dataset, ffn: str) -> None:
    """Seen from inside a run: what the loss is given, and the weights it starts from."""

    def seen(name: str) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
        program = Program(dataclasses.replace(MODEL, ffn=name), TRAIN)
        batches: list[torch.Tensor] = []
        starts: dict[str, torch.Tensor] = {}
        loss = program.loss

        def watched(batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
            if not batches:
                starts.update({key: value.clone() for key, value in program.model.state_dict().items()})
            batches.append(torch.stack((batch.inputs_BT, batch.targets_BT)))
            return loss(batch)

        program.loss = watched
        run(program, data, dataclasses.replace(TRAIN, tokens=64 * 5), seed=7, rate=1e-3)
        return batches, {key: value for key, value in starts.items() if ".ffn." not in key}

    (batches, starts), (others, other_starts) = seen("relu"), seen(ffn)
    assert torch.equal(torch.stack(batches), torch.stack(others))
    assert starts.keys() == other_starts.keys()
    assert all(torch.equal(value, other_starts[key]) for key, value in starts.items())


@pytest.mark.parametrize(
    ("architecture", "objective", "scored"),
    [
        ("encoder", "masked_token", 5),
        ("encoder_decoder", "span_corruption", 8),
        ("encoder_decoder", "sequence_to_sequence", 16),
    ],
)
def test_every_architecture_trains_and_is_scored_by_its_objective(
    data: Dataset, architecture: str, objective: str, scored: int
) -> None:
    train = dataclasses.replace(TRAIN, seq_len=32, tokens=128 * 60, objective=objective)
    vocab = get_objective(objective).vocab_size(257, seq_len=32)
    model = dataclasses.replace(MODEL, architecture=architecture, vocab_size=vocab, max_seq_len=40)
    program = Program(model, train)
    first, again = (run(program, data, train, seed=0, rate=1e-2) for _ in range(2))
    assert first.status == "done" and _facts(first) == _facts(again)
    assert first.curve["train_bpb"][-1] < 0.9 * first.curve["train_bpb"][0]
    examples = heldout_examples(program.objective, data, train)
    assert examples.scored().size == scored * len(examples.targets)
    score = evaluate(program, data, train)
    nats, bpb = score.nats_per_token, score.bits_per_byte
    assert bpb == pytest.approx(
        nats * examples.scored().size / math.log(2) / np.sum(examples.scored() < 256), rel=1e-6
    )


def test_a_watched_run_is_scored_on_the_way_and_ends_with_the_same_bits(
    program: Program, data: Dataset
) -> None:
    plain = run(program, data, TRAIN, seed=0, rate=1e-2)
    heard: list[tuple[int, float]] = []
    watch = Watch(score_at={0, 7, 30, 60}, scored=lambda step, bits: heard.append((step, bits)))
    watched = run(program, data, TRAIN, seed=0, rate=1e-2, watch=watch)
    assert [step for step, _ in heard] == [0, 7, 30]  # the end is scored anyhow
    assert watched.scores == [list(each) for each in heard]
    assert heard[0][1] > heard[1][1] > heard[2][1]
    assert _facts(watched) == _facts(plain) | {"scores": watched.scores}


def test_a_run_that_is_told_to_stop_saves_itself(program: Program, data: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    seen: list[int] = []
    stop = Watch(stop=lambda: len(seen) == 25)
    with pytest.raises(KeyboardInterrupt):
        run(
            program,
            data,
            TRAIN,
            seed=0,
            rate=1e-2,
            checkpoint=path,
            watch=stop,
            progress=lambda *at: seen.append(0),
        )
    assert torch.load(path, weights_only=True)["state"]["step"] == 26
    again = run(program, data, TRAIN, seed=0, rate=1e-2, checkpoint=path, keep_checkpoint=True)
    assert _facts(again) == _facts(run(program, data, TRAIN, seed=0, rate=1e-2))
    assert path.exists()


def test_a_run_begins_from_the_weights_it_is_given(program: Program, data: Dataset) -> None:
    other = build(MODEL, seed=7).state_dict()
    given = run(program, data, TRAIN, seed=0, rate=1e-2, weights=lambda model: model.load_state_dict(other))
    drawn = run(program, data, TRAIN, seed=0, rate=1e-2)
    assert given.first_bpb != drawn.first_bpb
