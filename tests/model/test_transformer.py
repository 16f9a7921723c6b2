"""The whole model against the oracle, for every part in every architecture; switches, causality, dtypes, training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from paribus import oracles, registry
from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.initialise import build
from paribus.model.transformer import Transformer

from ..parts.comparison import draw, weights_of
from .conftest import SWAPS, MakeConfig, swapped

V = 13
ARCHITECTURES = ("decoder", "encoder", "encoder_decoder")
ALL = pytest.mark.parametrize(("slot", "name"), SWAPS)


def ids(length: int = 7, *, batch: int = 2, seed: int = 5) -> torch.Tensor:
    return torch.randint(V, (batch, length), generator=torch.Generator().manual_seed(seed))


def model_of(config: ModelConfig) -> Transformer:
    """In float64 with drawn weights; scoring, but for the norm whose oracle is that of training."""
    model = Transformer(config).double()
    draw(model)
    return model.train(config.part_names()["norm"] == "batchnorm")


def source_of(config: ModelConfig) -> dict[str, torch.Tensor]:
    return {"source_BS": ids(5, seed=6)} if config.architecture == "encoder_decoder" else {}


def assert_is_the_oracle(config: ModelConfig, *, tolerance: float = 3e-6, **given: Any) -> None:
    """Positions are encoded in float32, so that is how near it can be; without them it is float64."""
    model, tokens, source = model_of(config), ids(), source_of(config)
    expected = oracles.transformer(
        weights_of(model),
        tokens.numpy(),
        num_heads=config.num_heads,
        num_kv_heads=config.num_kv_heads,
        num_layers=config.num_layers,
        encoder_layers=config.encoder_layers,
        max_seq_len=config.max_seq_len,
        architecture=config.architecture,
        source_ids=source["source_BS"].numpy() if source else None,
        parts=config.part_names(),
        embedding_norm=config.embedding_norm,
        final_norm=config.final_norm,
        **given,
    )
    actual = model(tokens, dtype=torch.float64, **source).detach().numpy()
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def impossible(slot: str, name: str, architecture: str) -> bool:
    """xPos needs a causal stack, parallel placements know no cross-attention."""
    return (name == "xpos" and architecture != "decoder") or (
        name.startswith("parallel") and architecture == "encoder_decoder"
    )


@ALL
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_model_with_each_part_equals_the_oracle(
    make_config: MakeConfig, slot: str, name: str, architecture: str
) -> None:
    given = swapped(slot, name, architecture=architecture)
    if architecture == "encoder_decoder":
        given |= {"num_layers": 1, "encoder_layers": 2}
    if slot == "position" and name != "learned":
        given |= {"max_seq_len": 4}  # shorter than the text, so that what changes past it is seen
    if impossible(slot, name, architecture):
        with pytest.raises(RequestError, match="causal|cross-attention"):
            make_config(**given)
    else:
        assert_is_the_oracle(make_config(**given))


@pytest.mark.parametrize("norm", registry.catalog()["norm"])
@pytest.mark.parametrize("residual", registry.catalog()["residual"])
def test_every_placement_with_every_norm_equals_the_oracle(
    make_config: MakeConfig, residual: str, norm: str
) -> None:
    assert_is_the_oracle(make_config(residual=residual, norm=norm, position="none"), tolerance=1e-10)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("residual", ["pre", "deepnorm"])
@pytest.mark.parametrize("position", ["none", "learned"])
def test_model_without_float32_tables_is_exact(
    make_config: MakeConfig, architecture: str, residual: str, position: str
) -> None:
    config = make_config(position=position, residual=residual, architecture=architecture)
    assert_is_the_oracle(config, tolerance=1e-11)


def test_biased_and_tied_model_equals_the_oracle(make_config: MakeConfig) -> None:
    config = make_config(
        ffn={"name": "gelu", "bias": True},
        attention={"name": "mha", "bias": True},
        norm="layernorm",
        position="learned",
        tie_embeddings=True,
    )
    assert_is_the_oracle(config, tolerance=1e-11)


def test_options_of_every_slot_reach_the_model(make_config: MakeConfig) -> None:
    options: dict[str, dict[str, Any]] = {
        "ffn": {},
        "norm": {"eps": 0.25},
        "position": {"base": 50.0, "fraction": 0.5},
        "attention": {"window": 3, "softcap": 0.7, "scale": 0.9},
    }
    names = {"ffn": "swiglu", "norm": "layernorm", "position": "rope", "attention": "gqa"}
    config = make_config(
        num_kv_heads=1, **{slot: {"name": name, **options[slot]} for slot, name in names.items()}
    )
    assert_is_the_oracle(config, options=options)


@pytest.mark.parametrize("residual", registry.catalog()["residual"])
@pytest.mark.parametrize("ends", [(False, False), (True, True), (True, False), (False, True)])
def test_norms_at_both_ends_are_there_as_told(
    make_config: MakeConfig, residual: str, ends: tuple[bool, bool]
) -> None:
    embedding, final = ends
    config = make_config(residual=residual, embedding_norm=embedding, final_norm=final, position="learned")
    assert_is_the_oracle(config, tolerance=1e-11)
    named = {name for name, _ in Transformer(config).named_parameters()}
    assert ("decoder.embedding_norm.weight" in named, "decoder.final_norm.weight" in named) == ends


def test_the_placement_decides_on_the_norms_at_both_ends(make_config: MakeConfig) -> None:
    found = {}
    for residual in registry.catalog()["residual"]:
        named = {name for name, _ in Transformer(make_config(residual=residual)).named_parameters()}
        found[residual] = [f"decoder.{end}_norm.weight" in named for end in ("embedding", "final")]
    assert found["peri"] == [True, True]
    for residual in ("pre", "sandwich", "post_sublayer", "parallel", "parallel_separate"):
        assert found[residual] == [False, True]
    for residual in ("post", "deepnorm", "rezero"):
        assert found[residual] == [False, False]


def test_scales_and_cap_act_on_embedding_and_logits(make_config: MakeConfig) -> None:
    plain = model_of(make_config(position="learned"))
    scaled = model_of(
        make_config(position="learned", embedding_scale=3.0, logit_scale=0.5, logit_softcap=2.0)
    )
    with torch.no_grad():
        plain.embedding.weight.mul_(3.0)
    expected = 2.0 * torch.tanh(plain(ids(), dtype=torch.float64) * 0.5 / 2.0)
    torch.testing.assert_close(scaled(ids(), dtype=torch.float64), expected, rtol=1e-12, atol=1e-12)


def test_a_pattern_gives_each_layer_its_part(make_config: MakeConfig) -> None:
    config = make_config(
        num_layers=4,
        ffn=["swiglu", "gelu"],
        attention=[{"name": "mha", "window": 2}, "mha", "mha", {"name": "mha", "softcap": 3.0}],
        position=["rope", "alibi"],
    )
    model = Transformer(config)
    assert [hasattr(block.ffn, "gate") for block in model.blocks()] == [True, False, True, False]
    assert [(block.attention.window, block.attention.softcap) for block in model.blocks()] == [
        (2, None),
        (None, None),
        (None, None),
        (None, 3.0),
    ]
    assert [type(each).__name__ for each in model.decoder.positions] == ["RotaryPosition", "ALiBi"]


def test_a_pattern_of_one_part_is_that_part(make_config: MakeConfig) -> None:
    patterned = make_config(num_layers=4, ffn=["gelu"] * 2, attention=["mha"] * 2, position=["rope"] * 4)
    plain = make_config(num_layers=4, ffn="gelu")
    assert torch.equal(build(patterned, seed=0)(ids()), build(plain, seed=0)(ids()))


@pytest.mark.parametrize("layer", [0, 1])
def test_a_pattern_of_positions_acts_in_its_own_layers(make_config: MakeConfig, layer: int) -> None:
    """With all other layers' attention cut off, only that layer's encoding is left."""
    config = make_config(position=["alibi", "rope"])
    one = make_config(position=["alibi", "rope"][layer])
    mixed, plain = build(config, seed=0), build(one, seed=0)
    for model in (mixed, plain):
        with torch.no_grad():
            model.decoder.blocks[1 - layer].attention.o.weight.zero_()
    torch.testing.assert_close(mixed(ids()), plain(ids()), rtol=1e-6, atol=1e-6)


def test_what_layers_give_beside_their_output_is_summed_over_layers_and_stacks(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    file = tmp_path / "lossy.py"
    file.write_text(
        "import torch\nfrom torch import nn\n"
        "class Lossy(nn.Module):\n"
        "    def __init__(self, *, d_model, d_ff): super().__init__()\n"
        "    def forward(self, x): return x, {'loss': torch.tensor(1.5)}\n"
    )
    for architecture, layers in (("decoder", 2), ("encoder", 2), ("encoder_decoder", 3)):
        longer = {"encoder_layers": 1} if architecture == "encoder_decoder" else {}
        config = make_config(ffn=f"{file}:Lossy", architecture=architecture, **longer)
        model = Transformer(config)
        stream, aux = model.stream(ids(), **source_of(config))
        assert aux.keys() == {"loss"} and aux["loss"].item() == 1.5 * layers
        assert torch.equal(model.logits(stream), model(ids(), **source_of(config)))


@ALL
def test_a_later_token_changes_earlier_logits_of_an_encoder_only(
    make_config: MakeConfig, slot: str, name: str
) -> None:
    changed = ids()
    changed[:, 4:] = (changed[:, 4:] + 1) % V
    for architecture in ("decoder", "encoder"):
        if impossible(slot, name, architecture):
            continue
        model = model_of(make_config(**swapped(slot, name, architecture=architecture))).eval()
        before, after = (model(each, dtype=torch.float64) for each in (ids(), changed))
        assert torch.equal(before[:, :4], after[:, :4]) == (architecture == "decoder")
        assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_a_decoder_reads_its_source_and_no_padding_of_it(make_config: MakeConfig) -> None:
    model = model_of(make_config(architecture="encoder_decoder"))
    source, valid = ids(5, seed=6), torch.arange(5) < torch.tensor([[5], [3]])
    other = torch.where(valid, source, (source + 1) % V)

    def logits(source: torch.Tensor, **given: torch.Tensor) -> torch.Tensor:
        return model(ids(), dtype=torch.float64, source_BS=source, **given)

    assert torch.equal(logits(source, source_valid_BS=valid), logits(other, source_valid_BS=valid))
    whole, padded = logits(source), logits(source, source_valid_BS=valid)
    torch.testing.assert_close(whole[0], padded[0], rtol=1e-12, atol=1e-12)
    assert not torch.allclose(whole[1], padded[1])
    alone = model(ids()[1:], dtype=torch.float64, source_BS=source[1:, :3])
    torch.testing.assert_close(padded[1:], alone, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "slot", "name"),
    [(each, *key) for each in ARCHITECTURES for key in SWAPS if not impossible(*key, each)],
)
def test_every_parameter_gets_a_gradient(
    make_config: MakeConfig, architecture: str, slot: str, name: str
) -> None:
    """A little away from the start: there ReZero lets nothing through, and no logit is so large as to hide others."""
    config = make_config(**swapped(slot, name, architecture=architecture))
    model = build(config, seed=0).double()
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, dtype=torch.float64, generator=noise)
    logits = model(ids(), dtype=torch.float64, **source_of(config))
    F.cross_entropy(logits.flatten(0, 1), ids().flatten()).backward()
    for key, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.any(), key


@pytest.mark.parametrize(
    ("architecture", "given", "word"),
    [
        ("decoder", {"source_BS": ids(5)}, "decoder reads no source"),
        ("encoder", {"source_BS": ids(5)}, "encoder reads no source"),
        ("encoder_decoder", {}, "needs a source"),
    ],
)
def test_a_source_where_none_is_read_or_none_where_one_is_is_refused(
    make_config: MakeConfig, architecture: str, given: dict[str, Any], word: str
) -> None:
    with pytest.raises(RequestError, match=word):
        build(make_config(architecture=architecture), seed=0)(ids(), **given)


def test_learned_positions_refuse_a_longer_input(make_config: MakeConfig) -> None:
    model = build(make_config(position="learned"), seed=0)
    with pytest.raises(RequestError, match="9.*10"):
        model(ids(10))
