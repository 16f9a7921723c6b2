"""Checkpoints as transformers writes them compute here what they compute there."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import paribus
from paribus.families.loading import CheckpointWarning
from paribus.model.cache import Cache
from paribus.model.transformer import Transformer

from . import peers
from .files.checkpoints import refusal
from .peers import (
    FAMILIES,
    SPEAKING,
    D,
    F,
    H,
    T,
    V,
    checkpoint,
    distance,
    edited,
    our_logits,
    peer,
    reloaded,
    spread,
    their_logits,
    tokens,
)

#: Of the largest logit; what was measured is 5e-6 at most.
CLOSE = 2e-5
pytestmark = pytest.mark.filterwarnings("ignore::paribus.families.loading.CheckpointWarning")


def loaded(name: str, folder: Path, **options: Any) -> Transformer:
    return paribus.load(checkpoint(name, folder / "theirs"), **options)


# --- logits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPEAKING)
def test_a_checkpoint_has_the_logits_of_transformers(name: str, tmp_path: Path) -> None:
    model = loaded(name, tmp_path)
    assert distance(our_logits(model, tokens()), their_logits(peer(name), tokens())) < CLOSE
    assert not model.training


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", FAMILIES)
def test_padding_changes_no_logit_of_other_tokens(name: str, side: str, tmp_path: Path) -> None:
    valid = torch.ones(2, T, dtype=torch.bool)
    valid[0, : T // 3 if side == "left" else None] = side == "right"
    if side == "right":
        valid[0, -T // 3 :] = False
    theirs = peer(name)
    ours = our_logits(loaded(name, tmp_path), tokens(), valid)
    expected = their_logits(theirs, tokens(), valid)
    if theirs.config.is_encoder_decoder:
        valid = torch.ones_like(valid)  # what is padded is the source
    assert distance(ours[valid], expected[valid]) < CLOSE


@pytest.mark.parametrize(
    "name", [name for name in SPEAKING if peers.PEERS[name].head in ("ForCausalLM", "LMHeadModel")]
)
def test_token_by_token_with_a_cache_gives_the_logits_of_one_pass(name: str, tmp_path: Path) -> None:
    model = loaded(name, tmp_path)
    cache = Cache()
    with torch.no_grad():
        steps = [model(tokens()[:, at : at + 1], cache=cache) for at in range(T)]
    together = torch.cat(steps, dim=1)
    assert distance(together, our_logits(model, tokens())) < CLOSE
    assert distance(together, their_logits(peer(name), tokens())) < CLOSE


def test_an_encoder_decoder_answers_token_by_token(tmp_path: Path) -> None:
    model, cache, answer = loaded("t5, gated", tmp_path), Cache(), tokens().flip(1)
    with torch.no_grad():
        steps = [model(answer[:, at : at + 1], source_BS=tokens(), cache=cache) for at in range(T)]
    assert distance(torch.cat(steps, dim=1), their_logits(peer("t5, gated"), tokens())) < CLOSE


@pytest.mark.parametrize("name", ["bert", "bert, pre-training"])
def test_segments_are_those_of_bert(name: str, tmp_path: Path) -> None:
    segments = (torch.arange(T) >= T // 2).long().expand(2, T)
    with torch.no_grad():
        theirs = peer(name)(tokens(), token_type_ids=segments)
        ours = loaded(name, tmp_path)(tokens(), segment_BT=segments)
    assert distance(ours, theirs[0] if "pre" not in name else theirs.prediction_logits) < CLOSE


def test_a_bare_encoder_has_the_stream_of_bert(tmp_path: Path) -> None:
    model = loaded("bert, bare", tmp_path)
    with torch.no_grad():
        ours, _ = model.stream(tokens())
        theirs = peer("bert, bare")(tokens()).last_hidden_state
    assert distance(ours, theirs) < CLOSE


@pytest.mark.parametrize("name", FAMILIES)
def test_bfloat16_rounds_no_more_than_transformers_does(name: str, tmp_path: Path) -> None:
    model, half, ids = loaded(name, tmp_path, dtype=torch.bfloat16), torch.bfloat16, tokens(rows=8)
    assert {parameter.dtype for parameter in model.parameters()} == {half}
    theirs = peers.reloaded(tmp_path / "theirs", name, dtype=half)
    exact = peers.reloaded(tmp_path / "theirs", name)
    with torch.no_grad():
        for parameter in exact.parameters():
            parameter.copy_(parameter.to(half))
    expected = their_logits(exact, ids)
    ours = spread(our_logits(model, ids, dtype=half), expected)
    assert ours < 1.5 * spread(their_logits(theirs, ids), expected)


# --- what is wrong with a checkpoint ---------------------------------------------------------------------


def rewritten(name: str, folder: Path, **tensors: torch.Tensor | None) -> Path:
    """A row's checkpoint with other tensors, their names with __ for a dot; None takes a tensor away."""
    file = checkpoint(name, folder / "theirs") / "model.safetensors"
    changes = {key.replace("__", "."): tensor for key, tensor in tensors.items()}
    changed = {**load_file(file), **changes}
    save_file({key: tensor for key, tensor in changed.items() if tensor is not None}, file)
    return file.parent


