"""Whether the matrices of attention are as wide as the heads that a config speaks of."""

from __future__ import annotations

from collections.abc import Iterable

from paribus.families.inspecting.claims import Claim
from paribus.families.inspecting.names import Groups
from paribus.families.inspecting.roles import by_role


def widths_that_differ(claims: Iterable[Claim], groups: Groups) -> list[str]:
    """A sentence for each matrix of queries, keys or values whose rows are not those of its heads."""
    values = {claim.name: claim.value for claim in claims if claim.section in ("attention", "model")}
    heads, kv_heads, head_dim = (values.get(name) for name in ("heads", "kv_heads", "head_dim"))
    width = values.get("d_model")
    if values.get("kind") == "mla" or type(heads) is not int or type(head_dim) is not int:
        return []
    kv_heads = kv_heads if type(kv_heads) is int else heads
    expected = {"q": heads, "k": kv_heads, "v": kv_heads, "qkv": heads + 2 * kv_heads}
    found = []
    roles = by_role(groups.in_layers)
    for role, many in expected.items():
        for group in roles.get(role, []):
            if len(group.shape) != 2 or group.is_bias:
                continue
            # Some keep their matrices as [in, out].
            rows = group.shape[1] if group.shape[0] == width else group.shape[0]
            if rows != many * head_dim:
                found.append(
                    f"{group.pattern} has the shape {list(group.shape)}, and {many} heads of {head_dim} would have "
                    f"{many * head_dim} rows"
                )
    return found
