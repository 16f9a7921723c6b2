"""Ways to run RoPE past the trained length: frequencies against the oracle, transformers and published numbers."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.gptj.modeling_gptj import apply_rotary_pos_emb, create_sinusoidal_positions

from paribus import oracles, registry
from paribus.errors import RequestError
from paribus.parts.position.rope import RotaryPosition

K, LENGTH = 16, 64
LONG = [1 + 0.25 * i for i in range(K // 2)]
#: name, options that it takes beside factor and original_length
SCALINGS: list[tuple[str, dict[str, Any]]] = [
    ("rope_linear", {"factor": 3.0}),
    ("rope_ntk", {"factor": 3.0}),
    ("rope_dynamic", {"factor": 3.0}),
    ("rope_yarn_paper", {"factor": 16.0}),
    ("rope_yarn", {"factor": 16.0}),
    ("rope_yarn", {"factor": 16.0, "truncate": False}),
    ("rope_yarn", {"factor": 4.0, "slow": 2.0, "fast": 12.0}),
    ("rope_llama3", {"factor": 8.0, "original_length": 64}),
    ("rope_llama3", {}),
    ("rope_longrope", {"factor": 4.0, "long_factor": LONG}),
    ("rope", {"base": 500.0}),
]


def build(name: str, *, head_dim: int = K, **options: Any) -> RotaryPosition:
    position = registry.get("position", name).build(
        d_model=K, head_dim=head_dim, num_heads=1, max_seq_len=options.pop("max_seq_len", LENGTH), **options
    )
    assert isinstance(position, RotaryPosition)
    return position


def frequencies(position: RotaryPosition, *, length: int = LENGTH) -> np.ndarray:
    return position.frequencies(length=length, device=torch.device("cpu")).double().numpy()


def expected(name: str, *, length: int, channels: int = K, **options: Any) -> tuple[np.ndarray, float]:
    if name == "rope_llama3":
        options = {"factor": 8.0, "original_length": 8192, **options}
    return oracles.frequencies(
        name, channels, **{"original_length": LENGTH, "factor": 4.0, **options}, length=length
    )


@pytest.mark.parametrize(("name", "options"), SCALINGS)
@pytest.mark.parametrize("length", [10, LENGTH, LENGTH + 1, 300])
def test_frequencies_and_factor_equal_the_oracle(name: str, options: dict[str, Any], length: int) -> None:
    position = build(name, **options)
    theta, factor = expected(name, length=length, **options)
    np.testing.assert_allclose(frequencies(position, length=length), theta, rtol=2e-6)
    assert position.attention_factor(length=length) == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(("name", "options"), SCALINGS)
def test_rotation_equals_the_oracle(name: str, options: dict[str, Any]) -> None:
    position, length = build(name, **options), 80
    q = torch.randn(2, 1, length, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = torch.arange(length)
    turned, _ = position.rotate(q, q, position.state(p, p, length=length))
    exact = oracles.POSITION[name].rotate(
        q.numpy(), p.double().numpy(), which="q", length=length, max_seq_len=LENGTH, **options
    )
    np.testing.assert_allclose(turned.numpy(), exact, atol=3e-5)


HF = {
    "rope_linear": ("linear", {}),
    "rope_dynamic": ("dynamic", {}),
    "rope_yarn": ("yarn", {}),
    "rope_llama3": ("llama3", {"low_freq_factor": 1.0, "high_freq_factor": 4.0}),
    "rope_longrope": ("longrope", {"short_factor": [1.0] * (K // 2), "long_factor": LONG}),
}


@pytest.mark.parametrize("name", HF)
@pytest.mark.parametrize("length", [LENGTH, 200])
def test_frequencies_and_factor_are_those_of_transformers(name: str, length: int) -> None:
    kind, more = HF[name]
    factor = 8.0 if name == "rope_llama3" else 4.0
    config = LlamaConfig(
        hidden_size=K,
        num_attention_heads=1,
        head_dim=K,
        max_position_embeddings=LENGTH if name == "rope_dynamic" else int(LENGTH * factor),
        rope_parameters={
            "rope_type": kind,
            "rope_theta": 10000.0,
            "factor": factor,
            "original_max_position_embeddings": LENGTH,
            **more,
        },
    )
    theirs, their_factor = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"), seq_len=length)
    options = {"long_factor": LONG} if name == "rope_longrope" else {}
    ours = build(name, factor=factor, original_length=LENGTH, **options)
    np.testing.assert_allclose(frequencies(ours, length=length), theirs.double().numpy(), rtol=3e-6)
    assert ours.attention_factor(length=length) == pytest.approx(their_factor, rel=1e-6)


# --- published numbers -------------------------------------------------------------------------------------


def ratios(name: str, **options: Any) -> np.ndarray:
    position = build(name, head_dim=128, **options)
    return frequencies(position) / frequencies(build("rope", head_dim=128, base=position.base))


YARN = {"factor": 16.0, "original_length": 4096}


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("rope_yarn_paper", {24: 0.65569, 32: 0.22940, 40: 0.09460, 45: 0.06262}),
        ("rope_yarn", {24: 0.85577, 32: 0.56731, 40: 0.27885, 45: 0.09856}),
    ],
)
def test_the_two_yarns_take_their_published_values(name: str, published: dict[int, float]) -> None:
    found = ratios(name, **YARN)
    for pair, ratio in published.items():
        assert found[pair] == pytest.approx(ratio, abs=6e-6)
    assert build(name, **YARN).attention_factor(length=1) == pytest.approx(1.2772589, abs=1e-7)


def test_llama3_takes_its_published_values_and_is_the_ramp_of_the_yarn_paper() -> None:
    found = ratios("rope_llama3", base=500000.0)
    published = {
        29: 0.828168,
        30: 0.643743,
        31: 0.493507,
        32: 0.371122,
        33: 0.271425,
        34: 0.190211,
        35: 0.125,
    }
    for pair, ratio in published.items():
        assert found[pair] == pytest.approx(ratio, abs=2e-6)
    paper = ratios("rope_yarn_paper", base=500000.0, factor=8.0, original_length=8192, slow=1.0, fast=4.0)
    np.testing.assert_allclose(found, paper, rtol=1e-6)


def test_ntk_leaves_the_fastest_pair_and_divides_the_slowest_by_the_factor() -> None:
    found = ratios("rope_ntk", factor=4.0)
    assert found[0] == pytest.approx(1.0, rel=1e-6) and found[-1] == pytest.approx(0.25, rel=1e-5)
    assert build("rope_ntk", head_dim=128, factor=4.0).raised == pytest.approx(40889.9424, abs=1e-3)


def test_dynamic_is_plain_rope_up_to_the_trained_length_and_ntk_beyond() -> None:
    dynamic, plain = build("rope_dynamic", factor=2.0), build("rope")
    assert np.array_equal(frequencies(dynamic, length=LENGTH), frequencies(plain))
    # At n = L (s' + s - 1) / s the base is that of NTK at s'.
    twice = build("rope_ntk", factor=3.0)
    np.testing.assert_allclose(frequencies(dynamic, length=2 * LENGTH), frequencies(twice), rtol=1e-6)


def test_longrope_has_its_published_factor() -> None:
    position = build("rope_longrope", factor=32.0, original_length=4096)
    assert position.attention_factor(length=1) == pytest.approx(1.1902380714, abs=1e-10)


def test_linear_scaling_is_rope_at_fractions_of_a_position() -> None:
    scaled, plain = build("rope_linear", factor=4.0), build("rope")
    q = torch.randn(1, 1, 3, K, generator=torch.Generator().manual_seed(0))
    p = torch.tensor([0, 4, 8])
    ours, _ = scaled.rotate(q, q, scaled.state(p, p, length=9))
    theirs, _ = plain.rotate(q, q, plain.state(p // 4, p // 4, length=3))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


# --- layouts, partial rotation, xPos -----------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_layout_and_fraction_equal_the_oracle(layout: str, fraction: float) -> None:
    position, p = build("rope", layout=layout, fraction=fraction), torch.arange(9)
    q = torch.randn(2, 1, 9, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turned, _ = position.rotate(q, q, position.state(p, p, length=9))
    exact = oracles.POSITION["rope"].rotate(
        q.numpy(), p.double().numpy(), which="q", length=9, max_seq_len=9, layout=layout, fraction=fraction
    )
    np.testing.assert_allclose(turned.numpy(), exact, atol=5e-6)
    still = round(fraction * K)
    assert torch.equal(turned[..., still:], q[..., still:])


def test_interleaved_layout_is_that_of_gptj() -> None:
    position, p = build("rope_interleaved", fraction=0.5), torch.arange(9)
    q = torch.randn(1, 9, 1, K, generator=torch.Generator().manual_seed(0))
    sincos = create_sinusoidal_positions(9, K // 2)[None]
    sin, cos = sincos.chunk(2, dim=-1)
    theirs = torch.cat((apply_rotary_pos_emb(q[..., : K // 2], sin, cos), q[..., K // 2 :]), dim=-1)
    ours, _ = position.rotate(q.transpose(1, 2), q.transpose(1, 2), position.state(p, p, length=9))
    torch.testing.assert_close(ours, theirs.transpose(1, 2), rtol=1e-5, atol=1e-6)


def test_logits_of_xpos_depend_on_distance_alone_and_fade_with_it() -> None:
    position = build("xpos")
    ones = torch.ones(1, 1, 1, K, dtype=torch.float64)

    def logit(query: int, key: int) -> float:
        q, _ = position.rotate(ones, ones, position.state(torch.tensor([query]), torch.tensor([0]), length=1))
        _, k = position.rotate(ones, ones, position.state(torch.tensor([key]), torch.tensor([0]), length=1))
        return (q * k).sum().item()

    assert logit(300, 200) == pytest.approx(logit(100, 0), abs=1e-3)
    zeta = (np.arange(0, K, 2) / K + 0.4) / 1.4
    theta, _ = expected("rope", length=1)
    for distance in (0, 5, 40):
        exact = (2 * np.cos(distance * theta) * zeta ** (distance / 512)).sum()
        assert logit(distance, 0) == pytest.approx(exact, abs=1e-4)


def test_xpos_refuses_to_see_later_keys() -> None:
    with pytest.raises(RequestError, match="causal"):
        build("xpos", causal=False)


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("rope", {"layout": "quarter"}, "half or interleaved"),
        ("rope", {"fraction": 0.0}, "fraction"),
        ("rope", {"fraction": 1.5}, "fraction"),
        ("rope", {"fraction": 3 / K}, "even"),
        ("rope", {"fraction": 0.33}, "even"),
        ("rope", {"base": 1.0}, "base"),
        ("rope", {"base": math.inf}, "base"),
        ("rope_linear", {"factor": 0.5}, "factor"),
        ("rope_linear", {"original_length": 0}, "original_length"),
        ("rope_ntk", {"head_dim": 2}, "4 rotated channels"),
        ("rope_dynamic", {"head_dim": 2}, "4 rotated channels"),
        ("rope_yarn", {"slow": 32.0, "fast": 1.0}, "slow"),
        ("rope_yarn_paper", {"attention_factor": 0.0}, "attention_factor"),
        ("rope_llama3", {"low": 4.0}, "low"),
        ("rope_longrope", {"long_factor": [1.0]}, "8 pairs"),
        ("rope_longrope", {"short_factor": [0.0] * (K // 2)}, "above zero"),
        ("xpos", {"scale_base": 0.0}, "scale_base"),
    ],
)
def test_impossible_options_are_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        build(name, **options)
