"""One of two processes that train models together: `python -m tests.train.two_ranks RANK FOLDER CASE...`.

The text and the packed conversations are in FOLDER. Process 0 writes what each case gave into FOLDER/found.json, and its
weights into FOLDER/CASE.pt.
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.model.block import Aux
from paribus.model.config import ModelConfig
from paribus.parts.ffn.ungated import FeedForward
from paribus.text.data import prepare
from paribus.text.data.sft import load_packed
from paribus.text.tokenizers import get_tokenizer
from paribus.train import checkpoint as checkpoints
from paribus.train.config import TrainConfig, objective_for
from paribus.train.examples import Data, scored_per_row
from paribus.train.program import Program
from paribus.train.ranks import ALONE, Ranks
from paribus.train.run import RunResult, Watch, run

SEQ_LEN, STEPS = 16, 24
MODEL: dict[str, Any] = {"d_model": 12, "d_ff": 16, "num_layers": 2, "num_heads": 2}
# With so large an eps, and so low a bound, AdamW's steps depend on how large gradients are.
TRAIN: dict[str, Any] = {
    "tokens": 4 * SEQ_LEN * STEPS,
    "batch_size": 4,
    "seq_len": SEQ_LEN,
    "heldout_tokens": 200,
    "eps": 1e-2,
    "clip": 0.3,
    "compile": "off",
    "dtype": "float32",
}
RATE = 0.02


class Costly(FeedForward):
    """A layer with a loss of its own."""

    def __init__(self, *, d_model: int, d_ff: int) -> None:
        super().__init__(d_model=d_model, d_ff=d_ff, activation="relu")

    def forward(self, x: Tensor) -> tuple[Tensor, Aux]:  # type: ignore[override]
        return super().forward(x), {"loss": 0.05 * self.up.weight.square().sum()}


class Single(FeedForward):
    """A layer with a parameter of one number and no axes."""

    def __init__(self, *, d_model: int, d_ff: int) -> None:
        super().__init__(d_model=d_model, d_ff=d_ff, activation="relu")
        self.beta = nn.Parameter(torch.ones(()))


DAILY: dict[str, dict[str, Any]] = {
    "tied": {"tie_embeddings": True},
    "untied": {"tie_embeddings": False, "head_bias": True, "ffn": "swiglu_learnable", "position": "t5"},
    "unclipped": {"clip": 0.0},
    "muon": {"optimiser": "muon", "weight_decay": 0.05, "num_layers": 1},
    "own_loss": {"ffn": f"{__file__}:Costly"},
    "encoder": {"architecture": "encoder", "norm": "layernorm", "residual": "post"},
    "encoder_decoder": {"architecture": "encoder_decoder", "ffn_memory": "none", "position": "shaw"},
    "packed": {"position": "alibi"},
}


def made(changes: dict[str, Any], folder: Path) -> tuple[ModelConfig, TrainConfig, Data]:
    """A case's model, training and data."""
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    train = TrainConfig(**TRAIN | {name: value for name, value in changes.items() if name in fields})
    model = MODEL | {name: value for name, value in changes.items() if name not in fields}
    objective = objective_for(train, model.get("architecture", "decoder"))
    model |= {
        "vocab_size": objective.vocab_size(257, seq_len=SEQ_LEN),
        "max_seq_len": objective.lengths(SEQ_LEN).longest,
    }
    data: Data
    if model.get("position") == "alibi":
        data = load_packed(folder / "packed")
    else:
        bytes_ = get_tokenizer("bytes")
        data = prepare(str(folder / "text.txt"), tokenizer=bytes_, cache=folder / "cache")
    return ModelConfig(**model), train, data


