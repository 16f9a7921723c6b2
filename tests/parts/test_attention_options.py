"""Attention's options: what they build, what they cost, and the sentence with which impossible ones are refused."""

from typing import Any

import pytest
import torch

from paribus import registry
from paribus.errors import RequestError

from .attending import D, H, K, attending
from .comparison import draw, tokens


def test_a_norm_of_queries_takes_its_own_options() -> None:
    layer = attending(qk_norm={"name": "rmsnorm", "eps": 0.5})
    bare, x = attending(), tokens(2, 6, D)
    bare.load_state_dict(layer.state_dict(), strict=False)
    assert {m.eps for m in layer.modules() if hasattr(m, "eps")} == {0.5}
    assert not torch.allclose(layer(x), bare(x))


def test_width_and_head_norms_have_the_sizes_that_they_are_taken_over() -> None:
    sizes = {
        over: [
            tuple(p.shape)
            for n, p in attending("gqa", qk_norm="rmsnorm", qk_norm_over=over).named_parameters()
            if "norm" in n
        ]
        for over in ("head", "heads", "width")
    }
    wide = [(H * K,), (2 * K,)]
    assert sizes == {"head": [(K,), (K,)], "heads": wide, "width": wide}


def test_a_norm_of_heads_has_statistics_of_each_and_a_norm_of_the_width_has_not() -> None:
    """Queries of one head ten times as large: only the norm of the width makes the other heads smaller by it."""
    x = tokens(2, 6, D)
    for over, alike in (("heads", True), ("width", False)):
        layer = attending(qk_norm="rmsnorm", qk_norm_over=over).attention
        before = layer.q_norm(layer.q(x))[..., K:]
        with torch.no_grad():
            layer.q.weight[:K] *= 10
        assert torch.allclose(layer.q_norm(layer.q(x))[..., K:], before, rtol=1e-6) == alike


@pytest.mark.parametrize(
    ("bias", "biased"), [(False, ""), (True, "qkvo"), ("qkv", "qkv"), ("o", "o")], ids=str
)
def test_biases_are_where_they_are_asked_for(bias: Any, biased: str) -> None:
    layer = attending(bias=bias).attention
    assert {name for name, _ in layer.named_parameters() if "bias" in name} == {f"{n}.bias" for n in biased}
    assert {name for name in layer.roles() if "bias" in name} == {f"{n}.bias" for n in biased}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("mha", {"num_kv_heads": 2}, ("mha", "2", "gqa")),
        ("gqa", {}, ("num_kv_heads", "num_heads")),
        ("gqa", {"num_kv_heads": 3}, ("4", "3", "multiple")),
        ("gqa", {"num_kv_heads": 8}, ("4", "8", "multiple")),
        ("gqa", {"num_kv_heads": 0}, ("4", "0")),
        ("mqa", {"num_kv_heads": 2}, ("mqa", "num_kv_heads")),
        ("mha", {"window": 0}, ("window", "0")),
        ("mha", {"window": 2.5}, ("window", "2.5")),
        ("mha", {"window": True}, ("window", "True")),
        ("mha", {"softcap": 0.0}, ("softcap", "0.0")),
        ("mha", {"softcap": "30"}, ("softcap", "'30'")),
        ("mha", {"softcap": float("inf")}, ("softcap", "inf")),
        ("mha", {"scale": -1.0}, ("scale", "-1.0")),
        ("mha", {"scale": float("nan")}, ("scale", "nan")),
        ("mha", {"qk_norm": "rmsnrm"}, ("rmsnrm", "rmsnorm")),
        ("mha", {"qk_norm": {"eps": 1e-6}}, ("norm", "rmsnorm")),
        ("mha", {"qk_norm": {"name": "rmsnorm", "epsilon": 1e-6}}, ("rmsnorm", "epsilon")),
        ("mha", {"qk_norm": "rmsnorm", "qk_norm_over": "hed"}, ("head", "heads", "width", "'hed'")),
        ("mha", {"qk_norm": "dyt", "qk_norm_over": "heads"}, ("heads", "dyt", "groups")),
        ("mha", {"bias": "kv"}, ("bias", "'kv'", "qkv")),
        ("mha", {"bias": 1}, ("bias", "1")),
        ("mha", {"clip": 0}, ("clip", "0")),
        ("mha", {"clip": -2.0}, ("clip", "-2.0")),
    ],
)
def test_impossible_options_are_refused_by_sentence(
    name: str, options: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(RequestError) as caught:
        registry.get("attention", name).build(d_model=D, num_heads=H, head_dim=K, **options)
    sentence = str(caught.value)
    assert all(word in sentence for word in words), sentence
    assert "\n" not in sentence and not sentence.endswith(".")


@pytest.mark.parametrize(("name", "groups"), [("mha", H), ("gqa", 2), ("mqa", 1)])
def test_counts_are_those_of_the_matrices(name: str, groups: int) -> None:
    card, sizes = registry.get("attention", name), {"d_model": D, "num_heads": H, "head_dim": K}
    given = {**sizes, "num_kv_heads": 2} if name == "gqa" else sizes
    width = (H + groups) * K  # of queries and output, of keys and values
    assert card.num_params(**given) == 2 * D * width
    assert card.num_params(**given, bias=True) == 2 * D * width + (H + 2 * groups) * K + D
    assert card.num_params(**given, sinks=True) == 2 * D * width + H
    assert card.num_params(**given, qk_norm="rmsnorm") == 2 * D * width + 2 * K
    per_width = card.num_params(**given, qk_norm="rmsnorm", qk_norm_over="width")
    assert per_width == 2 * D * width + (H + groups) * K


def test_roles_say_what_scales_and_what_does_not() -> None:
    layer = draw(
        registry.get("attention", "mha").build(d_model=D, num_heads=H, head_dim=K, sinks=True, bias=True)
    )
    kinds = {name: role.kind for name, role in layer.roles().items()}
    assert kinds == {
        "q.weight": "query",
        "k.weight": "key",
        "v.weight": "input",
        "o.weight": "output",
        "sinks": "constant",
        **{f"{name}.bias": "constant" for name in "qkvo"},
    }
