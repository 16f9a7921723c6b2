"""Multi-head attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from paribus.ops.attention import attend
from paribus.ops.linear import Linear, linear
from paribus.parts.context import Context
from paribus.parts.init import Roles, matrix_roles
from paribus.registry import part


@part(
    "attention",
    "mha",
    formula=r"W_o \operatorname{concat}_h \operatorname{softmax}(q_h k_h^\top / \sqrt{K}) \, v_h",
    paper="arXiv:1706.03762 (Vaswani et al. 2017)",
    parameters="4 d_model num_heads head_dim",
    shapes="x [B, T, d_model] -> [B, T, d_model]; q, k, v [num_heads head_dim, d_model], o the transpose",
    traps=("T5 has no 1/sqrt(K): it is folded into its initial weights",),
)
class MultiHeadAttention(nn.Module):
    """W_o · concat over heads of softmax(q kᵀ / sqrt(head_dim)) v, with q = W_q x and so on.

    Takes x [B, T, d_model] and gives the same. Checkpoints call the matrices q_proj, k_proj, v_proj, o_proj.
    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.2.2.
    """

    def __init__(self, *, d_model: int, num_heads: int, head_dim: int, bias: bool = False) -> None:
        super().__init__()
        self.d_model, self.num_heads, self.head_dim, self.has_bias = d_model, num_heads, head_dim, bias
        width = num_heads * head_dim
        self.q = Linear(d_model, width, bias=bias)
        self.k = Linear(d_model, width, bias=bias)
        self.v = Linear(d_model, width, bias=bias)
        self.o = Linear(width, d_model, bias=bias)

    def forward(self, x_BTD: Tensor, context: Context) -> Tensor:
        # One product for q, k and v: the weights are copied to the compute dtype anyway.
        projections = (self.q, self.k, self.v)
        weight = torch.cat([projection.weight for projection in projections])
        bias = torch.cat([projection.bias for projection in projections]) if self.has_bias else None
        heads = linear(x_BTD, weight, bias).unflatten(-1, (3, self.num_heads, self.head_dim))
        q, k, v = heads.permute(2, 0, 3, 1, 4).unbind(0)
        q, k = context.position.rotate(q, k, context.state)
        out_BHTK = attend(
            q, k, v, mask=context.mask, scale=1 / math.sqrt(self.head_dim), backend=context.backend
        )
        return self.o(out_BHTK.transpose(1, 2).flatten(-2))

    def roles(self) -> Roles:
        return matrix_roles(
            d_model=self.d_model,
            d_hidden=self.num_heads * self.head_dim,
            inputs=("q", "k", "v"),
            outputs=("o",),
            bias=self.has_bias,
        )
