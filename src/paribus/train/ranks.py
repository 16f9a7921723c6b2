"""The processes that train one model together: torchrun starts them, FSDP2 shards the model over them.

Each holds its part of every parameter, gradient and moment, and reads its rows of every batch. The batch is the same
however many they are, and gradients are summed over it; so a run on several processes is that on one, to rounding.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._pytree import tree_map_only

from paribus.errors import ParibusError, RequestError, WorkError
from paribus.model.meta import parameters_as_shapes
from paribus.ops.sharded import whole
from paribus.train.objectives import Examples

if TYPE_CHECKING:
    from paribus.model.transformer import Transformer

# Of an exchange while the model trains: longer than any file takes to be written.
_PATIENCE = datetime.timedelta(hours=1)
# Of those who wait while one process prepares a large text.
_PATIENCE_WITH_TEXT = datetime.timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process, `rank` of `size`, and of those on this machine `local_rank` of `local_size`.

    `shard`, `total`, `most`, `check_same`, `gather`, `collect` and `first_on_each_machine` are collective: every process
    calls them, in one order. Alone they change nothing.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    while_text_is_read: dist.ProcessGroup | None = None  # the same processes, with more patience

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """This process's GPU, else the CPU."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", torch.cuda.current_device())  # which `joined` has set

    def rows(self, examples: Examples) -> Examples:
        """The rows of a batch that this process reads. Raises `RequestError` unless all get as many."""
        if self.size == 1:
            return examples
        self.check_batch(len(examples.targets))
        share = len(examples.targets) // self.size
        return examples.take(np.arange(self.rank * share, (self.rank + 1) * share))

    def check_batch(self, rows: int) -> None:
        """Raises `RequestError` for a batch of so many rows that cannot be shared out evenly."""
        if rows % self.size:
            raise RequestError(
                f"train.batch_size is {rows}, which {self.size} processes cannot share evenly: take a multiple of "
                f"{self.size}"
            )

    def check_model(self, model: Transformer) -> None:
        """Raises `RequestError` for a part to which each process's rows would be another batch, or that cannot be shared."""
        if self.size == 1:
            return
        unfit = next((module for module in model.modules() if getattr(module, "over_batch", False)), None)
        if unfit is not None:
            raise RequestError(
                f"{type(unfit).__name__} takes statistics over the whole batch, of which each of {self.size} processes "
                "sees a part: train it in one"
            )
        for name, buffer in model.named_buffers():
            if buffer.is_meta:
                raise RequestError(
                    f"{name} is computed from a parameter before that is drawn, which {self.size} processes that share the "
                    "model cannot do: train it in one"
                )
        for name, parameter in model.named_parameters():
            if parameter.ndim == 0 or parameter.dtype != torch.float32:
                raise RequestError(
                    f"{name} cannot be shared by {self.size} processes: it is {parameter.dtype} of shape "
                    f"{list(parameter.shape)}, and should be float32 with at least one axis"
                )

    def building(self) -> AbstractContextManager[None]:
        """Where a model for `shard` is made: of several processes none needs the room for all of it."""
        return nullcontext() if self.size == 1 else parameters_as_shapes()

    def shard(self, model: Transformer) -> None:
        """Give this process its part of every parameter, undrawn; forward passes gather a block's while it runs."""
        if self.size == 1:
            return
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

        self.check_model(model)
        mesh = init_device_mesh(self.device.type, (self.size,))
        for block in model.blocks():
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        for module in model.modules():
            if isinstance(module, FSDPModule):  # a loss is a sum over the batch, not a mean of the processes'
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)
                # A part may use a parameter for the rows of one process only.
                module.set_reduce_scatter_unused_params(True)
        register_fsdp_forward_method(model, "stream")
        device = self.device
        model._apply(lambda tensor: torch.empty_like(tensor, device=device) if tensor.is_meta else tensor)

    def shard_again(self, model: Transformer) -> None:
        """Give back what forward passes without a backward one have gathered."""
        if self.size == 1:
            return
        from torch.distributed.fsdp import FSDPModule

        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def share_of(self, machine_bytes: int) -> int:
        """Of a machine's memory what one process may use: all of its GPU's, or an equal share."""
        return machine_bytes if torch.cuda.is_available() else machine_bytes // self.local_size

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def most(self, *numbers: int) -> tuple[int, ...]:
        """The largest over the processes, of each number: what one of them knows, all learn. Waits for no GPU."""
        if self.size == 1:
            return numbers
        largest = torch.tensor(numbers, dtype=torch.int64)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        return tuple(largest.tolist())

    def check_same(self, number: int, what: str) -> None:
        """Raises `RequestError` unless every process has the same number, of at most 63 bits."""
        largest, negated = self.most(number, -number)
        if largest != -negated:
            raise RequestError(
                f"the {self.size} processes have not the same {what}: take a disk that all machines share"
            )

    def gather(self, rows_BR: Tensor) -> Tensor:
        """Of batches [B] the rows [R] of every process, [B, R · size], in the order of `rows`."""
        if self.size == 1:
            return rows_BR
        parts = [torch.empty_like(rows_BR) for _ in range(self.size)]
        dist.all_gather(parts, rows_BR)
        return torch.cat(parts, dim=1)

    def collect(self, tree: Any) -> Any:
        """Tensors in dicts and lists with the parts of every process, for the first, on the CPU; None for the others."""
        if self.size == 1:
            return tree

        def collected(tensor: Tensor) -> Tensor | None:
            full = whole(tensor)
            return full.cpu() if self.is_first else None

        return tree_map_only(Tensor, collected, tree)

    @contextmanager
    def first_on_each_machine(self) -> Iterator[None]:
        """Let one process of each machine through, and the others when it is done: what it leaves in a cache is there."""
        if self.local_rank:
            dist.barrier(self.while_text_is_read)
        yield
        if self.size > 1 and not self.local_rank:
            dist.barrier(self.while_text_is_read)


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun has started with this one; alone without torchrun.

    Raises `WorkError` where another of them has ended before its time, and `RequestError` for more processes than GPUs.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE
        return
    numbers = {
        "rank": "RANK",
        "size": "WORLD_SIZE",
        "local_rank": "LOCAL_RANK",
        "local_size": "LOCAL_WORLD_SIZE",
    }
    given = {name: int(os.environ[variable]) for name, variable in numbers.items()}
    on_gpus = torch.cuda.is_available()
    if on_gpus:
        if given["local_size"] > (gpus := torch.cuda.device_count()):
            raise RequestError(
                f"torchrun has started {given['local_size']} processes here, and there are {gpus} GPUs: start one for each"
            )
        torch.cuda.set_device(given["local_rank"])
    # Numbers that processes tell each other go over the CPU, so that none waits for its GPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo", timeout=_PATIENCE)
    patient = dist.new_group(backend="gloo", timeout=_PATIENCE_WITH_TEXT)
    try:
        yield Ranks(**given, while_text_is_read=patient)
    except ParibusError:
        raise
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise WorkError(
                f"process {given['rank']} of {given['size']} stops, as another one has ended"
            ) from error
        raise
    # Not after an error: the others would end before this one has said what it was.
    dist.destroy_process_group()
