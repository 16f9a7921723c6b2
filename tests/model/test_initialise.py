"""First draws: keyed by name, scaled by role, and nobody else's business."""

import hashlib
import math
from pathlib import Path

import pytest
import torch

from paribus import oracles, registry
from paribus.errors import RequestError
from paribus.model.config import SLOTS, ModelConfig
from paribus.model.initialise import build, initialise, roles
from paribus.model.transformer import Transformer, slot_of

from .conftest import SWAPS, MakeConfig, swapped

SCHEMES = ("fan_in", "normal_0.02")


def weights(config: ModelConfig, **options: object) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in build(config, **{"seed": 0, **options}).named_parameters()}


def gain(residual: str, name: str, *, sublayers: int, encoder_layers: int, decoder_layers: int) -> float:
    """What the placement multiplies a parameter's first draw by."""
    stack, *_, matrix, _ = name.split(".") if name.count(".") > 2 else ("", "", "")
    layers = encoder_layers if stack == "encoder" else decoder_layers
    if residual in ("pre", "parallel", "parallel_separate") and matrix in ("o", "down"):
        return 1 / math.sqrt(sublayers * layers)
    if residual == "deepnorm" and matrix in ("v", "o", "gate", "value", "up", "down"):
        return oracles.deepnorm_constants(stack, encoder_layers, decoder_layers)[1]
    return 1.0


@pytest.mark.parametrize(("slot", "name"), SWAPS)
def test_swapping_any_part_leaves_every_shared_draw_bit_identical(
    make_config: MakeConfig, slot: str, name: str
) -> None:
    """A placement scales what is drawn (post does not); the draws themselves stay."""
    changes = swapped(slot, name)
    around = {key: value for key, value in changes.items() if key in ("num_heads",)}
    default = weights(make_config(residual="post", **around))
    other = weights(make_config(**{"residual": "post", **changes}))
    outside = {n for n in default if slot_of(n) not in (slot, "norm" if slot == "residual" else slot)}
    assert outside <= other.keys()
    same_shape = [n for n in default.keys() & other.keys() if default[n].shape == other[n].shape]
    for n in same_shape:
        if slot == "norm" and slot_of(n) == "norm":
            continue  # gains start where their norm says
        factor = gain(name, n, sublayers=2, encoder_layers=0, decoder_layers=2)
        if factor == 1:
            assert torch.equal(default[n], other[n]), n
        else:  # multiplied into the deviation before the draw is, so one rounding may differ
            torch.testing.assert_close(default[n] * factor, other[n], rtol=3e-7, atol=0, msg=n)
    if slot == "ffn" and not name.startswith(("self_gate", "maxout")):
        assert any(slot_of(n) == "ffn" for n in same_shape)  # inside the slot draws agree where names do


@pytest.mark.parametrize("residual", [n for n in registry.catalog()["residual"] if "parallel" not in n])
def test_an_encoder_decoder_draws_what_its_stacks_draw_alone(make_config: MakeConfig, residual: str) -> None:
    """Only the placement's gain knows of the other stack, and of cross-attention."""
    sizes = {"encoder_layers": 3, "decoder_layers": 2}
    both = weights(make_config(architecture="encoder_decoder", encoder_layers=3, residual=residual))
    decoder = weights(make_config(residual="post"))
    encoder = weights(make_config(residual="post", architecture="encoder", num_layers=3))
    for n, alone in {**decoder, **encoder}.items():
        if n not in both:
            assert slot_of(n) == "norm"
            continue
        sublayers = 3 if n.startswith("decoder.") else 2
        factor = gain(residual, n, sublayers=sublayers, **sizes)
        torch.testing.assert_close(both[n], alone * factor, rtol=3e-7, atol=0, msg=n)
    cross = [n for n in both if ".cross_attention." in n and n.endswith((".v.weight", ".o.weight"))]
    assert len(cross) == 4
    for n in cross:
        expected = {"v": 8, "o": 12}[n.split(".")[-2]] ** -0.5 * gain(residual, n, sublayers=3, **sizes)
        assert both[n].std().item() == pytest.approx(expected, rel=0.25), n


def test_deepnorm_leaves_queries_and_keys_alone(make_config: MakeConfig) -> None:
    """Table 1 of the paper at 2 layers: beta is 16^(-1/4) = 1/2, on all matrices but these."""
    deep, post = (weights(make_config(residual=residual)) for residual in ("deepnorm", "post"))
    halved = {n for n in deep if torch.equal(deep[n], post[n] / 2) and deep[n].any()}
    assert {n.split(".")[-2] for n in halved} == {"v", "o", "gate", "value", "down"} and len(halved) == 10
    assert all(torch.equal(deep[n], post[n]) for n in deep.keys() - halved)


