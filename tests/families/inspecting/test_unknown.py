"""`inspect` of model types that are not loaded, and of configs that nobody vouches for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paribus.families.files import open_folder
from paribus.families.inspecting.inspection import inspect
from tests.families.files.checkpoints import refusal

from .checkpoints import change_config, config_of, write_config, write_headers
from .conftest import Written

_FULL, _SLIDING = "full_attention", "sliding_attention"


def test_experts_of_mixtral(written: Written) -> None:
    folder, parameters = written("mixtral")
    found = inspect(folder)
    assert (found.family, found.warnings) == (None, ())
    assert (found.value("ffn", "experts"), found.value("ffn", "active_experts")) == (4, 2)
    assert (found.value("ffn", "gated"), found.value("ffn", "expert_d_ff")) == (True, 48)
    assert found.value("sizes", "parameters") == parameters
    idle = 4 * 2 * 3 * 32 * 48  # in four layers two experts of three matrices
    assert found.value("sizes", "active_parameters") == parameters - idle
    assert found.value("placement", "residual") == "pre"
    assert found.value("sizes", "embedding_parameters") == 40 * 32
    attention, router, experts = 2 * 32 * 32 + 2 * 16 * 32, 4 * 32, 2 * 3 * 32 * 48
    matrices = 4 * (attention + router + experts) + 40 * 32
    assert found.value("sizes", "flops_per_token") == 2 * matrices + 4 * 32 * 4 * 16


def test_shared_experts_of_qwen2_moe(written: Written) -> None:
    folder, parameters = written("qwen2_moe")
    found = inspect(folder)
    assert (found.value("ffn", "has_shared_experts"), found.value("ffn", "shared_d_ff")) == (True, 24)
    assert found.value("attention", "bias") == "qkv"
    assert found.value("sizes", "parameters") == parameters


def test_sinks_windows_and_stacked_experts_of_gpt_oss(written: Written) -> None:
    folder, parameters = written("gpt_oss")
    found = inspect(folder)
    assert found.value("attention", "sinks") is True
    assert found.values("attention", "window") == {(0, 2): 128, (1, 3): "none"}
    assert (found.value("ffn", "experts"), found.value("ffn", "gated")) == (4, True)
    assert str(found.value("position", "scaling")).startswith("yarn (")
    assert found.value("sizes", "parameters") == parameters


def test_latent_attention_and_dense_first_layers_of_deepseek(written: Written) -> None:
    folder, parameters = written("deepseek_v3")
    found = inspect(folder)
    assert (found.value("attention", "kind"), found.warnings) == ("mla", ())
    assert found.values("ffn", "layer") == {(0,): "dense", (1, 2): "experts"}
    assert found.value("sizes", "kv_cache_bytes_per_token") == 3 * (8 + 4) * 2
    assert found.value("sizes", "parameters") == parameters


def test_the_language_model_of_one_that_sees(written: Written) -> None:
    folder, parameters = written("gemma3")
    found = inspect(folder)
    assert (found.model_type, found.value("model", "read_from")) == ("gemma3_text", "text_config")
    assert (found.value("placement", "residual"), found.value("norm", "gain")) == ("sandwich", "1 + w")
    assert found.value("attention", "qk_norm") == "one for all heads"
    assert found.values("attention", "window") == {(0, 1, 2, 3, 4): 8, (5,): "none"}
    tensors = open_folder(folder).tensors.items()
    text = sum(info.num_elements for name, info in tensors if "language_model" in name)
    assert found.value("sizes", "parameters") == text
    assert found.value("sizes", "parameters_outside") == parameters - text


@pytest.mark.parametrize(
    ("keys", "key", "value"),
    [
        ({"activation_function": "gelu_new"}, ("ffn", "activation"), "gelu_tanh"),
        ({"hidden_activation": "gelu"}, ("ffn", "activation"), "gelu"),
        ({"rms_norm_eps": 1e-5}, ("norm", "kind"), "rmsnorm"),
        ({"layer_norm_epsilon": 1e-5}, ("norm", "kind"), None),
        ({"num_key_value_heads": 1}, ("attention", "kind"), "mqa"),
        ({"num_key_value_heads": 4}, ("attention", "kind"), "mha"),
        ({"rope_theta": 5e5}, ("position", "base"), 5e5),
        ({"alibi": True}, ("position", "kind"), "alibi"),
        ({"rope_theta": 1e4}, ("position", "kind"), "rope"),
        ({"rope_theta": 1e4, "layer_types": [_FULL] * 4}, ("position", "kind"), "rope"),
        ({"rope_theta": 1e4, "layer_types": [_FULL, "mamba"] * 2}, ("position", "kind"), "rope"),
        ({"rope_theta": 1e4, "layer_types": [_FULL, _SLIDING] * 2}, ("position", "kind"), None),
        ({"n_routed_experts": 8}, ("ffn", "experts"), 8),
        ({"sliding_window": 64}, ("attention", "window"), 64),
        ({"tie_word_embeddings": True}, ("head", "tied"), True),
        ({}, ("ffn", "gated"), None),
        ({}, ("placement", "residual"), None),
    ],
)
def test_common_names_of_keys(tmp_path: Path, keys: dict[str, Any], key: tuple[str, str], value: Any) -> None:
    bare = {"hidden_act": None, "rms_norm_eps": None, "num_key_value_heads": None, **keys}
    found = inspect(write_config(tmp_path, config_of(model_type="new_type", **bare)))
    assert found.value(*key) == value


@pytest.mark.parametrize(
    ("by_type", "expected"),
    [
        ({_FULL: {"rope_theta": 1e4}, _SLIDING: {"rope_theta": 1e4}}, {None: "rope"}),
        ({_FULL: None, _SLIDING: {"rope_theta": 1e4}}, {(0, 2): "none", (1, 3): "rope"}),
        ({_SLIDING: {"rope_theta": 1e4}}, {None: None}),
    ],
)
def test_rope_is_told_of_the_layers_that_it_is_given_for(
    tmp_path: Path, by_type: dict[str, Any], expected: dict[Any, Any]
) -> None:
    keys = {"layer_types": [_FULL, _SLIDING] * 2, "rope_parameters": by_type}
    found = inspect(write_config(tmp_path, config_of(model_type="new_type", **keys)))
    assert found.values("position", "kind") == expected


_BLOCK = "model.layers.0.input_layernorm"


@pytest.mark.parametrize(
    ("more", "kind"),
    [({}, "layernorm"), ({f"{_BLOCK}.alpha": [1]}, None), ({f"{_BLOCK}.running_mean": [32]}, None)],
)
def test_a_bias_alone_makes_a_layernorm(tmp_path: Path, more: dict[str, list[int]], kind: str | None) -> None:
    shapes = {f"{_BLOCK}.weight": [32], f"{_BLOCK}.bias": [32], **more}
    config = config_of(model_type="new_type", num_hidden_layers=1, rms_norm_eps=None)
    found = inspect(write_headers(tmp_path, config, shapes, shards=1))
    assert (found.value("norm", "bias"), found.value("norm", "kind")) == (True, kind)


def test_no_tensor_says_that_queries_are_not_normed(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("mixtral")  # a norm may have nothing to learn
    change_config(folder, use_qk_norm=True)
    found = inspect(folder)
    assert (found.value("attention", "qk_norm"), found.warnings) == (True, ())


def test_keys_that_nobody_knows_are_listed(tmp_path: Path) -> None:
    found = inspect(
        write_config(tmp_path, config_of(model_type="new_type", residual_trick=3, use_cache=True))
    )
    assert found.unread == ("residual_trick",)


def test_heads_that_do_not_fit_the_matrices_are_told(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("mixtral")
    change_config(folder, num_key_value_heads=4)
    assert any("4 heads of 8 would have 32 rows" in each for each in inspect(folder).warnings)


def test_heads_of_one_matrix_for_all_that_is_kept_the_other_way_round(
    copy_of: Callable[[str], Path],
) -> None:
    folder = copy_of("gpt2")
    change_config(folder, model_type="new_type")
    assert inspect(folder).warnings == ()
    change_config(folder, n_head=2, num_key_value_heads=1)
    [said] = [each for each in inspect(folder).warnings if "c_attn" in each]
    assert said.endswith("has the shape [32, 96], and 4 heads of 16 would have 64 rows")


def test_what_a_known_family_cannot_read_is_described_all_the_same(tmp_path: Path) -> None:
    found = inspect(write_config(tmp_path, config_of(model_type="gpt2", n_layer=2)))
    assert found.family is None
    assert found.warnings[0].startswith("paribus.load would refuse it: ")
    assert found.value("model", "d_model") == 32


def test_code_that_comes_along_is_told_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit(3)")
    path = write_config(tmp_path, config_of(model_type="evil", auto_map={"AutoConfig": "evil.Config"}))
    assert "auto_map names evil.Config" in inspect(path).warnings[0]


@pytest.mark.parametrize("model_type", ["llama", "smollm3", "qwen2", "new_type"])
def test_too_many_layers_are_refused_and_not_counted_out(tmp_path: Path, model_type: str) -> None:
    path = write_config(tmp_path, config_of(model_type=model_type, num_hidden_layers=10**12))
    assert "num_hidden_layers is 1,000,000,000,000" in refusal(inspect, path)


@pytest.mark.parametrize("model_type", ["llama", "new_type"])
@pytest.mark.parametrize("key", ["hidden_size", "intermediate_size", "num_attention_heads", "vocab_size"])
def test_a_size_beyond_all_models_is_refused(tmp_path: Path, model_type: str, key: str) -> None:
    path = write_config(tmp_path, config_of(model_type=model_type, **{key: 10**15}))
    assert f"{key} is about 10^15" in refusal(inspect, path)


@pytest.mark.parametrize(
    "keys",
    [
        {"hidden_size": "wide"},
        {"num_attention_heads": [4, 4]},
        {"layer_types": [{"a": 1}] * 4},
        {"rope_parameters": {"a": {}, "b": {}}, "layer_types": ["a"] * 4},
        {"rope_scaling": "yarn"},
        {"no_rope_layers": [[]] * 4},
        {"num_attention_heads": 0, "num_key_value_heads": 0},
    ],
)
def test_values_of_the_wrong_kind_leave_claims_unknown(tmp_path: Path, keys: dict[str, Any]) -> None:
    found = inspect(write_config(tmp_path, config_of(model_type="new_type", **keys)))
    assert found.value("sizes", "flops_per_token") is None


def test_context_is_a_number_of_tokens(tmp_path: Path) -> None:
    assert "context is a number of tokens" in refusal(inspect, write_config(tmp_path, config_of()), context=0)


def test_the_kind_of_attention_is_told_of_the_layers_that_attend(tmp_path: Path) -> None:
    config = config_of(model_type="new_type", layer_types=["mamba", _FULL] * 2)
    found = inspect(write_config(tmp_path, config))
    assert found.values("attention", "kind") == {(1, 3): "gqa"}
    assert found.value("sizes", "kv_cache_bytes_per_token") == 2 * 2 * 2 * 8 * 2


def test_a_null_window_is_the_evidence_that_there_is_none(tmp_path: Path) -> None:
    file = write_config(tmp_path, {**config_of(model_type="new_type"), "sliding_window": None})
    [claim] = [each for each in inspect(file).claims if each.name == "window"]
    assert claim.value == "none"
    assert [(each.source, each.what, each.value) for each in claim.evidence] == [
        ("config", "sliding_window", None)
    ]


def test_experts_and_normed_queries_are_unknown_where_nothing_says(tmp_path: Path) -> None:
    claims = inspect(write_config(tmp_path, config_of(model_type="new_type"))).claims
    unknown = {each.key for each in claims if each.sure == "unknown"}
    assert {("ffn", "experts"), ("attention", "qk_norm")} <= unknown
