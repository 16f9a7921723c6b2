"""First draws, keyed by name: the same parameter has the same draw whatever stands beside it.

A draw depends on (seed, canonical name) through a generator of its own, on the parameter's shape, and on
nothing else; its scale depends on its role. So two models that differ in one part agree bit for bit in
everything they share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import nn

from paribus.errors import RequestError, nearest
from paribus.model.block import Block
from paribus.model.config import SLOTS, ModelConfig
from paribus.model.transformer import Transformer, slot_of
from paribus.ops.sharded import placed
from paribus.parts.init import SCHEMES, Role

#: In `salted`: every parameter gets another draw.
EVERYTHING = "*"


def build(
    config: ModelConfig, *, seed: int, scheme: str = "fan_in", device: torch.device | str = "cpu"
) -> Transformer:
    """A `Transformer` of this config with every parameter drawn; the global generator is not touched."""
    model = allocate(config, device=device)
    initialise(model, seed=seed, scheme=scheme)
    return model


def allocate(config: ModelConfig, *, device: torch.device | str = "cpu") -> Transformer:
    """A `Transformer` on its device, its buffers as its parts made them and its parameters yet to be drawn."""
    with torch.random.fork_rng(), torch.device(device):  # modules draw from the global generator when made
        return Transformer(config)


def initialise(
    model: Transformer,
    *,
    seed: int,
    scheme: str = "fan_in",
    salted: Collection[str] = (),
    ffn_output_gain: float = 1.0,
) -> None:
    """Draw every parameter of `model` in place.

    A parameter with a drawn role gets N(0, std²) from the generator of sha256(seed, name), std = scheme(role)
    times the gain of the block's residual placement; a constant starts where its role says. The parameters of
    the slots in `salted` (or all, for `EVERYTHING`) get other draws of the same distribution, and all others the
    same. Output matrices of feed-forward layers are scaled by `ffn_output_gain` beside. Raises `RequestError` for
    an unknown scheme or slot, or a parameter whose part does not say its role.
    """
    if scheme not in SCHEMES:
        raise RequestError(f"there is no initial scheme {scheme!r}; {nearest(scheme, SCHEMES)}")
    for wanted in salted:
        if wanted not in (*SLOTS, EVERYTHING):
            raise RequestError(f"there is no slot {wanted!r}; {nearest(wanted, SLOTS)}")
    for name, parameter, role, gain in roles(model):
        with torch.no_grad():
            if role.start is not None:
                parameter.fill_(role.start)
                continue
            slot = slot_of(name)
            salt = "/salted" if slot in salted or EVERYTHING in salted else ""
            if slot == "ffn" and role.kind == "output":
                gain *= ffn_output_gain
            draw = torch.randn(
                parameter.shape, generator=_generator(f"{seed}/{name}{salt}"), dtype=torch.float32
            )
            parameter.copy_(placed(draw.mul_(SCHEMES[scheme](role) * gain), like=parameter))


def roles(model: Transformer) -> Iterator[tuple[str, nn.Parameter, Role, float]]:
    """Canonical name, parameter, role and placement gain of every parameter, each exactly once."""
    known: dict[str, tuple[Role, float]] = {}
    for prefix, module in model.named_modules():
        given: Any = getattr(module, "roles", None)
        if given is None:
            continue
        block = _block_of(model, prefix)
        for relative, role in given().items():
            gain = block.residual.gain(role) if block is not None else 1.0
            known[f"{prefix}.{relative}" if prefix else relative] = (role, gain)
    for name, parameter in model.named_parameters():
        if name not in known:
            raise RequestError(
                f"nothing says how {name} starts: the part's roles() must name each of its own parameters"
            )
        yield (name, parameter, *known[name])


def _block_of(model: Transformer, prefix: str) -> Block | None:
    """The block that a module stands in, if any."""
    words = prefix.split(".")
    for end in range(1, len(words) + 1):
        module = model.get_submodule(".".join(words[:end])) if words[0] else model
        if isinstance(module, Block):
            return module
    return None


def _generator(key: str) -> torch.Generator:
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little", signed=True)
    return torch.Generator().manual_seed(seed)
