"""Whether feed-forward layers use what they have: dead units, saturated gates, sizes, gradients."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.model.hidden_rms import MatrixInputs, output_matrices
from paribus.text.data import Dataset
from paribus.train.config import TrainConfig
from paribus.train.probes.base import Probe, backward_on_heldout, check_whole, finite, untouched
from paribus.train.probes.saturation import Saturation, vanishes
from paribus.train.program import Program


@dataclass(frozen=True, kw_only=True)
class HealthProbe(Probe):
    """{tokens, layers: [{dead_units, gate_saturation, hidden_rms, grad_norm}]} over held-out text, at the end.

    `dead_units`: share of hidden units of which the gate (the activation of an ungated layer; where no gate can
    be seen, the hidden vector) is never active: for every token its size is at most `threshold` times the RMS
    over all units and tokens, or it is exactly 0 where the activation is so on an interval, as ReLU is.
    `gate_saturation`: share of pre-activations where the activation has gone flat, as `Saturation` says.
    `hidden_rms`: of what enters the matrices that write to the stream. `grad_norm`: of the layer's parameters
    for the mean loss over these tokens. None stands for what cannot be seen or has no meaning in this layer.

    About `num_tokens` tokens in float32, as parts behave when scored (padding of an encoder's counts too); costs
    one eager pass forward and backward over them, in half batches.
    """

    num_tokens: int = 16_384
    threshold: float = 1e-3

    def __post_init__(self) -> None:
        check_whole("the health probe's num_tokens", self.num_tokens)
        if not isinstance(self.threshold, (int, float)) or not 0 < self.threshold < 1:
            raise RequestError(
                f"the health probe's threshold is a share of the RMS, between 0 and 1; it is {self.threshold!r}"
            )

    def at_end(self, program: Program, data: Dataset, config: TrainConfig, *, seed: int) -> dict[str, Any]:
        layers = [_Layer(block.ffn) for block in program.model.blocks()]
        owners = [(layer, index) for layer in layers for index in range(len(layer.matrices))]

        def remember(number: int, hidden: Tensor) -> None:
            layer, index = owners[number]
            layer.hidden[index].see(hidden.detach().flatten(0, -2))

        @contextlib.contextmanager
        def watching() -> Iterator[None]:
            # For the forward pass alone: the backward pass runs the products again.
            with MatrixInputs([layer.matrices[index] for layer, index in owners], remember):
                yield
            for layer in layers:
                layer.look()

        with untouched(program), contextlib.ExitStack() as hooks:
            for layer in layers:
                hooks.enter_context(layer.hooked())
            tokens = backward_on_heldout(program, data, config, num_tokens=self.num_tokens, watching=watching)
            found = [layer.report(threshold=self.threshold) for layer in layers]
        return {"tokens": tokens, "layers": found}


class _Units:
    """Largest size of each unit, and the mean square of all, over the tokens seen so far."""

    def __init__(self) -> None:
        self.peak: Tensor | None = None
        self.square, self.count = 0.0, 0
        self.latest: Tensor | None = None

    def see(self, value_NU: Tensor) -> None:
        peak = value_NU.abs().amax(0)
        self.peak = peak if self.peak is None else torch.maximum(self.peak, peak)
        self.square += value_NU.double().square().sum().item()
        self.count += value_NU.numel()
        self.latest = value_NU


class _Layer:
    """What is seen of one feed-forward layer.

    The gate is found by the names that our layers have, `gate_activation` of `gate` or `activation` of `up` or
    `gate`, and believed only if the hidden vector is what it would make.
    """

    def __init__(self, ffn: nn.Module) -> None:
        self.ffn = ffn
        self.matrices = output_matrices(ffn)
        self.hidden = [_Units() for _ in self.matrices]
        self.activation, self.linear = _gate_of(ffn)
        self.gate = _Units()
        self.saturation: Saturation | None = None
        self.saturated = 0
        self._outputs: dict[str, Tensor] = {}

    @contextlib.contextmanager
    def hooked(self) -> Iterator[None]:
        """What the linear layers put out is kept until `look`."""
        hooks = []
        for name in ("gate", "value", "up"):
            module = getattr(self.ffn, name, None)
            if self.activation is not None and isinstance(module, nn.Module):
                hooks.append(
                    module.register_forward_hook(
                        lambda _m, _i, output, name=name: self._outputs.update({name: output.detach()})
                    )
                )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def look(self) -> None:
        """Take in a forward pass."""
        before, self._outputs = self._outputs, {}
        if self.activation is None:
            return
        if self.linear not in before:
            self.activation = None
            return
        x = before[self.linear].flatten(0, -2)
        with torch.no_grad():
            value = self.activation(x)
        if self.gate.count == 0:
            if not self._explains(value, before):
                self.activation = None
                return
            self.saturation = Saturation.of(
                self.activation, width=x.shape[-1] // getattr(self.activation, "inputs", 1)
            )
        self.gate.see(value)
        if self.saturation is not None:
            self.saturated += self.saturation.count(x)

    def _explains(self, gate: Tensor, outputs: dict[str, Tensor]) -> bool:
        """Whether the hidden vector is the gate, or the gate times the value's activation."""
        if len(self.hidden) != 1 or self.hidden[0].latest is None:
            return not self.hidden  # a layer without a matrix back has nothing to compare with
        expected = gate
        if "value" in outputs:
            with torch.no_grad():
                of_value = getattr(self.ffn, "value_activation", nn.Identity())
                expected = gate * of_value(outputs["value"].flatten(0, -2))
        hidden = self.hidden[0].latest
        rms = _rms(self.hidden)
        if hidden.shape != expected.shape or not math.isfinite(rms):
            return False
        return torch.allclose(hidden, expected, rtol=1e-3, atol=1e-4 * rms)

    def report(self, *, threshold: float) -> dict[str, float | None]:
        """The four numbers, each None where it was not seen."""
        seen = [units for units in self.hidden if units.count]
        squares = [
            parameter.grad.double().square().sum()
            for parameter in self.ffn.parameters()
            if parameter.grad is not None
        ]
        saturated = self.saturated / self.gate.count if self.saturation is not None else None
        return {
            "dead_units": self._dead(seen, threshold),
            "gate_saturation": saturated,
            "hidden_rms": finite(_rms(seen)) if seen else None,
            "grad_norm": finite(torch.stack(squares).sum().sqrt()) if squares else None,
        }

    def _dead(self, seen: Sequence[_Units], threshold: float) -> float | None:
        exact = False
        if self.activation is not None and self.gate.peak is not None:
            seen = [self.gate]
            exact = vanishes(self.activation, width=len(self.gate.peak))
        if not seen or not math.isfinite(rms := _rms(seen)):
            return None
        peaks = torch.cat([units.peak for units in seen if units.peak is not None])
        return float((peaks <= (0.0 if exact else threshold * rms)).float().mean())


def _rms(seen: Sequence[_Units]) -> float:
    return math.sqrt(sum(units.square for units in seen) / sum(units.count for units in seen))


def _gate_of(ffn: Any) -> tuple[nn.Module | None, str]:
    """The activation to watch and the linear layer before it."""
    for activation, linear in (("gate_activation", "gate"), ("activation", "up"), ("activation", "gate")):
        found = getattr(ffn, activation, None)
        if isinstance(found, nn.Module) and isinstance(getattr(ffn, linear, None), nn.Module):
            return found, linear
    return None, ""
