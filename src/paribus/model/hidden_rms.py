"""How large the hidden vector of a feed-forward layer starts out, before anything is trained.

For an input of unit RMS, and over the draws of the weights, a pre-activation is exactly N(0, s²) with
s = std(role) · sqrt(d_model), and gate and value are independent. So the mean square of act(W_up x) is one
integral and that of gate(W_gate x) * value(W_value x) the product of two. Layers of another form are drawn and
measured. Scaling what reads the hidden vector belongs in `initialise`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from paribus.errors import RequestError, nearest
from paribus.model.config import ModelConfig
from paribus.parts.activation.base import Activation
from paribus.parts.ffn.gated import GatedFeedForward
from paribus.parts.ffn.ungated import FeedForward
from paribus.parts.init import SCHEMES, Role

# The trapezoid rule over [-12, 12] deviations: beyond, the density is 1e-32. Fine enough for kinks and jumps.
_REACH, _POINTS = 12.0, 48_001
#: Layers whose hidden vector is the product of activations of matrices, and the names of both.
_MATRICES: Mapping[Any, Mapping[str, str]] = {
    FeedForward: {"up": "activation"},
    GatedFeedForward: {"gate": "gate_activation", "value": "value_activation"},
}
_TOKENS, _UNITS = 256, 4096  # of a measurement: inputs of each draw, and hidden units over all draws


def hidden_rms(config: ModelConfig, *, scheme: str, layer: int = 0) -> float:
    """RMS of the hidden vector (what the matrix back reads) of a layer's feed-forward part as it starts.

    For inputs of unit RMS, over draws of `scheme`, without the gain of the residual placement (which is alike
    in all arms). Two-matrix and gated layers over pointwise activations by quadrature: the square root of
    E[act(s z)²], or of E[gate(s z)²] · E[value(s z)²], z ~ N(0, 1). Others (features that act on each other,
    random slopes, clamped mixes, a user's own) by drawing the built layer with fixed seeds: off by about 1 %.
    Raises `RequestError` for an unknown scheme and for a layer of which no matrix with the role `output` is
    seen to read anything, as there is no hidden vector then.
    """
    if scheme not in SCHEMES:
        raise RequestError(f"there is no initial scheme {scheme!r}; {nearest(scheme, SCHEMES)}")
    card, options = config.part("ffn", layer)
    with torch.random.fork_rng():  # building draws, though what is drawn is not used
        narrow = card.build(d_model=config.d_model, d_ff=2, **options) if card.factory in _MATRICES else None
        matrices = _MATRICES.get(card.factory, {})
        activations = {matrix: getattr(narrow, name) for matrix, name in matrices.items()}
        if not activations or not all(acts_on_each_feature(each, width=2) for each in activations.values()):
            return _measured(lambda: config.build_ffn(layer), config, scheme=scheme, name=card.name)
    with torch.device("meta"):
        roles: Any = config.build_ffn(layer).roles
    square = 1.0
    for matrix, activation in activations.items():
        std = SCHEMES[scheme](roles()[f"{matrix}.weight"]) * math.sqrt(config.d_model)
        square *= _mean_square(activation, std)
    return math.sqrt(square)


def acts_on_each_feature(activation: nn.Module, *, width: int) -> bool:
    """Whether output i is a function of input i alone, and always the same one; tried, not asked.

    `width` is how many features the activation was built for.
    """
    if getattr(activation, "inputs", 1) != 1:
        return False
    if any(getattr(module, "mode_dependent", False) for module in activation.modules()):
        return False
    parameter = next(activation.parameters(), torch.empty(0))
    x = torch.linspace(-1.5, 2.0, width, dtype=parameter.dtype, device=parameter.device)
    other = x.clone()
    other[-1] += 1.0
    with torch.no_grad():
        one, two = activation(x[None]), activation(other[None])
    return one.shape[-1] == width and torch.equal(one[..., :-1], two[..., :-1])


def _mean_square(activation: Activation, std: float) -> float:
    """E[act(std · z)²] for z ~ N(0, 1), in float64."""
    z = torch.linspace(-_REACH, _REACH, _POINTS, dtype=torch.float64)
    density = torch.exp(-z.square() / 2)
    with torch.no_grad():
        # Built for two features, of which the first is taken: what is learned per channel starts alike.
        value = activation.double()(std * z[:, None].expand(-1, 2))[:, 0]
    return float((value.square() * density).sum() / density.sum())


def _measured(build: Callable[[], nn.Module], config: ModelConfig, *, scheme: str, name: str) -> float:
    """Root of the mean square over draws of the whole layer, each with inputs of its own."""
    squares: list[Tensor] = []

    def remember(_: int, hidden: Tensor) -> None:
        squares.append(hidden.double().square().mean())

    for seed in range(max(1, math.ceil(_UNITS / config.d_ff))):
        torch.manual_seed(seed)  # also for what the layer itself draws
        layer = build().train()
        for parameter, role in _roles(layer):
            with torch.no_grad():
                start = role.start
                parameter.fill_(start) if start is not None else parameter.normal_(std=SCHEMES[scheme](role))
        x = torch.randn(_TOKENS, config.d_model)
        x = x / x.square().mean(-1, keepdim=True).sqrt()
        with torch.no_grad(), MatrixInputs(output_matrices(layer), remember):
            layer(x[None])
    if not squares:
        raise RequestError(
            f"ffn {name!r} has no hidden vector that could be measured: no matrix whose role is output is applied "
            "to one"
        )
    return float(torch.stack(squares).mean().sqrt())


class MatrixInputs(TorchFunctionMode):
    """While it is entered, calls `on_input(i, x)` for each product of an x with `matrices[i]`.

    Hooks on modules would miss layers that use their weights as tensors (for a replay, say). Products count
    that are `torch.nn.functional.linear` with the parameter itself, as those of `nn.Linear` are and those of our
    own layers in float32.
    """

    def __init__(self, matrices: Sequence[Tensor], on_input: Callable[[int, Tensor], Any]) -> None:
        super().__init__()
        self._index = {id(matrix): index for index, matrix in enumerate(matrices)}
        self._matrices = matrices  # keeps the ids taken
        self._on_input = on_input

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear:
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            if (index := self._index.get(id(weight))) is not None:
                self._on_input(index, args[0] if args else kwargs["input"])
        return func(*args, **kwargs)


def output_matrices(layer: nn.Module) -> list[nn.Parameter]:
    """The matrices of a part that write to the stream, by their role."""
    return [parameter for parameter, role in _roles(layer) if role.kind == "output" and parameter.ndim == 2]


def _roles(layer: nn.Module) -> Iterator[tuple[nn.Parameter, Role]]:
    for _, module in layer.named_modules():
        given: Any = getattr(module, "roles", dict)
        for name, role in given().items():
            yield module.get_parameter(name), role
