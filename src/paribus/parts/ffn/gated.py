"""The gated feed-forward family: one class and a table of (gate, value) pairs.

    y = W_down (gate(W_gate x) * value(W_value x))

Only the pointwise part is replayed in the backward pass, so two tensors of width d_ff are kept (4 bytes a
token and element in bf16) where the plain form keeps three or four. The option `memory` keeps one of them or
none, and replays products for it. Biases are off, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.ops.activations import rounded_once
from paribus.ops.activations.smooth import swish
from paribus.ops.linear import Linear
from paribus.ops.packed import Packed
from paribus.parts.activation.base import activation_roles, build_activation
from paribus.parts.ffn.mixing import Form, form_of, mixed
from paribus.parts.ffn.replay import Memory, anything_learns, check_memory, product, replayed, stand_in
from paribus.parts.ffn.split import of_these_features
from paribus.parts.init import Roles, matrix_roles
from paribus.registry import part

SHAZEER = "arXiv:2002.05202 (Shazeer 2020)"
DAUPHIN = "arXiv:1612.08083 (Dauphin et al. 2016)"
SHAPES = "x [..., d_model] -> [..., d_model]; gate, value [d_ff, d_model], down [d_model, d_ff]"

_HALVES = (
    "torch.nn.functional.glu gates the second half of its input; here, as in the paper, the gate comes first"
)
_WIDTH = "three matrices: at the width of an ungated layer it has 1.5 times the parameters, so take 2/3 of it"
_NOT_ONE_MATRIX = (
    "x * sigmoid(W x) with a single matrix is another, cheaper layer (self_gate_sigmoid) and not a GLU"
)
_CONFIG = "a config's hidden_act 'silu' does not say whether the layer is gated"
_TANH_FORM = (
    "many checkpoints use the tanh form of GELU; this one is the exact erf form (they differ by up to 5e-4)"
)

_ROWS: tuple[tuple[str, dict[str, Any], str, str, tuple[str, ...]], ...] = (
    # name, options, gate in LaTeX, paper, traps
    ("glu", {"gate": "sigmoid"}, r"\sigma", f"{DAUPHIN}; {SHAZEER}", (_HALVES, _NOT_ONE_MATRIX)),
    (
        "gtu",
        {"gate": "tanh", "value": "sigmoid"},
        r"\tanh",
        f"arXiv:1606.05328 (van den Oord et al. 2016); {DAUPHIN}",
        (),
    ),
    ("bilinear", {"gate": "identity"}, "", f"Mnih & Hinton 2007, as credited by {SHAZEER}", ()),
    ("reglu", {"gate": "relu"}, r"\operatorname{ReLU}", SHAZEER, ()),
    ("geglu", {"gate": "gelu"}, r"\operatorname{GELU}", SHAZEER, (_TANH_FORM,)),
    (
        "geglu_tanh",
        {"gate": "gelu_tanh"},
        r"\operatorname{GELU}_\text{tanh}",
        f"{SHAZEER}; T5 v1.1, Gemma (released code)",
        ("Gemma's config says gelu and means this form",),
    ),
    ("swiglu", {"gate": "silu"}, r"\operatorname{SiLU}", SHAZEER, (_CONFIG,)),
    (
        "swiglu_learnable",
        {"gate": "swish", "gate_options": {"learnable": True}},
        r"\operatorname{Swish}_\beta",
        f"{SHAZEER}; arXiv:1710.05941 (Ramachandran et al. 2017)",
        ("one beta a layer, starting at 1, where it is swiglu",),
    ),
)


class GatedFeedForward(nn.Module):
    """down(gate(W_gate x) * value(W_value x)), for any activations of the registry.

    Takes x [..., d_model] of any floating dtype and gives the same shape and dtype. Three linear layers:
    `gate` and `value` [d_ff, d_model], `down` [d_model, d_ff]; LLaMA calls them w1, w3, w2 or gate_proj,
    up_proj, down_proj. `gate_options` and `value_options` go to the activations.

    `memory` is what it keeps for the backward pass beside x, in bytes a token and element of d_ff in bf16 (twice
    that in float32): "keep" 4, both linear maps; "half" 2, the gate's, and the value's product is replayed (one
    more on the nine of a training step, 11 % of the FLOPs); "none" 0, and both are replayed (22 %).

    Raises `RequestError` for another `memory`, an unknown activation, or one that needs more than one feature for
    each it gives. Source: Shazeer 2020 (arXiv:2002.05202), equations 5 and 6.
    """

    #: Layers that read the same, of which `joint` may be one product.
    together: ClassVar[tuple[str, ...]] = ("gate", "value")

    def __init__(
        self,
        *,
        d_model: int,
        d_ff: int,
        gate: str = "silu",
        value: str = "identity",
        gate_options: Mapping[str, Any] | None = None,
        value_options: Mapping[str, Any] | None = None,
        bias: bool = False,
        memory: Memory = "keep",
    ) -> None:
        super().__init__()
        check_memory(memory, allowed=("keep", "half", "none"))
        self.d_model, self.d_ff, self.has_bias, self.memory = d_model, d_ff, bias, memory
        self.gate_activation = build_activation(gate, gate_options, width=d_ff)
        self.value_activation = build_activation(value, value_options, width=d_ff)
        for name, activation in ((gate, self.gate_activation), (value, self.value_activation)):
            if activation.inputs != 1:
                raise RequestError(
                    f"a gated layer has one feature a gate, and {name} takes {activation.inputs}"
                )
        self.gate = Linear(d_model, d_ff, bias=bias)
        self.value = Linear(d_model, d_ff, bias=bias)
        self.down = Linear(d_ff, d_model, bias=bias)
        self.joint: Packed | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.joint is not None and x.dtype == self.joint.dtype:
            return self._from(*self.joint.split(x))
        gate = None if self.memory == "none" else self.gate(x)
        value = self.value(x) if self.memory == "keep" else None
        like = stand_in(x, self.d_ff) if gate is None else gate
        # What is learned or random goes in as arguments: a replay must see what the forward pass saw.
        of_gate, of_value = self.gate_activation.arguments(like), self.value_activation.arguments(like)
        layers = (self.gate, self.value, self.down)
        weights = [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
        given = (x if value is None else None, gate, value, *weights)
        return replayed(
            self._finish,
            *given,
            len(of_gate),
            *of_gate,
            *of_value,
            # If `down` alone learns, the plain form keeps its input only, which is less than gate and value.
            instead=self.memory == "none" or anything_learns(*given[:-2], *of_gate, *of_value),
        )

    def _from(self, gate: Tensor, value: Tensor) -> Tensor:
        """The output, where nothing is kept for a backward pass."""
        of_gate, of_value = self.gate_activation.arguments(gate), self.value_activation.arguments(value)
        return self.down(self._mixed(gate, value, of_gate, of_value))

    def _finish(
        self,
        x: Tensor | None,
        gate: Tensor | None,
        value: Tensor | None,
        gate_weight: Tensor,
        gate_bias: Tensor | None,
        value_weight: Tensor,
        value_bias: Tensor | None,
        down_weight: Tensor,
        down_bias: Tensor | None,
        of_gate: int,
        *arguments: Tensor,
    ) -> Tensor:
        """The output, from x and those of gate and value that are kept."""
        if gate is None:
            assert x is not None
            gate = product(self.gate, x, gate_weight, gate_bias)
        if value is None:
            assert x is not None
            value = product(self.value, x, value_weight, value_bias)
        to_gate, to_value = arguments[:of_gate], arguments[of_gate:]
        to_gate = of_these_features(self.gate_activation, to_gate, hidden=gate, layer=self.gate)
        to_value = of_these_features(self.value_activation, to_value, hidden=value, layer=self.value)
        mixed = self._mixed(gate, value, to_gate, to_value)
        return product(self.down, mixed, down_weight, down_bias)

    def _mixed(
        self, gate: Tensor, value: Tensor, of_gate: tuple[Tensor, ...], of_value: tuple[Tensor, ...]
    ) -> Tensor:
        """The hidden vector, given what the two activations need beside."""
        return mixed(self.gate_activation, self.value_activation, gate, value, of_gate, of_value)

    @property
    def form(self) -> Form:
        """Whether the hidden vector is made by the Triton kernel, in eager mode where the weights are."""
        if type(self)._mixed is not GatedFeedForward._mixed:
            return "plain"
        return form_of(self.gate_activation, self.value_activation, self.gate.weight.device)

    def roles(self) -> Roles:
        return {
            **matrix_roles(
                d_model=self.d_model,
                d_hidden=self.d_ff,
                inputs=("gate", "value"),
                outputs=("down",),
                bias=self.has_bias,
            ),
            **activation_roles("gate_activation", self.gate_activation),
            **activation_roles("value_activation", self.value_activation),
        }


for _name, _options, _latex, _paper, _traps in _ROWS:
    _value = _options.get("value", "identity")
    _value_latex = r"\sigma(W_\text{value} x)" if _value == "sigmoid" else r"W_\text{value} x"
    _gate_latex = rf"{_latex}(W_\text{{gate}} x)" if _latex else r"W_\text{gate} x"
    part(
        "ffn",
        _name,
        formula=rf"W_\text{{down}} \left( {_gate_latex} \odot {_value_latex} \right)",
        summary=f"gated feed-forward layer: {_options['gate']} gate times "
        + ("the value" if _value == "identity" else f"{_value} of the value"),
        paper=_paper,
        parameters="3 d_model d_ff" + (" + 1" if "gate_options" in _options else ""),
        shapes=SHAPES,
        traps=(*_traps, _WIDTH),
        options={"value": "identity", "gate_options": None, "value_options": None, **_options},
    )(GatedFeedForward)

part(
    "ffn",
    "gated",
    formula=r"W_\text{down} \left( g(W_\text{gate} x) \odot v(W_\text{value} x) \right)",
    summary="gated feed-forward layer over any two activations: options gate and value",
    paper=SHAZEER,
    parameters="3 d_model d_ff",
    shapes=SHAPES,
    traps=(_HALVES, _WIDTH),
)(GatedFeedForward)


@rounded_once
def _clamped_swiglu(gate: Tensor, value: Tensor, *, bound: float, beta: float) -> Tensor:
    return swish(gate.clamp(max=bound), beta=beta) * (value.clamp(-bound, bound) + 1)


@part(
    "ffn",
    "swiglu_clamped",
    formula=r"W_\text{down} \left( \min(g, 7) \, \sigma(1.702 \min(g, 7)) \odot (\operatorname{clip}(u, -7, 7) + 1) \right), \quad g = W_\text{gate} x, \; u = W_\text{value} x",
    paper="gpt-oss (OpenAI 2025, released code)",
    parameters="3 d_model d_ff",
    shapes=SHAPES,
    traps=(
        "the gate is clamped above only, the value on both sides, and one is added to it",
        "gpt-oss stores gate and value interleaved in one matrix: even rows are the gate",
        _WIDTH,
    ),
    options={"gate": "silu", "value": "identity", "gate_options": None, "value_options": None},
)
class ClampedSwiGLU(GatedFeedForward):
    """down(swish(min(g, 7), beta 1.702) · (clip(u, -7, 7) + 1)), with g = W_gate x and u = W_value x.

    Shapes, dtypes and names as in `GatedFeedForward`. Source: gpt-oss (OpenAI 2025), released code.
    """

    _BOUND, _BETA = 7.0, 1.702

    def _mixed(
        self, gate: Tensor, value: Tensor, of_gate: tuple[Tensor, ...], of_value: tuple[Tensor, ...]
    ) -> Tensor:
        return _clamped_swiglu(gate, value, bound=self._BOUND, beta=self._BETA)
