"""What attention is tried on, and the comparison with the definition that it must pass and its mutants must fail."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paribus import oracles
from paribus.ops.attention import Backend, Mask

Attend = Callable[..., Tensor]
SCALE = 0.7


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call of attention at batch 2. `valid` and `document` tell of each key;"""

    heads: int = 2
    groups: int = 2
    queries: int = 5
    keys: int = 5
    causal: bool = True
    window: int | None = None
    valid: tuple[str, str] | None = None  # one letter a key: x for a token, . for padding
    document: tuple[str, str] | None = None  # one digit a key
    bias: int | None = None  # its number of axes
    softcap: float | None = None
    sinks: bool = False
    vectors: bool = False  # added to each query's keys and values, as Shaw's are

    def normal(self, *shape: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    def qkv(self, dtype: torch.dtype = torch.float64) -> list[Tensor]:
        """q, k and v of 3 channels that need gradients; they are the same numbers in each dtype."""
        shapes = (self.heads, self.queries), (self.groups, self.keys), (self.groups, self.keys)
        drawn = (self.normal(2, h, n, 3, seed=seed).bfloat16() for seed, (h, n) in enumerate(shapes))
        return [each.to(dtype).requires_grad_() for each in drawn]

    def mask(self) -> Mask:
        valid, document = self.arrays()
        return Mask(
            causal=self.causal,
            window=self.window,
            key_valid_BS=None if valid is None else torch.from_numpy(valid),
            document_BS=None if document is None else torch.from_numpy(document),
        )

    def arrays(self) -> tuple[Any, Any]:
        valid = None if self.valid is None else np.array([[c == "x" for c in row] for row in self.valid])
        document = (
            None if self.document is None else np.array([[int(c) for c in row] for row in self.document])
        )
        return valid, document

    def terms(self, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """The learned terms by name."""
        shape = (self.heads, self.queries, self.keys)
        terms: dict[str, Tensor] = {}
        if self.bias is not None:
            terms["bias"] = self.normal(*((2, *shape) if self.bias == 4 else shape), seed=3)
        if self.sinks:
            terms["sinks"] = self.normal(self.heads, seed=4)
        if self.vectors:
            terms["key_vectors"] = self.normal(*shape[1:], 3, seed=5)
            terms["value_vectors"] = self.normal(*shape[1:], 3, seed=6)
        return {name: term.bfloat16().to(dtype).requires_grad_() for name, term in terms.items()}

    def run(self, attend: Attend, qkv: list[Tensor], terms: dict[str, Tensor], backend: Backend) -> Tensor:
        hooks: dict[str, Any] = {}
        if self.vectors:
            keys, values = terms["key_vectors"], terms["value_vectors"]
            hooks["score"] = lambda q: torch.einsum("bhtk,tsk->bhts", q, keys)
            hooks["value"] = lambda p: torch.einsum("bhts,tsk->bhtk", p, values)
        return attend(
            *qkv,
            mask=self.mask(),
            scale=SCALE,
            backend=backend,
            bias=terms.get("bias"),
            sinks_H=terms.get("sinks"),
            softcap=self.softcap,
            **hooks,
        )

    def expected(self) -> oracles.Array:
        """The definition, query by query."""
        q, k, v = (x.detach().numpy() for x in self.qkv())
        terms = {name: term.detach().numpy() for name, term in self.terms().items()}
        valid, document = self.arrays()
        visible = oracles.visible_mask(
            self.queries,
            self.keys,
            causal=self.causal,
            window=self.window,
            key_valid=valid,
            document=document,
        )
        bias = terms.pop("bias", None)
        rows = []
        for row in range(2):
            per_row = {} if bias is None else {"bias": bias[row] if bias.ndim == 4 else bias}
            seen = visible if visible.ndim == 2 else visible[row]
            one = (slice(row, row + 1),)
            rows.append(
                oracles.attention(
                    q[one],
                    k[one],
                    v[one],
                    scale=SCALE,
                    visible=seen,
                    softcap=self.softcap,
                    **terms,
                    **per_row,
                )
            )
        return np.concatenate(rows)


#: Who may see whom; the first queries of a left-padded causal row see nothing.
MASKS = {
    "open": Case(causal=False),
    "causal": Case(),
    "window of one": Case(window=1),
    "window": Case(window=3),
    "window longer than the text": Case(window=9),
    "window both ways": Case(causal=False, window=2),
    "padding on the right": Case(causal=False, valid=("xxxxx", "xxx..")),
    "padding on the left": Case(valid=("xxxxx", "..xxx")),
    "a row of nothing but padding": Case(causal=False, valid=(".....", "xx.xx")),
    "documents": Case(document=("00111", "01122")),
    "documents both ways": Case(causal=False, document=("00111", "00000")),
    "everything": Case(window=3, valid=("x.xxx", "..xxx"), document=("00011", "00111")),
}
#: Fewer queries than keys, as with a cache: they are the last of the keys.
CACHED = {f"{name}, cached": replace(case, queries=2) for name, case in MASKS.items()}
HEADS = {
    f"{heads} heads on {groups}": Case(heads=heads, groups=groups, window=3)
    for heads, groups in ((1, 1), (4, 4), (4, 2), (6, 2), (3, 1))
}
BIASES = {
    f"bias of {axes} axes{what}": Case(heads=4, bias=axes, **given)
    for axes in (3, 4)
    for what, given in {
        "": {"causal": False},
        ", causal": {},
        ", cached and grouped": {"queries": 2, "groups": 2},
        ", padded": {"valid": ("xxx..", "..xxx")},
    }.items()
}
#: What both backends can do.
COMMON = {**MASKS, **CACHED, **HEADS, **BIASES}
#: What only the plain form can.
PLAIN = {
    "softcap": Case(softcap=0.8),
    "sinks": Case(sinks=True),
    "sinks of blind queries": Case(sinks=True, valid=("..xxx", ".....")),
    "vectors": Case(vectors=True, causal=False),
    "vectors, cached and grouped": Case(heads=4, vectors=True, queries=2),
    "all at once": Case(
        heads=4, window=3, valid=("x.xxx", "..xxx"), bias=4, softcap=0.8, sinks=True, vectors=True
    ),
}


def assert_is_the_definition(attend: Attend, case: Case, backend: Backend = "plain") -> None:
    """Equal up to a few roundings of float64, and zero where a query sees nothing."""
    actual = case.run(attend, case.qkv(), case.terms(), backend)
    assert actual.dtype == torch.float64
    np.testing.assert_allclose(actual.detach().numpy(), case.expected(), rtol=1e-12, atol=1e-13)