@pytest.mark.parametrize(("slot", "name"), SWAPS)
def test_every_constant_starts_where_its_role_says(make_config: MakeConfig, slot: str, name: str) -> None:
    model = build(make_config(**swapped(slot, name)), seed=0)
    for key, parameter, role, factor in roles(model):
        if role.start is not None:
            assert torch.equal(parameter, torch.full_like(parameter, role.start)), key
        else:
            assert factor > 0 and parameter.std() > 0, key
    names = [key for key, *_ in roles(model)]
    assert names == [key for key, _ in model.named_parameters()]


def test_another_width_of_the_ffn_leaves_every_other_draw_bit_identical(make_config: MakeConfig) -> None:
    narrow, wide = weights(make_config(d_ff=10)), weights(make_config(d_ff=24, ffn="gelu"))
    others = [n for n in narrow if slot_of(n) != "ffn"]
    assert len(others) == 15 and all(torch.equal(narrow[n], wide[n]) for n in others)


def test_more_layers_leave_the_draws_of_the_first_ones(make_config: MakeConfig) -> None:
    short, long = weights(make_config(residual="post")), weights(make_config(residual="post", num_layers=3))
    assert all(torch.equal(short[n], long[n]) for n in short)


def test_tying_leaves_every_other_draw_bit_identical(make_config: MakeConfig) -> None:
    untied, tied = weights(make_config()), weights(make_config(tie_embeddings=True))
    assert untied.keys() - tied.keys() == {"head.weight"}
    assert all(torch.equal(untied[n], tied[n]) for n in tied if n != "embedding.weight")
    # The embedding of a tied model is its head too, so its scale may differ; the draw may not.
    one, other = (w["embedding.weight"] / w["embedding.weight"].std() for w in (untied, tied))
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def drawn(all_weights: dict[str, torch.Tensor]) -> set[str]:
    return {n for n, w in all_weights.items() if w.std() > 0}


def test_the_seed_decides_every_draw(make_config: MakeConfig) -> None:
    config = make_config(position="learned")
    first, again, other = weights(config, seed=3), weights(config, seed=3), weights(config, seed=4)
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert {n for n in first if not torch.equal(first[n], other[n])} == drawn(first)
    assert {n for n in first if slot_of(n) != "norm"} == drawn(first)


def test_no_two_parameters_share_a_draw(make_config: MakeConfig) -> None:
    all_weights = weights(make_config(residual="post"), scheme="normal_0.02")
    starts = [tuple(w.flatten()[:4].tolist()) for n, w in all_weights.items() if n in drawn(all_weights)]
    assert len(set(starts)) == len(starts) == 2 + 2 * 7


@pytest.mark.parametrize("slot", SLOTS)
def test_salt_changes_the_draws_of_its_slot_and_no_other(make_config: MakeConfig, slot: str) -> None:
    config = make_config(position="learned")
    model = Transformer(config)
    initialise(model, seed=0, salted=[slot])
    plain, salted = weights(config), {n: p.detach() for n, p in model.named_parameters()}
    changed = {n for n in plain if not torch.equal(plain[n], salted[n])}
    assert changed == {n for n in drawn(plain) if slot_of(n) == slot}
    if slot == "ffn":
        assert len(changed) == 6
        for n in changed:  # other draws of the same distribution
            assert salted[n].std().item() == pytest.approx(plain[n].std().item(), rel=0.5)


