"""Multi-head attention and its relatives: fewer key heads, windows, caps, sinks, normed queries and keys.

One class, because the variants combine: a model may group its heads, slide its window and norm its queries at
once. Who may see whom beyond the window (causal, padding, documents) comes with the context.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from paribus import registry
from paribus.errors import RequestError
from paribus.ops.attention import Backend, BiasAt, Mask, attend
from paribus.ops.linear import Linear, is_plain, linear
from paribus.ops.packed import Packed
from paribus.parts.attention.cache import KeyValueCache
from paribus.parts.context import Context
from paribus.parts.init import Kind, Role, Roles, constant, linear_roles
from paribus.registry import part

_SCALE = "T5 has no 1/sqrt(K): it is folded into its initial weights (scale: 1.0 gives that form)"
_CACHE = "the cache holds num_kv_heads, not num_heads, keys and values a token"
_SHAPES = (
    "x [B, T, d_model] -> [B, T, d_model]; q [num_heads head_dim, d_model], "
    "k, v [num_kv_heads head_dim, d_model], o [d_model, num_heads head_dim]"
)
_FORMULA = r"W_o \operatorname{concat}_h \operatorname{softmax}(q_h k_{%s}^\top / \sqrt{K}) \, v_{%s}"


@part(
    "attention",
    "mha",
    formula=_FORMULA % ("h", "h"),
    paper="arXiv:1706.03762 (Vaswani et al. 2017)",
    summary="multi-head attention",
    parameters="4 d_model num_heads head_dim",
    shapes=_SHAPES,
    traps=(
        _SCALE,
        "a norm of queries and keys stands before the rotation; Gemma 2 caps logits before it masks them",
    ),
    options={"grouped": False},
)
@part(
    "attention",
    "gqa",
    formula=_FORMULA % (r"\lfloor hG/H \rfloor", r"\lfloor hG/H \rfloor"),
    paper="arXiv:2305.13245 (Ainslie et al. 2023)",
    summary="grouped-query attention: several query heads share one key and value head",
    parameters="2 d_model (num_heads + num_kv_heads) head_dim",
    shapes=_SHAPES,
    traps=(_CACHE, "neighbouring query heads share a group: head h reads group h // (H / G), not h mod G"),
    options={"grouped": True},
)
@part(
    "attention",
    "mqa",
    formula=r"W_o \operatorname{concat}_h \operatorname{softmax}(q_h k^\top / \sqrt{K}) \, v",
    paper="arXiv:1911.02150 (Shazeer 2019)",
    summary="multi-query attention: all query heads share one key and value head",
    parameters="2 d_model (num_heads + 1) head_dim",
    shapes=_SHAPES,
    traps=(_CACHE,),
    options={"grouped": True, "num_kv_heads": 1},
)
class MultiHeadAttention(nn.Module):
    """W_o · concat over heads of softmax(q kᵀ · scale) v, with q = W_q x and so on.

    Takes x [B, T, d_model] and gives the same; with `cross`, keys and values come from the context's memory
    and no position encoding acts. `num_kv_heads` key and value heads (default: num_heads) are shared by
    num_heads / num_kv_heads neighbouring query heads each. `window`: a query sees fewer than that many places
    away. `softcap` c bounds logits by c · tanh(logit / c). `sinks`: one learned logit a head that takes
    probability and gives nothing. `bias`: on all four matrices, on q, k and v only ("qkv": Qwen 2), on o only ("o":
    GPT-Neo) or on none. `clip` c clamps queries, keys and values to [-c, c] as they are projected (MPT, OLMo).
    `qk_norm`: a norm of the registry on queries and keys before rotation, over each head ("head": one gain for all
    heads; "heads": a gain for each, the weight then being [heads · head_dim]) or over the whole "width". `scale`
    defaults to 1 / sqrt(head_dim). `grouped` says whether num_kv_heads must be given (true) or must be num_heads
    (false).

    Checkpoints call the matrices q_proj, k_proj, v_proj, o_proj. Raises `RequestError` for impossible options.
    Sources: Vaswani et al. 2017 (arXiv:1706.03762), section 3.2.2; Beltagy et al. 2020 (arXiv:2004.05150) for
    windows; Gemma 2 (arXiv:2408.00118) for caps; gpt-oss (2025, released code) for sinks; Henry et al. 2020
    (arXiv:2010.04245) and Dehghani et al. 2023 (arXiv:2302.05442) for normed queries and keys.
    """

    def __init__(
        self,
        *,
        d_model: int,
        num_heads: int,
        head_dim: int,
        num_kv_heads: int | None = None,
        cross: bool = False,
        grouped: bool | None = None,
        bias: bool | Literal["qkv", "o"] = False,
        clip: float | None = None,
        window: int | None = None,
        softcap: float | None = None,
        sinks: bool = False,
        qk_norm: str | Mapping[str, Any] | None = None,
        qk_norm_over: Literal["head", "heads", "width"] = "head",
        scale: float | None = None,
    ) -> None:
        super().__init__()
        num_kv_heads = _checked_heads(num_heads, num_kv_heads, grouped)
        if window is not None and (not isinstance(window, int) or isinstance(window, bool) or window < 1):
            raise RequestError(f"attention's window is a number of tokens, at least 1; it is {window!r}")
        if not (isinstance(bias, bool) or bias in ("qkv", "o")):
            raise RequestError(f"attention's bias is true, false, qkv or o; it is {bias!r}")
        for name, given in (("softcap", softcap), ("scale", scale), ("clip", clip)):
            if given is not None and not (isinstance(given, (int, float)) and 0 < given < math.inf):
                raise RequestError(f"attention's {name} must be a number above zero; it is {given!r}")
        if qk_norm_over not in ("head", "heads", "width"):
            raise RequestError(f"attention's qk_norm_over is head, heads or width; it is {qk_norm_over!r}")
        self.d_model, self.num_heads, self.head_dim, self.clip = d_model, num_heads, head_dim, clip
        self.num_kv_heads, self.cross, self.qk_norm_over = num_kv_heads, cross, qk_norm_over
        self.window, self.softcap = window if not cross else None, softcap
        self.scale = 1 / math.sqrt(head_dim) if scale is None else scale
        width, kv_width = num_heads * head_dim, num_kv_heads * head_dim
        self.q = Linear(d_model, width, bias=bias in (True, "qkv"))
        self.k = Linear(d_model, kv_width, bias=bias in (True, "qkv"))
        self.v = Linear(d_model, kv_width, bias=bias in (True, "qkv"))
        self.o = Linear(width, d_model, bias=bias in (True, "o"))
        self.q_norm, self.k_norm = (
            _norm(qk_norm, over=qk_norm_over, heads=heads, head_dim=head_dim)
            for heads in (num_heads, num_kv_heads)
        )
        self.sinks = nn.Parameter(torch.zeros(num_heads)) if sinks else None
        self.joint: Packed | None = None

    @property
    def together(self) -> tuple[str, ...]:
        """Layers that read the same, of which `joint` may be one product."""
        return () if self.cross else ("q", "k", "v")

    @property
    def plain_only(self) -> bool:
        """Whether only the plain backend computes this layer."""
        return self.softcap is not None or self.sinks is not None

    def forward(self, x_BTD: Tensor, context: Context, cache: KeyValueCache | None = None) -> Tensor:
        position, state = context.position, context.state
        acts_on = frozenset() if self.cross else position.acts_on
        if self.cross:
            q, k, v = self._cross_heads(x_BTD, context, cache)
            mask = Mask(causal=False, key_valid_BS=context.memory_valid_BS)
        else:
            q, k, v = self._self_heads(x_BTD, context, cache)
            mask = Mask(
                causal=context.mask.causal,
                window=self.window,
                key_valid_BS=context.mask.key_valid_BS,
                document_BS=context.mask.document_BS,
            )
        plain = self.plain_only or acts_on & {"score", "value"}
        backend: Backend = "plain" if plain else context.backend
        bias: Tensor | BiasAt | None = None
        if "bias" in acts_on:
            bias = position.bias_at(state) if backend == "flex" else position.bias(state)
        out_BHTK = attend(
            q,
            k,
            v,
            mask=mask,
            scale=self.scale,
            backend=backend,
            bias=bias,
            score=(lambda q: position.score(q, state)) if "score" in acts_on else None,
            value=(lambda p: position.value(p, state)) if "value" in acts_on else None,
            softcap=self.softcap,
            sinks_H=self.sinks,
        )
        return self.o(out_BHTK.transpose(1, 2).flatten(-2))

    def _self_heads(
        self, x_BTD: Tensor, context: Context, cache: KeyValueCache | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        if self.joint is not None and x_BTD.dtype == self.joint.dtype:
            q, k, v = self.joint.split(x_BTD)
        else:
            q, k, v = self._project(x_BTD, self.q, self.k, self.v)
        q, k = self._headed(q, self.q_norm), self._headed(k, self.k_norm)
        v = self._headed(v, None)
        if cache is not None and cache.late:
            assert context.key_state is not None, "keys that are kept unrotated need their positions"
            q, _ = context.position.rotate(q, k, context.state)
            k, v = cache.extend(k, v)
            _, k = context.position.rotate(k, k, context.key_state)
            return q, k, v
        q, k = context.position.rotate(q, k, context.state)
        return (q, k, v) if cache is None else (q, *cache.extend(k, v))

    def _cross_heads(
        self, x_BTD: Tensor, context: Context, cache: KeyValueCache | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        q = self._headed(self.q(x_BTD), self.q_norm)
        if cache is not None and cache.length:
            return q, *cache.all()  # the memory does not change while a sequence is generated
        assert context.memory_BSD is not None, "cross-attention without a memory"
        k, v = self._project(context.memory_BSD, self.k, self.v)
        k, v = self._headed(k, self.k_norm), self._headed(v, None)
        return (q, k, v) if cache is None else (q, *cache.extend(k, v))

    def _project(self, x: Tensor, *layers: Linear) -> tuple[Tensor, ...]:
        if not all(map(is_plain, layers)):
            return tuple(layer(x) for layer in layers)
        # One product for all: the weights are copied to the compute dtype anyway.
        weight = torch.cat([layer.weight for layer in layers])
        bias = None if layers[0].bias is None else torch.cat([layer.bias for layer in layers])
        return linear(x, weight, bias).split([layer.out_features for layer in layers], dim=-1)

    def _headed(self, x: Tensor, norm: nn.Module | None) -> Tensor:
        """[B, T, heads · K] as [B, heads, T, K], clamped and normed where the layer does."""
        x = x if self.clip is None else x.clamp(-self.clip, self.clip)
        if norm is not None and self.qk_norm_over != "head":
            x, norm = norm(x), None
        x = x.view(*x.shape[:-1], x.shape[-1] // self.head_dim, self.head_dim).transpose(1, 2)
        return x if norm is None else norm(x)

    def roles(self) -> Roles:
        roles: dict[str, Role] = {}
        kinds: dict[str, Kind] = {"q": "query", "k": "key", "v": "input", "o": "output"}
        for name, kind in kinds.items():
            layer = self.get_submodule(name)
            assert isinstance(layer, Linear)
            roles |= linear_roles(
                name,
                kind=kind,
                fan_in=layer.in_features,
                fan_out=layer.out_features,
                bias=layer.bias is not None,
            )
        return roles if self.sinks is None else {**roles, "sinks": constant(self.num_heads, 0.0)}


def _checked_heads(num_heads: int, num_kv_heads: int | None, grouped: bool | None) -> int:
    """How many key and value heads there are; raises `RequestError` if that cannot be."""
    if grouped and num_kv_heads is None:
        raise RequestError("grouped-query attention needs num_kv_heads, a divisor of num_heads")
    heads = num_heads if num_kv_heads is None else num_kv_heads
    if heads < 1 or num_heads % heads:
        raise RequestError(f"num_heads {num_heads} is not a multiple of num_kv_heads {heads}")
    if grouped is False and heads != num_heads:
        raise RequestError(
            f"mha has as many key heads as query heads; for num_kv_heads {heads} take attention gqa"
        )
    return heads


def _norm(spec: str | Mapping[str, Any] | None, *, over: str, heads: int, head_dim: int) -> nn.Module | None:
    """The norm of queries or keys, of which there are so many heads."""
    if spec is None:
        return None
    options: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    card = registry.get("norm", options.pop("name", ""))
    if over == "heads":
        if "groups" not in card.allowed_options():
            raise RequestError(
                f"qk_norm_over heads norms each head by itself, and norm {card.name!r} has no option groups; take "
                "layernorm or rmsnorm, or qk_norm_over head"
            )
        options["groups"] = heads
    return card.build(d_model=head_dim if over == "head" else heads * head_dim, **options)
