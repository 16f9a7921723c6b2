"""The flex backend against the definition and the plain backend, as torch's reference runs it on a CPU."""

import pytest
import torch
from torch import Tensor
from torch.nn.attention import flex_attention

from paribus import registry
from paribus.errors import RequestError
from paribus.ops.attention import Mask, attend
from paribus.parts.position.base import Position

from .attention_cases import COMMON, PLAIN, Case, assert_is_the_definition

CASES = {**COMMON, "softcap": PLAIN["softcap"]}
pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


@pytest.fixture
def differentiable(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch refuses gradients on a CPU, where its kernel has none; its reference does have them."""
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *_: None)
    torch._dynamo.reset()


@pytest.mark.parametrize("name", CASES)
def test_flex_equals_the_definition(name: str, differentiable: None) -> None:
    assert_is_the_definition(attend, CASES[name], "flex")


@pytest.mark.parametrize(
    "name", ["open", "everything", "everything, cached", "6 heads on 2", "bias of 4 axes, causal", "softcap"]
)
def test_flex_has_the_gradients_of_plain(name: str, differentiable: None) -> None:
    found = []
    for backend in ("flex", "plain"):
        qkv, terms = CASES[name].qkv(), CASES[name].terms()
        out = CASES[name].run(attend, qkv, terms, backend)  # type: ignore[arg-type]
        found.append(torch.autograd.grad((out**2).sum(), (*qkv, *terms.values())))
    for flex, plain in zip(*found, strict=True):
        torch.testing.assert_close(flex, plain, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["alibi", "t5"])
@pytest.mark.parametrize("rows", [False, True], ids=["positions of all", "positions of each row"])
def test_a_compact_bias_gives_what_the_whole_one_does(name: str, rows: bool, differentiable: None) -> None:
    """Output and gradients, T5's table among them; with a cache, grouped heads and far distances."""
    case = Case(heads=4, groups=2, queries=3, window=4)
    position = registry.get("position", name).build(d_model=12, head_dim=3, num_heads=4, max_seq_len=8)
    assert isinstance(position, Position)
    position.double()
    for parameter in position.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([0, 1, 40, 41, 300])
    if rows:
        places = torch.stack((places, torch.arange(5)))
    found = []
    for backend in ("flex", "plain"):
        qkv = case.qkv()
        state = position.state(places[..., 2:], places, length=301)
        bias = position.bias_at(state) if backend == "flex" else position.bias(state)
        out = attend(*qkv, mask=case.mask(), scale=0.7, backend=backend, bias=bias)  # type: ignore[arg-type]
        leaves = (*qkv, *position.parameters())
        found.append([out, *torch.autograd.grad((out**2).sum(), leaves)])
        assert backend == "plain" or "bias" not in state
    for flex, plain in zip(*found, strict=True):
        torch.testing.assert_close(flex, plain, rtol=1e-11, atol=1e-13)


def test_a_compiler_takes_flex_into_one_graph_with_its_mask_and_bias(differentiable: None) -> None:
    """As far as a CPU can tell: traced and differentiated as a whole, run without generated kernels.

    With ALiBi: of a learned table the reference forgets the gradient when it runs inside a compiled graph.
    """
    case = CASES["everything"]
    position = registry.get("position", "alibi").build(d_model=6, head_dim=3, num_heads=2, max_seq_len=8)
    assert isinstance(position, Position)

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        places = torch.arange(5)
        bias = position.bias_at(position.state(places, places, length=5))
        return attend(q, k, v, mask=case.mask(), scale=0.7, backend="flex", bias=bias)

    found = []
    for form in (run, torch.compile(run, fullgraph=True, backend="aot_eager")):
        leaves = case.qkv(torch.float32)
        out = form(*leaves)
        found.append([out, *torch.autograd.grad((out**2).sum(), leaves)])
    for eager, compiled in zip(*found, strict=True):
        torch.testing.assert_close(eager, compiled)


@pytest.mark.parametrize("backend", ["plain", "sdpa"])
def test_other_backends_refuse_a_compact_bias(backend: str) -> None:
    def bias(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key - query).double()

    with pytest.raises(RequestError, match="flex"):
        attend(*Case().qkv(), mask=Mask(causal=True), scale=1.0, backend=backend, bias=bias)  # type: ignore[arg-type]


def test_blocks_that_are_wholly_hidden_are_skipped() -> None:
    from paribus.ops.attention_flex import _visible

    mask = Mask(causal=True, window=100)
    blocks = _visible(mask, batch=1, queries=1024, keys=1024, like=torch.zeros(()))
    assert blocks is not None
    assert blocks.sparsity() > 70  # of 8 x 8 blocks of 128 only the diagonal and the one before it are seen
