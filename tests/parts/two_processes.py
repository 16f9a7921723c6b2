"""One of two processes that hold a layer or a model together: `python -m tests.parts.two_processes RANK FOLDER CASE...`.

A case is `how:part:memory:backend`. Process 0 writes into FOLDER/found.json, for each case, how far the output and
every gradient are from those of one process, or the sentence with which the case was refused.
"""

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from paribus import registry
from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.initialise import build
from paribus.ops.embedding import Embedding

from .comparison import draw, tokens

D, D_FF, B, T, V = 6, 8, 4, 3, 13
MATRICES = ("gate", "value", "up", "down")


def columns_and_rows(layer: nn.Module, mesh: DeviceMesh) -> None:
    """Tensor parallelism: the hidden features are split."""
    present = [name for name in MATRICES if hasattr(layer, name)]
    plan = {name: RowwiseParallel() if name == "down" else ColwiseParallel() for name in present}
    parallelize_module(layer, mesh, plan)


def whole_layer(layer: nn.Module, mesh: DeviceMesh) -> None:
    fully_shard(layer, mesh=mesh, reshard_after_forward=True)


def each_matrix(layer: nn.Module, mesh: DeviceMesh) -> None:
    for name in MATRICES:
        if hasattr(layer, name):
            fully_shard(getattr(layer, name), mesh=mesh, reshard_after_forward=True)
    whole_layer(layer, mesh)


def each_block(model: nn.Module, mesh: DeviceMesh) -> None:
    for block in model.blocks():
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh)


def table_rows(table: nn.Module, mesh: DeviceMesh) -> None:
    """Tensor parallelism: a table's rows are split."""
    parallelize_module(table, mesh, RowwiseParallel(input_layouts=Replicate()))


def table_columns(table: nn.Module, mesh: DeviceMesh) -> None:
    parallelize_module(table, mesh, ColwiseParallel(output_layouts=Replicate()))


SPREAD: dict[str, Callable[[nn.Module, DeviceMesh], None]] = {
    "tensor": columns_and_rows,
    "table_rows": table_rows,
    "table_columns": table_columns,
    "fsdp": whole_layer,
    "fsdp_each": each_matrix,
    "fsdp_model": each_block,
}


def make(how: str, part: str, memory: str) -> tuple[nn.Module, Tensor]:
    """The same module and input in every process."""
    if how == "fsdp_model":
        config = ModelConfig(
            vocab_size=V, d_model=D, d_ff=D_FF, num_layers=2, num_heads=1, ffn=part, ffn_memory=memory
        )
        return build(config, seed=0), torch.arange(B * T).reshape(B, T) % V
    if how.startswith("table"):
        return draw(Embedding(V, D)), torch.arange(B * T).reshape(B, T) % V
    layer = registry.get("ffn", part).build(d_model=D, d_ff=D_FF, bias=True, memory=memory)
    return draw(layer), tokens(B, T, D, dtype=torch.float32).detach()


def results(run: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Output and every gradient of a loss that is a mean over the batch."""
    x = x.clone().requires_grad_(x.is_floating_point())
    y = run(x)
    F.cross_entropy(y.flatten(0, 1), y.new_zeros(y.shape[0] * T, dtype=torch.long)).backward()
    found = {"y": y, "x": x.grad, **{name: p.grad for name, p in module.named_parameters()}}
    return {
        name: t.full_tensor() if isinstance(t, DTensor) else t for name, t in found.items() if t is not None
    }


def errors(case: str, mesh: DeviceMesh) -> dict[str, float]:
    """Largest difference from one process, of every result relative to its size."""
    how, part, memory, backend = case.split(":")
    alone, x = make(how, part, memory)
    together = copy.deepcopy(alone)
    expected = results(alone, alone, x)
    SPREAD[how](together, mesh)
    torch._dynamo.reset()
    run = (
        torch.compile(together, backend=backend, fullgraph=not how.startswith("fsdp"))
        if backend
        else together
    )
    if not how.startswith("fsdp"):
        found = results(run, together, x)
    else:  # each process has half of the batch, and the loss is its mean
        found = results(run, together, x.chunk(2)[mesh.get_rank()])
        expected["y"] = expected["y"].chunk(2)[mesh.get_rank()]
        if "x" in expected:
            expected["x"] = expected["x"].chunk(2)[mesh.get_rank()] * 2
    assert found.keys() == expected.keys()
    return {
        name: ((found[name] - t).abs().max() / t.abs().max().clamp(min=1e-3)).item()
        for name, t in expected.items()
    }


def main(rank: int, folder: Path, cases: list[str]) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    found: dict[str, dict[str, float] | str] = {}
    for case in cases:
        try:
            own = errors(case, mesh)
            both = torch.tensor(list(own.values()))
            dist.all_reduce(both, op=dist.ReduceOp.MAX)
            found[case] = dict(zip(own, both.tolist(), strict=True))
        except RequestError as error:
            found[case] = str(error)
    if rank == 0:
        (folder / "found.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
