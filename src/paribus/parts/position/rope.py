"""Rotary positions (RoPE): queries and keys are rotated by their position, so that logits see only distances.

Pair i of a head turns by p · base^(-2i/K) at position p. The half-split layout pairs channel i with i + K/2, as
GPT-NeoX and the LLaMA checkpoints of Hugging Face do; the interleaved one pairs 2i with 2i + 1, as the paper,
GPT-J and Meta's own LLaMA do. Ways to run past the trained length change the frequencies: `rope_scaling`.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NotRequired, Unpack

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.ops.once import once
from paribus.ops.transformed import goes_backwards
from paribus.parts.position.base import Position, Sizes, State
from paribus.registry import part

PAPER = "arXiv:2104.09864 (Su et al. 2021)"
SHAPES = "q, k [B, H, T, head_dim] -> the same"
_LAYOUTS = "half-split pairs are (i, i + K/2), interleaved ones (2i, 2i + 1); the wrong one for given weights is silent"
_NOT_VALUES = "values are not rotated"


class RotaryOptions(Sizes):
    """What every rotary encoding may be told beside the sizes."""

    base: NotRequired[float]
    layout: NotRequired[Literal["half", "interleaved"]]
    fraction: NotRequired[float]
    turning: NotRequired[float]


@part(
    "position",
    "rope",
    formula=r"(q_i, q_{i+K/2}) \mapsto R(p \, b^{-2i/K}) \, (q_i, q_{i+K/2})",
    paper=PAPER,
    shapes=SHAPES,
    traps=(
        _LAYOUTS,
        _NOT_VALUES,
        "it makes logits relative, it does not make a model run past its trained length",
        "it does not do away with periodicity: its slowest pair repeats after 54,410 tokens at head_dim 128",
    ),
)
@part(
    "position",
    "rope_interleaved",
    formula=r"(q_{2i}, q_{2i+1}) \mapsto R(p \, b^{-2i/K}) \, (q_{2i}, q_{2i+1})",
    paper=PAPER,
    summary="rotary positions on neighbouring channels: the layout of the paper, GPT-J and Meta's LLaMA",
    shapes=SHAPES,
    traps=(_LAYOUTS, _NOT_VALUES),
    options={"layout": "interleaved"},
)
class RotaryPosition(Position):
    """Rotates channel pairs of queries and keys by p · base^(-2i/R), in float32.

    `layout` says which channels are pairs, `fraction` rotates only the first R = fraction · head_dim channels
    (GPT-J, GPT-NeoX). `turning` is the share of the R / 2 pairs, the fastest, that turn; the others keep their place
    and stand still (p-RoPE; Gemma 4). Raises `RequestError` for an odd number of rotated channels and impossible
    options. Sources: Su et al. 2021 (arXiv:2104.09864), equation 15; Barbero et al. 2024 (arXiv:2410.06205) for p-RoPE.
    """

    acts_on = frozenset({"rotate"})

    def __init__(
        self,
        *,
        base: float = 10000.0,
        layout: Literal["half", "interleaved"] = "half",
        fraction: float = 1.0,
        turning: float = 1.0,
        **sizes: Unpack[Sizes],
    ) -> None:
        super().__init__(**sizes)
        if layout not in ("half", "interleaved"):
            raise RequestError(f"rope's layout is half or interleaved; it is {layout!r}")
        if not 0 < fraction <= 1:
            raise RequestError(f"rope's fraction is a share of the channels, in (0, 1]; it is {fraction}")
        if not (math.isfinite(base) and base > 1):
            raise RequestError(f"rope's base must be above 1; it is {base}")
        rotated = round(fraction * self.head_dim)
        if rotated % 2 or not math.isclose(rotated, fraction * self.head_dim, abs_tol=1e-6):
            share = "" if fraction == 1 else f" times fraction {fraction}"
            raise RequestError(
                f"rope turns channels in pairs, so head_dim{share} must be even; it is "
                f"{fraction * self.head_dim:g}"
            )
        turning_pairs = round(turning * rotated / 2)
        if not 0 < turning <= 1 or not math.isclose(turning_pairs, turning * rotated / 2, abs_tol=1e-6):
            raise RequestError(
                f"rope's turning is a share of its {rotated // 2} pairs, in (0, 1], and a whole number of them; it is "
                f"{turning}"
            )
        self.base, self.layout, self.rotated, self.turning_pairs = base, layout, rotated, turning_pairs

    def frequencies(self, *, length: int, device: torch.device) -> Tensor:
        """Angle by which each pair turns from one position to the next, [R / 2] in float32."""
        return self._powers(self.base, device)

    def _powers(self, base: float, device: torch.device) -> Tensor:
        """base^(-2i/R) for pair i, 0 for those that do not turn."""
        channel = torch.arange(0, self.rotated, 2, device=device, dtype=torch.float32)
        theta = base ** (-channel / self.rotated)
        if self.turning_pairs == self.rotated // 2:
            return theta
        return torch.where(channel < 2 * self.turning_pairs, theta, 0.0)

    def attention_factor(self, *, length: int) -> float:
        """Factor on rotated queries and keys, so that logits get its square."""
        return 1.0

    def state(self, query_T: Tensor, key_S: Tensor, *, length: int) -> State:
        angle = query_T[..., None].float() * self.frequencies(length=length, device=query_T.device)
        cos, sin = angle.cos(), angle.sin()
        if (factor := self.attention_factor(length=length)) != 1:
            cos, sin = cos * factor, sin * factor
        return {"cos": once(cos.unsqueeze(-3)), "sin": once(sin.unsqueeze(-3))}

    def rotate(self, q_BHTK: Tensor, k_BHTK: Tensor, state: State) -> tuple[Tensor, Tensor]:
        if q_BHTK.shape[2] == 1 and not torch.is_grad_enabled():
            # For one token the number of calls is what it costs.
            heads = [q_BHTK.shape[1], k_BHTK.shape[1]]
            q_BHTK, k_BHTK = self._turn(torch.cat((q_BHTK, k_BHTK), dim=1), state).split_with_sizes(
                heads, dim=1
            )
            return q_BHTK, k_BHTK
        return self._turn(q_BHTK, state), self._turn(k_BHTK, state)

    def _turn(self, x_BHTK: Tensor, state: State) -> Tensor:
        # For one token `apply` alone costs as much.
        turn = _Turn.apply if goes_backwards() else _Turn.forward
        if self.rotated == self.head_dim:
            return turn(x_BHTK, state["cos"], state["sin"], self.layout)
        turning, still = x_BHTK[..., : self.rotated], x_BHTK[..., self.rotated :]
        return torch.cat((turn(turning, state["cos"], state["sin"], self.layout), still), dim=-1)


class _Turn(torch.autograd.Function):
    """Turns the pairs of x; the gradient turns back, which a compiler would not find in slices of halves."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x_BHTK: Tensor, cos: Tensor, sin: Tensor, layout: str) -> Tensor:
        if layout == "half":
            first, second = x_BHTK.chunk(2, dim=-1)
            turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
        else:
            first, second = x_BHTK[..., 0::2], x_BHTK[..., 1::2]
            turned = torch.stack((first * cos - second * sin, second * cos + first * sin), dim=-1).flatten(-2)
        return turned.to(x_BHTK.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, cos, sin, ctx.layout = inputs
        ctx.save_for_backward(cos, sin)

    @staticmethod
    def backward(ctx: Any, gradient_BHTK: Tensor) -> tuple[Tensor, None, None, None]:
        cos, sin = ctx.saved_tensors
        return _Turn.apply(gradient_BHTK, cos, -sin, ctx.layout), None, None, None