def trained(
    changes: dict[str, Any],
    folder: Path,
    *,
    ranks: Ranks = ALONE,
    before: Sequence[int] = (),
    **options: Any,
) -> tuple[RunResult, dict[str, Tensor] | None]:
    """What a run of the case gave, and its weights; runs of other seeds come `before` it."""
    model, train, data = made(changes, folder)
    program = Program(model, train, scored_per_row=scored_per_row(data), ranks=ranks)
    for seed in before:
        run(program, data, train, seed=seed, rate=RATE)
    result = run(program, data, train, seed=5, rate=RATE, **options)
    whole = program.whole_model()
    return result, None if whole is None else dict(whole.state_dict())


def facts(result: RunResult) -> dict[str, Any]:
    """What must not depend on how long things took."""
    return {
        "val_bpb": result.val_bpb,
        "first_bpb": result.first_bpb,
        "branch_rms": result.branch_rms,
        "clipped_fraction": result.clipped_fraction,
        "train_bpb": result.curve["train_bpb"],
        "heldout_nats": result.heldout_nats,
        "scores": result.scores,
    }


def stopped(folder: Path, ranks: Ranks, *, between: Callable[[Path], None]) -> dict[str, Any]:
    """A run that one of the processes is told to stop, and that goes on after what happens `between`."""
    path = folder / "stopped.pt"
    steps = 0

    def stop() -> bool:
        nonlocal steps
        steps += 1
        return ranks.rank == 1 and steps == 10

    scored: dict[str, Any] = {"score_at": (6, 18)}
    try:
        trained(DAILY["tied"], folder, ranks=ranks, checkpoint=path, watch=Watch(stop=stop, **scored))
    except KeyboardInterrupt:
        ranks.most(0)
    if ranks.is_first:
        between(path)
    elif between is hide:
        checkpoints.load = lambda *given, **options: None  # the others can read it
    ranks.most(0)
    done: list[int] = []
    result, _ = trained(
        DAILY["tied"],
        folder,
        ranks=ranks,
        checkpoint=path,
        watch=Watch(**scored),
        progress=lambda step, of: done.append(step),
    )
    return facts(result) | {"began": done[0], "left": path.exists()}


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def refusal(call: Callable[..., Any], *given: Any, **options: Any) -> str | None:
    """The sentence with which a call was refused."""
    try:
        call(*given, **options)
    except RequestError as error:
        return str(error)
    return None


def hide(path: Path) -> None:
    """Nothing on the first process."""


def remember(path: Path) -> None:
    """Keep what the first process wrote, for whoever asks what is in it."""
    (path.parent / "kept.pt").write_bytes(path.read_bytes())


def found(case: str, folder: Path, ranks: Ranks) -> Any:
    if case == "numbers":
        own = torch.arange(2.0) + 10 * ranks.rank
        return {
            "most": ranks.most(ranks.rank, 5 - ranks.rank),
            "total": ranks.total(own.clone()).tolist(),
            "gather": ranks.gather(own.view(2, 1)).tolist(),
            "same": [refusal(ranks.check_same, number, "text") for number in (-1, 2**62, ranks.rank)],
        }
    if case == "stopped":
        return stopped(folder, ranks, between=remember)
    if case == "damaged":
        return stopped(folder, ranks, between=damage)
    if case == "hidden":  # the last: it leaves a process that reads no checkpoints
        return stopped(folder, ranks, between=hide)
    if case == "elsewhere":
        (folder / "begun.pt").touch()
        own = folder / ("begun.pt" if ranks.is_first else "of the other.pt")
        return refusal(trained, DAILY["tied"], folder, ranks=ranks, checkpoint=own)
    if case == "again":
        return facts(trained(DAILY["tied"], folder, ranks=ranks, before=[3])[0])
    changes = json.loads(case) if case.startswith("{") else DAILY[case]
    result, weights = trained(changes, folder, ranks=ranks)
    if weights is not None and case in DAILY:
        torch.save(weights, folder / f"{case}.pt")
    return facts(result)


def main(rank: int, folder: Path, cases: list[str]) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    ranks = Ranks(rank=rank, size=2, local_rank=rank, local_size=2)
    gave = {case: found(case, folder, ranks) for case in cases}
    if ranks.is_first:
        (folder / "found.json").write_text(json.dumps(gave))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
