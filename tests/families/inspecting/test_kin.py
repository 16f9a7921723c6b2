"""What is said of types that are not loaded, beside what `transformers` builds of them."""

import json
from pathlib import Path

import pytest

from paribus.families.inspecting.inspection import inspect
from paribus.families.inspecting.kin import KNOWN
from paribus.families.survey import building
from paribus.families.survey.table import survey_type

from .checkpoints import write_config

pytest.importorskip("transformers")
#: Types whose code goes another way than their keys, or than their kin.
_ODD = ("cohere2", "gpt_oss", "phimoe")
_OTHERS = sorted({*KNOWN, "afmoe", "minimax_m3_vl_text"} - {*_ODD})


@pytest.mark.parametrize(
    "model_type", [*_ODD, *(pytest.param(name, marks=pytest.mark.slow) for name in _OTHERS)]
)
def test_a_bare_config_is_told_as_the_model_is_built(model_type: str, tmp_path: Path) -> None:
    row = survey_type("causal", model_type)
    with building.quiet():
        config = json.loads(building.default_config("causal", model_type).to_json_string(use_diff=False))
    found = inspect(write_config(tmp_path, config))
    gain = found.value("norm", "gain")
    positions = found.values("position", "kind")
    told = {
        "activation": found.value("ffn", "activation"),
        "gated": {True: "yes", False: "no", None: None}[found.value("ffn", "gated")],
        "norm": found.value("norm", "kind") + ("_offset" if gain == "1 + w" else ""),
        "placement": found.value("placement", "residual"),
        "position": " and ".join(sorted(set(positions.values()))),
        "qk_norm": "no" if found.value("attention", "qk_norm") == "none" else None,
    }
    expected = {name: row.value(name) for name in told}
    if gain is None:
        expected["norm"] = expected["norm"].removesuffix("_offset")
    if " in " in expected["position"]:
        expected["position"] = "none and rope"
    expected["position"] = expected["position"].split(" on ")[0].split("_")[0]
    known = {name for name, value in expected.items() if value != "?" and told[name] is not None}
    assert {name: told[name] for name in known} == {name: expected[name] for name in known}
    assert {"activation", "norm", "position"} <= known or model_type == "deepseek_v2"


def test_layers_without_a_window_have_no_positions_in_cohere2(tmp_path: Path) -> None:
    types = ["sliding_attention", "full_attention"]
    keys = {"model_type": "cohere2", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    keys |= {"layer_types": types, "sliding_window": 4, "rope_theta": 1e4}
    found = inspect(write_config(tmp_path, keys))
    assert found.values("position", "kind") == {(0,): "rope", (1,): "none"}
    [claim, _] = [claim for claim in found.claims if claim.key == ("position", "kind")]
    assert [(each.source, each.what) for each in claim.evidence[:2]] == [
        ("family", "cohere2"),
        ("config", "layer_types"),
    ]
