"""Tensors of which each process holds a part (FSDP2, tensor parallelism): made whole, and shared out again.

A tensor that is not shared out is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def whole(tensor: Tensor) -> Tensor:
    """The tensor with the parts of every process; collective where it is shared out."""
    full: Tensor = getattr(tensor, "full_tensor", lambda: tensor)()
    return full


def placed(tensor: Tensor, *, like: Tensor) -> Tensor:
    """A whole tensor that every process has, shared out as `like` of the same shape is."""
    if not is_sharded(like):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    # Without a source rank each process takes its part of what it has itself.
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def load_whole(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state of whole tensors, that every process has, into a module that may be sharded."""
    own = module.state_dict()
    module.load_state_dict(
        {name: placed(tensor, like=own.get(name, tensor)) for name, tensor in state.items()}
    )


def is_sharded(tensor: Tensor) -> bool:
    """Whether it is a `DTensor`; asked without loading the library that they are of."""
    return hasattr(tensor, "full_tensor")
