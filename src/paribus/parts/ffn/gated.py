"""The gated feed-forward family: one class and a table of (gate, value) pairs.

    y = W_down (gate(W_gate x) * value(W_value x))

Only the pointwise part is replayed in the backward pass, so two tensors of width d_ff are kept (4 bytes a
token and element in bf16) where the plain form keeps three or four. Biases are off, as in the paper.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from paribus.ops.activations import activation
from paribus.ops.linear import Linear, linear
from paribus.parts.init import Roles, matrix_roles
from paribus.registry import part

SHAZEER = "arXiv:2002.05202 (Shazeer 2020)"
DAUPHIN = "arXiv:1612.08083 (Dauphin et al. 2016)"

_HALVES = (
    "torch.nn.functional.glu gates the second half of its input; here, as in the paper, the gate comes first"
)
_WIDTH = "three matrices: at the width of an ungated layer it has 1.5 times the parameters, so take 2/3 of it"
_NOT_ONE_MATRIX = "x * sigmoid(W x) with a single matrix is another, cheaper layer and not a GLU"

_ROWS = (
    # name, gate, value, gate in LaTeX, paper, traps
    ("glu", "sigmoid", "identity", r"\sigma", f"{DAUPHIN}; {SHAZEER}", (_HALVES, _NOT_ONE_MATRIX)),
    ("gtu", "tanh", "sigmoid", r"\tanh", f"arXiv:1606.05328 (van den Oord et al. 2016); {DAUPHIN}", ()),
    ("bilinear", "identity", "identity", "", f"Mnih & Hinton 2007, as credited by {SHAZEER}", ()),
    ("reglu", "relu", "identity", r"\operatorname{ReLU}", SHAZEER, ()),
    (
        "geglu",
        "gelu",
        "identity",
        r"\operatorname{GELU}",
        SHAZEER,
        (
            "many checkpoints use the tanh form of GELU; this one is the exact erf form (they differ by up to 5e-4)",
        ),
    ),
    (
        "swiglu",
        "silu",
        "identity",
        r"\operatorname{SiLU}",
        SHAZEER,
        ("a config's hidden_act 'silu' does not say whether the layer is gated",),
    ),
)


class GatedFeedForward(nn.Module):
    """down(gate(W_gate x) * value(W_value x)), for activations named in `paribus.ops.activations`.

    Takes x [..., d_model] of any floating dtype and gives the same shape and dtype. Three linear layers:
    `gate` and `value` [d_ff, d_model], `down` [d_model, d_ff]; LLaMA calls them w1, w3, w2 or gate_proj,
    up_proj, down_proj. Raises `RequestError` for an unknown activation.
    Source: Shazeer 2020 (arXiv:2002.05202), equations 5 and 6.
    """

    def __init__(
        self, *, d_model: int, d_ff: int, gate: str = "silu", value: str = "identity", bias: bool = False
    ) -> None:
        super().__init__()
        self.d_model, self.d_ff, self.has_bias = d_model, d_ff, bias
        self._gate_function = activation(gate).value
        self._value_function = activation(value).value
        self.gate = Linear(d_model, d_ff, bias=bias)
        self.value = Linear(d_model, d_ff, bias=bias)
        self.down = Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        # The weights go in as arguments: a replay must see those of the forward pass, not the module's own.
        return checkpoint(
            self._finish,
            self.gate(x),
            self.value(x),
            self.down.weight,
            self.down.bias,
            use_reentrant=False,
            preserve_rng_state=False,
        )

    def _finish(self, gate: Tensor, value: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return linear(self._gate_function(gate) * self._value_function(value), weight, bias)

    def roles(self) -> Roles:
        return matrix_roles(
            d_model=self.d_model,
            d_hidden=self.d_ff,
            inputs=("gate", "value"),
            outputs=("down",),
            bias=self.has_bias,
        )


for _name, _gate, _value, _latex, _paper, _traps in _ROWS:
    _value_latex = r"\sigma(W_\text{value} x)" if _value == "sigmoid" else r"W_\text{value} x"
    _gate_latex = rf"{_latex}(W_\text{{gate}} x)" if _latex else r"W_\text{gate} x"
    part(
        "ffn",
        _name,
        formula=rf"W_\text{{down}} \left( {_gate_latex} \odot {_value_latex} \right)",
        summary=f"gated feed-forward layer: {_gate} gate times "
        + ("the value" if _value == "identity" else f"{_value} of the value"),
        paper=_paper,
        parameters="3 d_model d_ff",
        shapes="x [..., d_model] -> [..., d_model]; gate, value [d_ff, d_model], down [d_model, d_ff]",
        traps=(*_traps, _WIDTH),
        options={"gate": _gate, "value": _value},
    )(GatedFeedForward)
