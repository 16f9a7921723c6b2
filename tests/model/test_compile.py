"""Whole tiny models under torch.compile: one graph, with the logits and gradients that they have without it.

Parts alone are in `tests/parts/test_compile.py`; here they stand beside all others. Of each slot a few parts run
every day, all of them in the exhaustive run.
"""

import pytest
import torch
from torch import Tensor

from paribus.model.config import ModelConfig
from paribus.model.initialise import build

from ..parts.comparison import draw
from .conftest import SWAPS, MakeConfig, swapped

pytestmark = pytest.mark.usefixtures("fresh_compiler")

#: Of each slot those that are most unlike the default ones.
UNLIKE = {
    ("ffn", "maxout"),
    ("ffn", "layernorm_mlp"),
    ("ffn", "xielu"),
    ("norm", "batchnorm"),
    ("residual", "peri"),
    ("residual", "parallel"),
    ("residual", "rezero"),
    ("position", "t5"),
    ("position", "shaw"),
    ("position", "rope_dynamic"),
    ("attention", "gqa"),
}
DAILY = [key if key in UNLIKE else pytest.param(*key, marks=pytest.mark.slow) for key in SWAPS]
#: One of each slot that no default model has.
OTHERS = {
    "ffn": "relu2",
    "norm": "layernorm",
    "residual": "sandwich",
    "position": "alibi",
    "attention": "mqa",
}


def ids(length: int = 7, *, seed: int = 5) -> Tensor:
    return torch.randint(13, (2, length), generator=torch.Generator().manual_seed(seed))


def assert_compiles(config: ModelConfig, *, backend: str, **given: Tensor) -> None:
    """Away from the start, where some parts let nothing through."""
    model = build(config, seed=0).eval()  # scoring: random slopes would differ
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=noise)
    results = []
    for form in (model, torch.compile(model, backend=backend, fullgraph=True)):
        logits = form(ids(), **given)
        gradients = torch.autograd.grad(
            logits.square().sum(), list(model.parameters()), materialize_grads=True
        )
        results.append([logits.detach(), *gradients])
    for eager, compiled in zip(*results, strict=True):
        scale = eager.abs().max().item()
        torch.testing.assert_close(compiled, eager, rtol=2e-5, atol=2e-5 * scale)


@pytest.mark.parametrize(("slot", "name"), DAILY)
def test_model_is_one_graph_with_the_same_gradients(make_config: MakeConfig, slot: str, name: str) -> None:
    short = {"max_seq_len": 5} if slot == "position" and name != "learned" else {}
    assert_compiles(make_config(num_layers=1, **short, **swapped(slot, name)), backend="aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize(("slot", "name"), SWAPS)
def test_inductor_gives_the_same_model(make_config: MakeConfig, slot: str, name: str) -> None:
    assert_compiles(make_config(num_layers=1, **swapped(slot, name)), backend="inductor")


@pytest.mark.parametrize(
    "parts", [pytest.param({}, id="default"), pytest.param(OTHERS, id="others", marks=pytest.mark.slow)]
)
def test_two_models_with_no_part_in_common_are_compiled_by_inductor(
    make_config: MakeConfig, parts: dict[str, str]
) -> None:
    assert_compiles(make_config(num_layers=1, **parts), backend="inductor")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["decoder", "encoder"])
def test_a_compiled_bias_by_diagonals_is_that_of_every_pair(
    make_config: MakeConfig, architecture: str
) -> None:
    """At a length at which causal queries come in blocks; places that are given are not taken to follow each other."""
    length = 150
    config = make_config(architecture=architecture, position="t5", max_seq_len=length)
    model = build(config, seed=0)
    draw(model)
    tokens, places = ids(length), torch.arange(length)
    results = []
    for form, given in ((model, {"position_T": places}), (torch.compile(model, fullgraph=True), {})):
        logits = form(tokens, **given)
        gradients = torch.autograd.grad(logits.square().mean(), list(model.parameters()))
        results.append([logits.detach(), *gradients])
    for pairs, diagonals in zip(*results, strict=True):
        largest = pairs.abs().max().item()
        torch.testing.assert_close(diagonals, pairs, rtol=2e-5, atol=2e-5 * largest)


@pytest.mark.parametrize("architecture", ["encoder", "encoder_decoder"])
def test_other_architectures_are_one_graph_too(make_config: MakeConfig, architecture: str) -> None:
    """With padding, in which a row sees nothing at all."""
    valid = torch.arange(7) < torch.tensor([[7], [0]])
    given = {"valid_BT": valid}
    if architecture == "encoder_decoder":
        given = {"source_BS": ids(seed=6), "source_valid_BS": valid}
    config = make_config(num_layers=1, architecture=architecture, position="t5")
    assert_compiles(config, backend="aot_eager", **given)


def test_patterns_packed_documents_and_caps_are_one_graph_too(make_config: MakeConfig) -> None:
    config = make_config(
        attention=[{"name": "mha", "window": 3, "softcap": 2.0}, {"name": "mha", "sinks": True}],
        position=["rope", "alibi"],
        ffn=["swiglu", "relu2"],
        embedding_scale=2.0,
        logit_scale=0.5,
        logit_softcap=3.0,
    )
    documents = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 2, 2]])
    assert_compiles(
        config, backend="aot_eager", document_BT=documents, position_T=torch.arange(7).expand(2, -1)
    )