def test_draws_are_the_published_ones(make_config: MakeConfig) -> None:
    """Guards old studies: a draw that moves between versions makes their seeds mean something else."""
    name = "decoder.blocks.0.ffn.gate.weight"
    seed = int.from_bytes(hashlib.sha256(f"7/{name}".encode()).digest()[:8], "little", signed=True)
    expected = torch.randn(10, 8, generator=torch.Generator().manual_seed(seed)) / math.sqrt(8)
    torch.testing.assert_close(weights(make_config(), seed=7)[name], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("residual", ["pre", "post"])
@pytest.mark.parametrize("ffn", ["swiglu", "gelu"])
def test_deviations_are_those_of_scheme_and_placement(scheme: str, residual: str, ffn: str) -> None:
    config = ModelConfig(
        vocab_size=80, d_model=48, d_ff=112, num_layers=3, num_heads=2, head_dim=16, max_seq_len=70,
        position="learned", residual=residual, ffn=ffn, norm="layernorm",
    )  # fmt: skip
    fan_in = {
        "embedding": 1, "head": 48, "decoder.position": 1,
        "q": 48, "k": 48, "v": 48, "o": 32, "gate": 48, "value": 48, "up": 48, "down": 112,
    }  # fmt: skip
    for name, w in weights(config, scheme=scheme).items():
        owner = name.removesuffix(".weight")
        matrix = owner.split(".")[-1]
        if slot_of(name) == "norm":
            assert torch.equal(w, torch.full_like(w, 1.0 if name.endswith("weight") else 0.0))
            continue
        expected = 0.02 if scheme == "normal_0.02" else fan_in.get(owner, fan_in.get(matrix, 0)) ** -0.5
        if residual == "pre" and matrix in ("o", "down"):
            expected /= math.sqrt(2 * 3)
        # The deviation of n normal draws is known to 1 / sqrt(2n); five of those.
        standard_error = expected / math.sqrt(2 * w.numel())
        assert abs(w.std().item() - expected) < 5 * standard_error, name
        assert abs(w.mean().item()) < 5 * expected / math.sqrt(w.numel()), name


def test_biases_start_at_zero_and_gains_at_one(make_config: MakeConfig) -> None:
    config = make_config(
        ffn={"name": "gelu", "bias": True}, attention={"name": "mha", "bias": True}, norm="layernorm"
    )
    for name, w in weights(config).items():
        if name.endswith("bias"):
            assert not w.any(), name
        elif slot_of(name) == "norm":
            assert (w == 1).all(), name


def test_neither_building_nor_drawing_touches_the_global_generator(make_config: MakeConfig) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    model = build(make_config(position="learned"), seed=1)
    initialise(model, seed=2, salted=["ffn"])
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_do_not_depend_on_the_default_dtype(make_config: MakeConfig) -> None:
    expected = build(make_config(), seed=0).state_dict()
    torch.set_default_dtype(torch.float64)
    try:
        found = build(make_config(), seed=0).state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(found[name].float(), expected[name]) for name in expected)


def test_drawing_again_forgets_what_was_there(make_config: MakeConfig) -> None:
    config = make_config(norm="layernorm", position="learned")
    model = Transformer(config)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(math.nan)
    initialise(model, seed=0)
    expected = weights(config)
    assert all(torch.equal(p, expected[n]) for n, p in model.named_parameters())


@pytest.mark.parametrize("scheme", ["fanin", "normal_002", "xavier"])
def test_unknown_scheme_is_refused_with_the_known_ones(make_config: MakeConfig, scheme: str) -> None:
    with pytest.raises(RequestError, match="fan_in|normal_0.02"):
        build(make_config(), seed=0, scheme=scheme)


def test_unknown_salted_slot_is_refused(make_config: MakeConfig) -> None:
    """Silently salting nothing would make a placebo that is the baseline itself."""
    with pytest.raises(RequestError, match="ffn"):
        initialise(Transformer(make_config()), seed=0, salted=["fnn"])


def user_ffn(folder: Path, body: str) -> str:
    file = folder / "my_ffn.py"
    file.write_text(
        "import torch\nfrom torch import nn\nfrom paribus.parts.init import Role\n"
        "class Mine(nn.Module):\n"
        "    def __init__(self, *, d_model, d_ff):\n"
        "        super().__init__()\n"
        "        self.d_model, self.d_ff = d_model, d_ff\n"
        "        self.w = nn.Parameter(torch.empty(d_model, d_model))\n" + body
    )
    return f"{file}:Mine"


ROLES = "    def roles(self): return {'w': Role(kind='output', fan_in=self.d_model, fan_out=self.d_model)}\n"
FORWARD = "    def forward(self, x): return x @ self.w.to(x.dtype).T\n"


def test_a_part_that_does_not_say_its_roles_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"decoder\.blocks\.0\.ffn\.w.*roles"):
        build(make_config(ffn=user_ffn(tmp_path, FORWARD)), seed=0)


def test_a_users_part_is_drawn_like_any_other(make_config: MakeConfig, tmp_path: Path) -> None:
    mine = weights(make_config(ffn=user_ffn(tmp_path, FORWARD + ROLES)))
    ours = weights(make_config())
    assert all(torch.equal(mine[n], ours[n]) for n in mine if slot_of(n) != "ffn")
    assert mine["decoder.blocks.1.ffn.w"].std().item() == pytest.approx(1 / math.sqrt(8) / 2, rel=0.4)


def test_building_keeps_the_buffers_that_a_part_makes(make_config: MakeConfig, tmp_path: Path) -> None:
    body = "        self.register_buffer('table', torch.full((64,), 3.0), persistent=False)\n"
    config = make_config(ffn=user_ffn(tmp_path, body + FORWARD + ROLES))
    table = build(config, seed=0).get_submodule("decoder.blocks.0.ffn").table
    assert torch.equal(table, torch.full((64,), 3.0))
