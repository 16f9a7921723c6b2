"""The two-matrix feed-forward layer of the Transformer, over any activation.

    y = W_down act(W_up x)

The activation is replayed in the backward pass, so one tensor of width d_ff is kept. Biases are off, as in
T5 and in the comparison of Shazeer 2020; the original Transformer had them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from paribus.ops import activations
from paribus.ops.linear import Linear, linear
from paribus.parts.init import Roles, matrix_roles
from paribus.registry import part

_BIAS = "the original layer has biases; here they are off unless asked for, as in T5"

_ROWS = (
    # name, aliases, activation in LaTeX, paper, traps
    ("relu", (), r"\max(0, W_\text{up} x)", "arXiv:1706.03762 (Vaswani et al. 2017)", (_BIAS,)),
    (
        "gelu",
        (),
        r"\operatorname{GELU}(W_\text{up} x)",
        "arXiv:1606.08415 (Hendrycks & Gimpel 2016)",
        ("this is the exact erf form; 'gelu_new', 'gelu_fast' and 'gelu_pytorch_tanh' are the tanh form",),
    ),
    (
        "silu",
        ("swish",),
        r"\operatorname{SiLU}(W_\text{up} x)",
        "arXiv:1702.03118 (Elfwing et al. 2017); arXiv:1710.05941 (Ramachandran et al. 2017)",
        ("Swish with beta 1 is SiLU; beta 0 is x / 2 and beta to infinity is ReLU",),
    ),
    (
        "relu2",
        (),
        r"\max(0, W_\text{up} x)^2",
        "arXiv:2109.08668 (So et al. 2021, Primer)",
        (
            "its output grows with the square of the input's scale, so its ranking depends on the initial scale",
        ),
    ),
)


class FeedForward(nn.Module):
    """down(act(W_up x)), for an activation named in `paribus.ops.activations`.

    Takes x [..., d_model] of any floating dtype and gives the same shape and dtype. Two linear layers: `up`
    [d_ff, d_model] and `down` [d_model, d_ff]; GPT-2 calls them c_fc and c_proj, BERT intermediate.dense and
    output.dense. Raises `RequestError` for an unknown activation.
    Source: Vaswani et al. 2017 (arXiv:1706.03762), equation 2.
    """

    def __init__(self, *, d_model: int, d_ff: int, activation: str = "relu", bias: bool = False) -> None:
        super().__init__()
        self.d_model, self.d_ff, self.has_bias = d_model, d_ff, bias
        self._function = activations.activation(activation).value
        self.up = Linear(d_model, d_ff, bias=bias)
        self.down = Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        # The weights go in as arguments: a replay must see those of the forward pass, not the module's own.
        return checkpoint(
            self._finish,
            self.up(x),
            self.down.weight,
            self.down.bias,
            use_reentrant=False,
            preserve_rng_state=False,
        )

    def _finish(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return linear(self._function(hidden), weight, bias)

    def roles(self) -> Roles:
        return matrix_roles(
            d_model=self.d_model, d_hidden=self.d_ff, inputs=("up",), outputs=("down",), bias=self.has_bias
        )


for _name, _aliases, _latex, _paper, _traps in _ROWS:
    part(
        "ffn",
        _name,
        aliases=_aliases,
        formula=rf"W_\text{{down}} \, {_latex}",
        summary=f"two-matrix feed-forward layer with {_name}",
        paper=_paper,
        parameters="2 d_model d_ff",
        shapes="x [..., d_model] -> [..., d_model]; up [d_ff, d_model], down [d_model, d_ff]",
        traps=_traps,
        options={"activation": _name},
    )(FeedForward)
