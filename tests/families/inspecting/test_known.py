"""`inspect` of every known family and of our own format, against transformers and the built model."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import paribus
from paribus import registry
from paribus.families.family import families, family_of, interpret
from paribus.families.inspecting.counted import of_config
from paribus.families.inspecting.inspection import inspect
from paribus.model.cache import Cache
from paribus.model.config import ModelConfig
from paribus.model.count import num_params, on_meta

from .checkpoints import KNOWN, change_config, config_of, write_config, write_headers
from .conftest import Written

#: Activation, gated, norm, placement, position and norm of queries, as the papers have them.
PARTS = {
    "bert": ("gelu", False, "layernorm", "post", "learned", "none"),
    "bloom": ("gelu_tanh", False, "layernorm", "pre", "alibi", "none"),
    "cohere": ("silu", True, "layernorm", "parallel", "rope", "one for each head"),
    "falcon": ("gelu", False, "layernorm", "parallel_separate", "rope", "none"),
    "gemma": ("gelu_tanh", True, "rmsnorm", "pre", "rope", "none"),
    "gemma2": ("gelu_tanh", True, "rmsnorm", "sandwich", "rope", "none"),
    "gpt2": ("gelu_tanh", False, "layernorm", "pre", "learned", "none"),
    "gpt_neox": ("gelu", False, "layernorm", "parallel_separate", "rope", "none"),
    "gptj": ("gelu_tanh", False, "layernorm", "parallel", "rope", "none"),
    "llama": ("silu", True, "rmsnorm", "pre", "rope", "none"),
    "mistral": ("silu", True, "rmsnorm", "pre", "rope", "none"),
    "mpt": ("gelu", False, "layernorm", "pre", "alibi", "none"),
    "nemotron": ("relu2", False, "layernorm", "pre", "rope", "none"),
    "olmo2": ("silu", True, "rmsnorm", "post_sublayer", "rope", "over all heads at once"),
    "opt": ("relu", False, "layernorm", "pre", "learned", "none"),
    "phi": ("gelu_tanh", False, "layernorm", "parallel", "rope", "one for all heads"),
    "phi3": ("silu", True, "rmsnorm", "pre", "rope", "none"),
    "qwen2": ("silu", True, "rmsnorm", "pre", "rope", "none"),
    "qwen3": ("silu", True, "rmsnorm", "pre", "rope", "one for all heads"),
    "roberta": ("gelu", False, "layernorm", "post", "learned", "none"),
    "smollm3": ("silu", True, "rmsnorm", "pre", None, "none"),
    "stablelm": ("silu", True, "layernorm", "pre", "rope", "none"),
    "t5": ("relu", False, "rmsnorm", "pre", "t5", "none"),
}


def test_every_known_family_is_tried() -> None:
    assert PARTS.keys() == KNOWN.keys() == families().keys()


@pytest.mark.parametrize("name", PARTS)
def test_parts_and_parameters_of_a_family(name: str, written: Written) -> None:
    folder, parameters = written(name)
    found = inspect(folder)
    told = [
        found.value(*key)
        for key in (
            ("ffn", "activation"),
            ("ffn", "gated"),
            ("norm", "kind"),
            ("placement", "residual"),
            ("position", "kind"),
            ("attention", "qk_norm"),
        )
    ]
    assert tuple(told) == PARTS[name]
    assert found.family == name
    assert (found.warnings, found.unread) == ((), ())
    assert found.value("sizes", "parameters") == parameters
    gated = next(claim for claim in found.claims if claim.key == ("ffn", "gated"))
    assert gated.sure == "tensors"
    assert any(each.source == "tensor" for each in gated.evidence)


@pytest.mark.parametrize("name", [name for name in PARTS if name not in ("gemma2", "mistral", "qwen2")])
def test_flops_are_those_of_the_operations_that_the_model_runs(name: str, written: Written) -> None:
    folder, _ = written(name)
    config = json.loads((folder / "config.json").read_text())
    model_config = interpret(family_of(config), config).config
    length = 16
    ids = torch.zeros(1, length, dtype=torch.long, device="meta")
    source = ids if model_config.architecture == "encoder_decoder" else None
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        on_meta(model_config)(ids, source_BS=source)
    assert inspect(folder, context=length).value("sizes", "flops_per_token") == (
        counter.get_total_flops() / length
    )


def test_layers_that_differ_are_told_apart(written: Written) -> None:
    windows = inspect(written("gemma2")[0]).values("attention", "window")
    assert windows == {(0, 2): 5, (1, 3): "none"}
    positions = inspect(written("smollm3")[0]).values("position", "kind")
    assert positions == {(0, 1, 2): "rope", (3,): "none"}


def test_keys_that_stand_there_are_told_from_defaults(tmp_path: Path) -> None:
    path = write_config(tmp_path, config_of(rms_norm_eps=None))
    claims = {claim.key: claim for claim in inspect(path).claims}
    assert (claims["ffn", "activation"].sure, claims["norm", "eps"].sure) == ("config", "family")
    assert claims["ffn", "activation"].evidence[0].source == "config"
    assert claims["norm", "eps"].evidence[0].source == "default"
    assert claims["ffn", "gated"].evidence[0].source == "family"


def test_a_bare_config_is_counted_without_weights(tmp_path: Path) -> None:
    config = config_of()
    found = inspect(write_config(tmp_path, config))
    assert found.value("sizes", "parameters") == num_params(interpret(family_of(config), config).config)
    assert found.value("sizes", "weight_bytes") is None


def test_one_head_of_keys_is_one_head_in_the_evidence(tmp_path: Path) -> None:
    folder = write_config(tmp_path, config_of(num_key_value_heads=1))
    [claim] = [each for each in inspect(folder).claims if each.name == "kv_cache_bytes_per_token"]
    assert " · 1 head · " in claim.evidence[0].what


def test_an_encoder_decoder_keeps_its_source_too(written: Written) -> None:
    folder, _ = written("t5")
    found = inspect(folder, context=16)
    a_token = found.value("sizes", "kv_cache_bytes_per_token")
    assert found.value("sizes", "kv_cache_bytes") == 2 * 16 * a_token
    model = paribus.load(folder)
    cache = Cache()
    ids = torch.zeros(1, 16, dtype=torch.long)
    with torch.inference_mode():
        model(ids, source_BS=ids, cache=cache)
    assert found.value("sizes", "kv_cache_bytes") == cache.nbytes // 2  # bfloat16 for float32


def test_windows_bound_what_is_kept_of_the_past(written: Written) -> None:
    found = inspect(written("gemma2")[0], context=16)
    layer = 2 * 2 * 8 * 2  # keys and values of two heads of eight channels, two bytes each
    assert found.value("sizes", "kv_cache_bytes_per_token") == 2 * layer
    assert found.value("sizes", "kv_cache_bytes") == (2 * 16 + 2 * 5) * layer


def test_counts_of_one_layer_of_each_kind_are_those_of_the_whole_model() -> None:
    patterned = ModelConfig(
        vocab_size=40,
        d_model=32,
        d_ff=48,
        num_layers=6,
        num_heads=4,
        ffn=["swiglu", "relu", "swiglu"],
        attention=["mha", {"name": "mha", "bias": True}],
    )
    both = ModelConfig(
        vocab_size=40,
        d_model=32,
        d_ff=48,
        num_layers=3,
        num_heads=4,
        architecture="encoder_decoder",
        encoder_layers=6,
        ffn=["swiglu", "relu", "relu"],
    )
    for config in (patterned, both):
        assert of_config(config).total == num_params(config)


def test_our_own_format(tmp_path: Path) -> None:
    config = ModelConfig(vocab_size=40, d_model=32, d_ff=48, num_layers=2, num_heads=4, ffn="geglu")
    paribus.save(paribus.build(config, seed=0), tmp_path / "mine", layout="paribus")
    found = inspect(tmp_path / "mine")
    assert (found.family, found.warnings) == ("paribus", ())
    assert (found.value("ffn", "activation"), found.value("ffn", "gated")) == ("gelu", True)
    assert found.value("sizes", "parameters") == num_params(config)


OWN = [
    *((slot, name) for slot in ("norm", "residual", "position") for name in registry.catalog()[slot]),
    *(("ffn", name) for name in ("maxout", "relu", "swiglu")),
]


def test_every_part_in_our_own_format_is_told_as_it_is(tmp_path: Path) -> None:
    sizes = {"vocab_size": 40, "d_model": 32, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    for slot, name in OWN:
        config = ModelConfig(**{**sizes, slot: name})
        model = paribus.build(config, seed=0)
        paribus.save(model, tmp_path / slot / name, layout="paribus")
        found = inspect(tmp_path / slot / name)
        assert (found.warnings, found.value("sizes", "parameters")) == ((), num_params(config)), name
        norm = {each for each, _ in config.build_norm().named_parameters()}
        assert found.value("norm", "bias") is ("bias" in norm)
        assert (found.value("norm", "gain") == "none") is ("weight" not in norm)
        assert found.value("ffn", "gated") is hasattr(model.decoder.blocks[0].ffn, "gate")
        told = {
            "norm": found.value("norm", "kind"),
            "residual": found.value("placement", "residual"),
            "position": found.value("position", "kind"),
        }
        assert slot == "ffn" or name.startswith(told[slot])


def test_what_our_own_format_says_is_the_evidence(tmp_path: Path) -> None:
    config = ModelConfig(
        vocab_size=40,
        d_model=32,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        ffn=["swiglu", "relu"],
        attention={"name": "mha", "window": 3},
    )
    paribus.save(paribus.build(config, seed=0), tmp_path, layout="paribus")
    claims = {(*claim.key, claim.value): claim for claim in inspect(tmp_path).claims}
    attention = {"name": "mha", "window": 3}
    for key, argument, value in (
        (("ffn", "activation", "relu"), "ffn", ["swiglu", "relu"]),
        (("ffn", "gated", False), "ffn", ["swiglu", "relu"]),
        (("attention", "window", 3), "attention", attention),
        (("attention", "kind", "mha"), "attention", attention),
        (("placement", "final_norm", True), "residual", "pre"),
    ):
        [said] = claims[key].evidence
        assert (claims[key].sure, said.source, said.what) == ("config", "config", f"model.{argument}")
        assert said.value == value
    assert claims["ffn", "experts", "none"].sure == "family"


def test_tensors_are_believed_where_the_config_contradicts_them(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("llama")
    change_config(folder, intermediate_size=64)
    found = inspect(folder)
    assert found.value("ffn", "d_ff") == 48
    assert any("ffn d ff: 64 by the config (intermediate_size 64), 48 by" in each for each in found.warnings)
    assert any("by config.json it would be [64, 32]" in each for each in found.warnings)


def test_a_bias_that_the_config_does_not_speak_of_is_told(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("stablelm")
    change_config(folder, use_qkv_bias=False)
    found = inspect(folder)
    assert found.value("attention", "bias") == "qkv"
    assert any(each.startswith("attention bias: False by the config") for each in found.warnings)


def test_a_model_of_70_billion_parameters_is_read_from_its_headers(tmp_path: Path) -> None:
    width, hidden, layers = 8192, 28672, 80
    shapes = {name: [128256, width] for name in ("model.embed_tokens.weight", "lm_head.weight")}
    shapes["model.norm.weight"] = [width]
    for layer in range(layers):
        block = f"model.layers.{layer}"
        shapes |= {f"{block}.self_attn.{each}_proj.weight": [width, width] for each in "qo"}
        shapes |= {f"{block}.self_attn.{each}_proj.weight": [1024, width] for each in "kv"}
        shapes |= {f"{block}.mlp.{each}_proj.weight": [hidden, width] for each in ("gate", "up")}
        shapes[f"{block}.mlp.down_proj.weight"] = [width, hidden]
        shapes |= {f"{block}.{each}_layernorm.weight": [width] for each in ("input", "post_attention")}
    sizes = {"hidden_size": width, "intermediate_size": hidden, "num_hidden_layers": layers}
    heads = {"num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256}
    config = config_of(**sizes, **heads, max_position_embeddings=8192)
    found = inspect(write_headers(tmp_path, config, shapes, shards=30))
    assert len(shapes) == 723
    assert found.warnings == ()
    assert found.value("sizes", "parameters") == 70_553_706_496
    assert found.value("sizes", "weight_bytes") == 2 * 70_553_706_496
    assert found.value("sizes", "kv_cache_bytes_per_token") == 80 * 2 * 8 * 128 * 2


def test_what_is_told_is_plain_data(written: Written) -> None:
    document = json.loads(json.dumps(dataclasses.asdict(inspect(written("qwen3")[0]))))
    assert document.keys() == {
        "path",
        "model_type",
        "family",
        "claims",
        "warnings",
        "unread",
        "context",
    }
    assert all(
        claim.keys() == {"section", "name", "value", "sure", "evidence", "layers"}
        for claim in document["claims"]
    )


def test_nothing_of_transformers_is_imported(tmp_path: Path) -> None:
    import subprocess

    path = write_config(tmp_path, config_of())
    code = f"import paribus, sys\nparibus.inspect({str(path)!r})\nprint('transformers' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