@pytest.mark.parametrize(
    ("tensors", "parts"),
    [
        (
            {
                "model__layers__1__mlp__up_proj__weight": None,
                "model__layers__1__mlp__up_prj__weight": torch.ones(F, D),
            },
            (
                "no tensor model.layers.1.mlp.up_proj.weight",
                "decoder.blocks.1.ffn.value.weight",
                "did you mean model.layers.1.mlp.up_prj.weight",
            ),
        ),
        (
            {"model__layers__0__mlp__up_proj__bias": torch.ones(F)},
            ("has model.layers.0.mlp.up_proj.bias, for which a llama", "another model"),
        ),
        ({"model__layers__4__input_layernorm__weight": torch.ones(D)}, ("layers.4.input_layernorm",)),
        ({"model__norm__weight": torch.ones(D + 1)}, ("model.norm.weight has the shape [33]", "[32]")),
        ({"lm_head__weight": torch.ones(D, V)}, ("lm_head.weight has the shape [32, 40]", "[40, 32]")),
        ({"model__norm__weight": torch.ones(D, 1)}, ("model.norm.weight has the shape [32, 1]",)),
    ],
)
def test_tensors_that_are_not_the_configs_are_named(
    tensors: dict[str, torch.Tensor | None], parts: tuple[str, ...], tmp_path: Path
) -> None:
    said = refusal(paribus.load, rewritten("llama", tmp_path, **tensors))
    assert all(part in said for part in parts)


@pytest.mark.parametrize(
    ("name", "tensor", "shape"),
    [
        ("gpt_neox", "gpt_neox__layers__0__attention__query_key_value__weight", (3 * D + 3, D)),
        ("gpt2", "transformer__h__0__attn__c_attn__weight", (3 * D, D)),
        ("falcon, new", "transformer__h__0__self_attention__query_key_value__weight", (3 * D, D)),
        ("phi3", "model__layers__0__mlp__gate_up_proj__weight", (2 * F + 2, D)),
        ("stablelm, normed", "model__layers__0__self_attn__q_layernorm__norms__1__weight", (9,)),
        ("cohere, normed", "model__layers__0__self_attn__q_norm__weight", (H, 9)),
    ],
)
def test_a_fused_tensor_of_another_shape_is_named(
    name: str, tensor: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    assert f"{tensor.replace('__', '.')} has the shape {list(shape)}" in refusal(
        paribus.load, rewritten(name, tmp_path, **{tensor: torch.ones(shape)})
    )


def test_a_checkpoint_of_the_bare_trunk_is_loaded_by_its_shorter_names(tmp_path: Path) -> None:
    folder = checkpoint("gpt2", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {key.removeprefix("transformer."): tensor for key, tensor in tensors.items()},
        folder / "model.safetensors",
    )
    assert distance(our_logits(paribus.load(folder), tokens()), their_logits(peer("gpt2"), tokens())) < CLOSE


def test_every_tensor_keeps_its_own_dtype(tmp_path: Path) -> None:
    """Norms in float32 beside matrices in half precision."""
    folder = checkpoint("llama", tmp_path)
    tensors = load_file(folder / "model.safetensors")
    halved = {name: each.bfloat16() if each.ndim > 1 else each for name, each in tensors.items()}
    save_file(halved, folder / "model.safetensors")
    model = paribus.load(folder)
    assert model.embedding.weight.dtype == torch.bfloat16
    assert model.decoder.final_norm.weight.dtype == torch.float32
    paribus.save(model, tmp_path / "ours")
    again = load_file(tmp_path / "ours/model.safetensors")
    assert {name: each.dtype for name, each in again.items()} == {
        name: each.dtype for name, each in halved.items()
    }
    assert {each.dtype for each in paribus.load(folder, dtype=torch.float16).parameters()} == {torch.float16}


def test_a_matrix_that_stands_for_two_is_two_in_the_model(tmp_path: Path) -> None:
    model = loaded("t5, gated", tmp_path / "whole")
    assert not model.config.tie_embeddings
    again = paribus.load(rewritten("t5, gated", tmp_path, lm_head__weight=None))
    assert torch.equal(again.head.weight, again.embedding.weight)
    with torch.no_grad():
        again.head.weight.zero_()
    assert torch.equal(again.embedding.weight, model.embedding.weight)


def warned(folder: Path) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CheckpointWarning)
        paribus.load(folder)
    return [str(each.message) for each in caught if issubclass(each.category, CheckpointWarning)]


