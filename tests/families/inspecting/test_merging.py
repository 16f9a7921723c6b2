"""Two lists of claims as one."""

from typing import Any

from paribus.families.inspecting.claims import Claim, Evidence, Sure
from paribus.families.inspecting.merging import merged

KEY, TENSOR = Evidence(source="config", what="key"), Evidence(source="tensor", what="t", value=[2])


def gated(value: Any, layers: tuple[int, ...] | None, sure: Sure, evidence: Evidence) -> Claim:
    return Claim(section="ffn", name="gated", value=value, sure=sure, evidence=(evidence,), layers=layers)


def test_tensors_prove_what_they_say_and_nothing_of_other_layers() -> None:
    said = [gated(True, (0,), "config", KEY), gated(False, (1,), "config", KEY)]
    warnings: list[str] = []
    found = merged(said, [gated(True, None, "tensors", TENSOR)], warnings)
    assert [(claim.sure, claim.evidence) for claim in found] == [
        ("tensors", (KEY, TENSOR)),
        ("config", (KEY,)),
    ]
    assert warnings == []


def test_where_both_differ_the_tensors_are_believed() -> None:
    warnings: list[str] = []
    [claim] = merged([gated(True, None, "config", KEY)], [gated(False, None, "tensors", TENSOR)], warnings)
    assert (claim.value, claim.sure, claim.evidence) == (False, "tensors", (TENSOR, KEY))
    assert warnings == ["ffn gated: True by the config (key None), False by the tensors (t [2])"]
