"""What is found of well-known model types, and that it is what our rules say of the families we load."""

import functools

import pytest
import torch

from paribus.families.family import families
from paribus.families.survey import building
from paribus.families.survey.own import own_row, own_rows
from paribus.families.survey.table import Row, survey, survey_type

pytest.importorskip("transformers")
FACTS = {
    ("causal", "llama"): {
        "ffn": "swiglu",
        "activation": "silu",
        "gated": "yes",
        "norm": "rmsnorm",
        "placement": "pre",
        "position": "rope",
        "algorithm": "BPE",
    },
    ("causal", "gpt2"): {
        "ffn": "gelu_tanh",
        "gated": "no",
        "norm": "layernorm",
        "placement": "pre",
        "position": "learned",
        "tied": "yes",
    },
    ("causal", "gemma2"): {
        "ffn": "geglu_tanh",
        "norm": "rmsnorm_offset",
        "placement": "sandwich",
        "window": "4096 in 13 of 26 layers",
    },
    ("causal", "olmo2"): {"placement": "post_sublayer", "norm": "rmsnorm", "qk_norm": "rmsnorm"},
    ("causal", "bloom"): {"position": "alibi", "embedding_norm": "layernorm", "activation": "gelu_tanh"},
    ("causal", "nemotron"): {"activation": "relu2", "gated": "no", "norm": "layernorm_offset"},
    ("causal", "smollm3"): {"position": "rope in 3 of 4 layers", "attention": "gqa"},
    ("causal", "cohere"): {"placement": "parallel"},
    ("causal", "gpt_neox"): {"placement": "parallel_separate"},
    ("causal", "mixtral"): {"ffn": "swiglu", "experts": "8, top 2"},
    ("causal", "zamba"): {"ffn": "geglu", "attention": "mha, a mixer"},
    ("encoder", "xmod"): {"ffn": "gelu", "placement": "post"},
    ("encoder", "neomme"): {"ffn": "relu2", "qk_norm": "rmsnorm"},
    ("encoder", "bert"): {"placement": "post", "embedding_norm": "layernorm", "algorithm": "WordPiece"},
    ("encoder-decoder", "t5"): {
        "activation": "relu",
        "gated": "no",
        "position": "relative",
        "norm": "rmsnorm",
    },
}
#: Model types that are built in ways of their own.
RARE = {
    ("causal", "zaya"): {"ffn": "swiglu", "qk_norm": "?"},
    ("causal", "recurrent_gemma"): {"ffn": "geglu_tanh", "attention": "mha, a mixer"},
    ("causal", "flint"): {"position": "rope in 5 of 7 layers"},
    ("causal", "llama4_text"): {"qk_norm": "rmsnorm in 3 of 4 layers"},
    ("causal", "deepseek_v2"): {"ffn": "swiglu", "experts": "64"},
    ("causal", "doge"): {"experts": "?"},
    ("encoder", "roformer"): {"position": "rope"},
    ("encoder", "ibert"): {"ffn": "gelu"},
    ("encoder", "esm"): {"ffn": "gelu", "position": "learned"},
}
#: What both the rules and the models say; the rules know sizes and options of more.
SHARED = ("activation", "gated", "ffn", "norm", "placement", "position", "attention", "qk_norm", "tied")
SLOW = pytest.mark.slow


@functools.cache
def found(kind: str, model_type: str) -> Row:
    return survey_type(kind, model_type)


def kind_of(model_type: str) -> str:
    return next(row.kind for row in own_rows().rows if row.type == model_type)


@pytest.mark.parametrize(
    "which", [*FACTS, *(pytest.param(which, marks=SLOW) for which in RARE)], ids="-".join
)
def test_known_facts_are_found(which: tuple[str, str]) -> None:
    with building.quiet():
        if which not in building.model_types():
            pytest.skip("this transformers has no such type")
    row, facts = found(*which), (FACTS | RARE)[which]
    assert {name: row.value(name) for name in facts} == facts


@pytest.mark.parametrize("model_type", sorted(families()))
def test_models_say_what_our_rules_say(model_type: str) -> None:
    kind = kind_of(model_type)
    with building.quiet():
        config = building.default_config(kind, model_type).to_dict()
    ours, theirs = own_row(families()[model_type], config), found(kind, model_type)
    said = {name: theirs.value(name).split(" on ")[0].split(" in ")[0] for name in SHARED}
    assert said == {name: ours.value(name) for name in SHARED}
    assert all(theirs.claims[name].known != "unknown" for name in SHARED)


def test_rules_describe_every_family_without_transformers() -> None:
    rows = own_rows().rows
    assert {row.type for row in rows} == set(families())
    assert all(row.built and row.claims["ffn"].known == "rules" for row in rows)


def test_what_cannot_be_built_is_listed_with_the_reason() -> None:
    row = found("causal", "no_such_type")
    assert not row.built and "no_such_type" in row.problem


def test_building_leaves_the_default_dtype_alone() -> None:
    found("causal", "llama")
    assert torch.get_default_dtype() == torch.float32


@SLOW
def test_every_type_is_listed_and_most_are_found() -> None:
    heard = []
    rows = survey(progress=lambda done, total, name: heard.append((done, total))).rows
    with building.quiet():
        assert [(row.kind, row.type) for row in rows] == building.model_types()
    assert heard[-1] == (len(rows), len(rows))
    causal = [row for row in rows if row.kind == "causal"]
    assert sum(row.value("ffn") != "?" for row in causal) > 0.85 * len(causal)
    assert sum(row.value("placement") != "?" for row in causal) > 0.8 * len(causal)
    assert all(row.problem for row in rows if not row.built)
