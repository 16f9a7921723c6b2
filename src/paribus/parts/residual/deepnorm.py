"""DeepNorm: post-norm with a weighted stream and smaller initial draws, for very deep stacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from paribus.parts.init import Role
from paribus.parts.residual.base import Depth, Residual, Sublayer
from paribus.registry import part


def deepnorm_constants(depth: Depth) -> tuple[float, float]:
    """(alpha, beta) of the block's stack: weight of the stream, and factor on the initial draws.

    Encoder-only or decoder-only with N layers: (2N)^(1/4), (8N)^(-1/4). Encoder-decoder with N and M layers:
    encoder 0.81 (N⁴M)^(1/16), 0.87 (N⁴M)^(-1/16); decoder (3M)^(1/4), (12M)^(-1/4). Source: Wang et al. 2022
    (arXiv:2203.00555), figure 2 and section 4.3.
    """
    n, m = depth.encoder_layers, depth.decoder_layers
    if not (n and m):
        return (2 * depth.num_layers) ** 0.25, (8 * depth.num_layers) ** -0.25
    if depth.stack == "encoder":
        return 0.81 * (n**4 * m) ** (1 / 16), 0.87 * (n**4 * m) ** (-1 / 16)
    return (3 * m) ** 0.25, (12 * m) ** -0.25


@part(
    "residual",
    "deepnorm",
    formula=r"\operatorname{norm}(\alpha x + f(x)), \quad \text{draws of } W_v, W_o, W_\text{ffn} \text{ times } \beta",
    paper="arXiv:2203.00555 (Wang et al. 2022)",
    shapes="x [B, T, d_model] -> [B, T, d_model]",
    traps=(
        "it is not a LayerNorm after every linear layer: one norm a sublayer, a weighted stream and smaller draws",
        "alpha without beta, or beta on queries and keys, is another method",
        "torchscale's code divides the encoder's draws by (N⁴M)^(1/16) / 1.15; the paper says 0.87 and its bound gives that, so that is used here",
    ),
)
class DeepNorm(Residual):
    """norm(alpha · x + f(x)) for each sublayer f; the stack's output is normalised already.

    `gain` is beta for the feed-forward matrices, the values and the output projections and 1 for queries and
    keys, as a factor on the scheme's deviation (the paper takes Xavier's as its example and allows others).
    Source: Wang et al. 2022 (arXiv:2203.00555), sections 2 and 4.3.
    """

    final_norm = False

    def __init__(self, *, sublayers: tuple[str, ...], depth: Depth, norm: Callable[[], nn.Module]) -> None:
        super().__init__(sublayers=sublayers, depth=depth, norm=norm)
        self.alpha, self.beta = deepnorm_constants(depth)

    def forward(self, x: Tensor, sublayers: Mapping[str, Sublayer]) -> Tensor:
        for name, sublayer in sublayers.items():
            x = self.norms[name](self.alpha * x + sublayer(x))
        return x

    def gain(self, role: Role) -> float:
        return self.beta if role.kind in ("input", "output") else 1.0
