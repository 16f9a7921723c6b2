"""A multi-layer perceptron with a LayerNorm after every linear map.

    h_0 = x,  h_i = relu(LayerNorm(W_i h_{i-1})),  y = W_down h_n

The notes that this project started from call it DeepNorm. It is not: see the placement of that name.
"""

from __future__ import annotations

from torch import Tensor, nn

from paribus.errors import RequestError
from paribus.ops.linear import Linear
from paribus.parts.init import Roles, linear_roles
from paribus.parts.norm.layernorm import LayerNorm
from paribus.registry import part


@part(
    "ffn",
    "layernorm_mlp",
    formula=r"W_\text{down} h_n, \quad h_i = \operatorname{ReLU}(\operatorname{LayerNorm}(W_i h_{i-1})), \; h_0 = x",
    paper="blog notes on normalisation; arXiv:1607.06450 (Ba et al. 2016) for the norm",
    parameters="2 d_model d_ff + (depth - 1) d_ff^2 + 2 depth d_ff",
    shapes="x [..., d_model] -> [..., d_model]; hidden [d_ff, d_model] and [d_ff, d_ff], down [d_model, d_ff]",
    traps=("it is not DeepNorm, which is norm(alpha x + f(x)) once a sublayer with smaller initial draws",),
)
class LayerNormMLP(nn.Module):
    """down(h) after `depth` hidden layers h = relu(LayerNorm(W h)) of width d_ff.

    Takes x [..., d_model] of any floating dtype and gives the same. Raises `RequestError` for a depth below 1.
    """

    def __init__(self, *, d_model: int, d_ff: int, depth: int = 2, bias: bool = False) -> None:
        super().__init__()
        if depth < 1:
            raise RequestError(f"layernorm_mlp has at least one hidden layer; its depth is {depth}")
        self.d_model, self.d_ff, self.has_bias = d_model, d_ff, bias
        widths = [d_model, *[d_ff] * depth]
        self.hidden = nn.ModuleList(Linear(width, d_ff, bias=bias) for width in widths[:-1])
        self.norms = nn.ModuleList(LayerNorm(d_model=d_ff) for _ in range(depth))
        self.down = Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        for linear, norm in zip(self.hidden, self.norms, strict=True):
            x = norm(linear(x)).relu()
        return self.down(x)

    def roles(self) -> Roles:
        roles = dict(
            linear_roles("down", kind="output", fan_in=self.d_ff, fan_out=self.d_model, bias=self.has_bias)
        )
        for index, norm in enumerate(self.norms):
            roles |= linear_roles(
                f"hidden.{index}",
                kind="input",
                fan_in=self.d_model if index == 0 else self.d_ff,
                fan_out=self.d_ff,
                bias=self.has_bias,
            )
            assert isinstance(norm, LayerNorm)
            roles |= {f"norms.{index}.{name}": role for name, role in norm.roles().items()}
        return roles
