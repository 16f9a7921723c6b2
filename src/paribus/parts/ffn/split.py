"""Activations where tensor parallelism has split the hidden features over processes.

`parallelize_module` with `ColwiseParallel` for the layers into the hidden vector and `RowwiseParallel` for `down`
gives each process some of the features as a plain tensor. A pointwise activation need not know; what it learns does,
as each process sees the gradient of its own features only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from paribus.errors import RequestError
from paribus.ops.linear import Linear
from paribus.parts.activation.base import Activation


def of_these_features(
    activation: Activation, arguments: Sequence[Tensor], *, hidden: Tensor, layer: Linear
) -> tuple[Tensor, ...]:
    """The activation's arguments for the features of `hidden`, which `layer` gave, that this process has.

    Numbers for each feature are cut to its own, and the gradient of a number for all is summed over the processes.
    Raises `RequestError` for a split activation that is not known to act on each feature by itself.
    """
    if hidden.shape[-1] == layer.out_features or (activation.pointwise and not arguments):
        return tuple(arguments)
    if not activation.pointwise:
        raise RequestError(
            f"the hidden features are split over processes, and {type(activation).__name__} needs all of a token's; "
            "give it its layer whole"
        )
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard  # slow, and for this case only

    weight: Any = layer.weight

    def own(argument: Tensor) -> Tensor:
        whole = argument
        if not isinstance(whole, DTensor):
            same = [Replicate()] * weight.device_mesh.ndim
            whole = DTensor.from_local(whole, weight.device_mesh, same, run_check=False)
        if argument.shape[-1] == layer.out_features:
            last = [Shard(argument.ndim - 1) if each.is_shard() else each for each in weight.placements]
            return whole.redistribute(placements=last).to_local()
        return whole.to_local(
            grad_placements=[Partial() if each.is_shard() else each for each in weight.placements]
        )

    return tuple(own(argument) for argument in arguments)
