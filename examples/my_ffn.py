"""A feed-forward layer of your own: one decorated class in one file, and nothing else to edit.

    paribus explain examples/my_ffn.py:MyFFN
    paribus study ffn --arms swiglu,examples/my_ffn.py:MyFFN

It is matched in parameters, trained from the same seeds on the same batches and judged like the built-in ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paribus import part
from paribus.ops.linear import Linear
from paribus.parts.init import Roles, matrix_roles


@part(
    "ffn",
    "my_ffn",
    formula=r"W_\text{down} \left( \max(W_\text{gate} x, 0)^2 \odot W_\text{value} x \right)",
    paper="this file",
    parameters="3 d_model d_ff",
    traps=("its output grows with the cube of its input",),
)
class MyFFN(nn.Module):
    """A gated layer whose gate is a squared ReLU: x [..., d_model] gives the same shape."""

    def __init__(self, *, d_model: int, d_ff: int) -> None:
        super().__init__()
        self.d_model, self.d_ff = d_model, d_ff
        self.gate = Linear(d_model, d_ff)
        self.value = Linear(d_model, d_ff)
        self.down = Linear(d_ff, d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.relu(self.gate(x)).square() * self.value(x))

    def roles(self) -> Roles:
        """What each matrix is for; its first draw follows from that."""
        return matrix_roles(
            d_model=self.d_model,
            d_hidden=self.d_ff,
            inputs=("gate", "value"),
            outputs=("down",),
            bias=False,
        )