def test_a_head_of_its_own_is_taken_and_written_back_whatever_the_config_says(tmp_path: Path) -> None:
    head = torch.randn(V, D, generator=torch.Generator().manual_seed(3))
    folder = rewritten("llama, tied", tmp_path, lm_head__weight=head)
    [said] = warned(folder)
    assert said.startswith("lm_head.weight differs from model.embed_tokens.weight")
    with pytest.warns(CheckpointWarning, match="each was taken"):
        model = paribus.load(folder)
    found = our_logits(model, tokens())
    assert distance(found, their_logits(reloaded(folder, "llama, tied"), tokens())) < CLOSE
    paribus.save(model, tmp_path / "again")
    assert torch.equal(load_file(tmp_path / "again" / "model.safetensors")["lm_head.weight"], head)
    assert distance(our_logits(paribus.load(tmp_path / "again"), tokens()), found) == 0


def test_copies_that_differ_elsewhere_are_warned_of_and_the_original_counts(tmp_path: Path) -> None:
    folder = rewritten("t5", tmp_path, encoder__embed_tokens__weight=torch.ones(V, D))
    [said] = warned(folder)
    assert said.startswith("encoder.embed_tokens.weight differs from shared.weight")
    assert said.endswith("shared.weight was taken")


def test_norms_have_the_names_that_the_first_checkpoints_of_bert_gave_them(tmp_path: Path) -> None:
    folder = checkpoint("bert", tmp_path)
    file = folder / "model.safetensors"
    older = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    tensors = {}
    for name, tensor in load_file(file).items():
        for new, old in older.items():
            name = name.replace(new, old)
        tensors[name] = tensor
    assert sum(name.endswith(".gamma") for name in tensors) > 3
    save_file(tensors, file, metadata={"format": "pt"})
    ids = tokens()
    assert distance(our_logits(paribus.load(folder), ids), their_logits(peer("bert"), ids)) < CLOSE


@pytest.mark.parametrize(
    ("name", "absent"), [("smollm3, windows", "layer_types"), ("cohere", "rope_parameters")]
)
def test_what_the_config_leaves_out_is_what_transformers_takes(
    name: str, absent: str, tmp_path: Path
) -> None:
    folder = edited(checkpoint(name, tmp_path), **{absent: None})
    found = our_logits(paribus.load(folder), tokens())
    assert distance(found, their_logits(reloaded(folder, name), tokens())) < CLOSE


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool])
def test_whole_numbers_are_no_weights(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = rewritten("llama", tmp_path, model__norm__weight=torch.ones(D, dtype=dtype))
    said = refusal(paribus.load, folder)
    assert f"are of type {str(dtype).removeprefix('torch.')}, and a weight is a floating-point number" in said


def test_weights_that_are_not_finite_are_warned_of(tmp_path: Path) -> None:
    broken = torch.ones(D)
    broken[3] = float("nan")
    [said] = warned(rewritten("llama", tmp_path, model__norm__weight=broken))
    assert said == "NaN or infinity stands in decoder.final_norm.weight"


def test_keys_that_are_not_known_are_warned_of(tmp_path: Path) -> None:
    folder = edited(checkpoint("llama", tmp_path), use_cache=False, mystery=1, attention_twist=2)
    [said] = warned(folder)
    assert said == "these keys of config.json are not known here and were not used: attention_twist, mystery"


def test_keys_that_no_terminal_should_print_do_not_flood_the_warning(tmp_path: Path) -> None:
    [said] = warned(edited(checkpoint("llama", tmp_path), **{f"key\x1b[31m\n{n}": n for n in range(500)}))
    assert said.isprintable() and len(said) < 1_000 and said.endswith(" and 480 more")


@pytest.mark.parametrize("name", [name for name in SPEAKING if "pre-training" not in name])
def test_nothing_is_said_of_what_transformers_writes(name: str, tmp_path: Path) -> None:
    assert warned(checkpoint(name, tmp_path)) == []


def test_nothing_is_said_of_a_length_before_scaling_where_nothing_is_scaled(tmp_path: Path) -> None:
    folder = checkpoint("phi3", tmp_path)
    assert warned(edited(folder, original_max_position_embeddings=4096, rope_scaling=None)) == []


def test_code_of_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    folder = edited(checkpoint("llama", tmp_path), auto_map={"AutoModelForCausalLM": "modeling.Mine"})
    (folder / "modeling.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    [said] = warned(folder)
    assert "is not run" in said and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("method", ["gptq", "gptq\n\x1b[31m" + "x" * 5_000])
def test_quantised_weights_are_refused(method: str, tmp_path: Path) -> None:
    said = refusal(
        paribus.load, edited(checkpoint("llama", tmp_path), quantization_config={"quant_method": method})
    )
    assert "quantised by gptq" in said and "take the unquantised checkpoint" in said


def test_an_unknown_family_is_refused(tmp_path: Path) -> None:
    said = refusal(paribus.load, edited(checkpoint("gpt2", tmp_path), model_type="gpt3"))
    assert "'gpt3'" in said and "did you mean gptj or gpt2?" in said


def test_a_config_alone_is_nothing_to_load(tmp_path: Path) -> None:
    checkpoint("gpt2", tmp_path)
    assert "has a config and no weights" in refusal(paribus.load, tmp_path / "config.json")
