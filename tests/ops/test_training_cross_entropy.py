"""The loss of a training step against that of nats of which anything may be made, and what it keeps."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.ops import nats as module
from paribus.ops.cross_entropy import linear_cross_entropy
from paribus.ops.training_cross_entropy import parts_that_fit, training_cross_entropy

from .test_cross_entropy import OPTIONS, D, N, V, inputs, peak_bytes
from .test_cross_entropy_bias import bias_V

DIVISOR = 7.0
PARTS = pytest.mark.parametrize("parts", [1, 3, 4, 100])


def learned(dtype: torch.dtype = torch.float64) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    x, weight, targets = inputs(dtype)
    return (x, weight, bias_V().detach().to(dtype).requires_grad_()), targets


def ours(x: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, **options: Any) -> Tensor:
    return training_cross_entropy(x, weight, targets, bias_V=bias, divisor=DIVISOR, **options)[0]


def wanted(x: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, **options: Any) -> Tensor:
    return linear_cross_entropy(x, weight, targets, bias_V=bias, reduction="sum", **options) / DIVISOR


@PARTS
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("biased", [False, True])
def test_loss_nats_and_gradients_are_those_of_the_sum(
    name: str, parts: int, biased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_EAGER_ELEMENTS", 2 * V)  # several stretches of eager rows
    (x, weight, bias), targets = learned()
    learn = (x, weight, bias) if biased else (x, weight)
    given: dict[str, Any] = {**OPTIONS[name], "bias_V": bias if biased else None}
    loss, nats = training_cross_entropy(x, weight, targets, divisor=DIVISOR, parts=parts, **given)
    expected = linear_cross_entropy(x, weight, targets, **given)
    torch.testing.assert_close(nats, expected)
    assert not nats.requires_grad
    torch.testing.assert_close(loss, expected.sum() / DIVISOR)
    # Twice, and by a factor: what the forward pass has made must outlive a backward pass.
    for factor in (1.0, -0.3):
        found = torch.autograd.grad(factor * loss, learn, retain_graph=True)
        exact = torch.autograd.grad(factor * expected.sum() / DIVISOR, learn, retain_graph=True)
        torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("name", ["plain", "everything"])
def test_first_and_second_derivatives_are_right(name: str, parts: int) -> None:
    learn, targets = learned()
    loss = functools.partial(ours, targets=targets, parts=parts, **OPTIONS[name])
    assert torch.autograd.gradcheck(loss, learn)
    assert torch.autograd.gradgradcheck(loss, learn)


def test_tied_weights_have_the_same_gradient_where_it_can_be_differentiated_again() -> None:
    (_, weight, bias), targets = learned()

    def gradient(*, again: bool) -> Tensor:
        loss = ours(torch.tanh(weight[torch.arange(N)]), weight, bias, targets, parts=3)
        return torch.autograd.grad(loss, weight, create_graph=again)[0]

    torch.testing.assert_close(gradient(again=True), gradient(again=False))


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("which", range(3), ids=["x", "weight", "bias"])
def test_one_alone_may_learn_and_no_gradient_of_another_is_made(which: int, again: bool) -> None:
    learn, targets = learned()
    expected = torch.autograd.grad(wanted(*learn, targets), learn)[which]
    frozen = [each if index == which else each.detach() for index, each in enumerate(learn)]
    loss = ours(*frozen, targets, parts=3)
    assert [made is not None for made in loss.grad_fn.saved_tensors[4:]] == [
        index == which for index in range(3)
    ]
    found = torch.autograd.grad(loss, frozen[which], create_graph=again)[0]
    torch.testing.assert_close(found, expected)


class _Products(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts matrix products."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
        return func(*args, **(kwargs or {}))


def test_nothing_is_multiplied_that_is_not_asked_for() -> None:
    (x, weight, bias), targets = learned()

    def products(x: Tensor, weight: Tensor) -> int:
        with _Products() as found:
            ours(x, weight, bias.detach(), targets)
        return found.count

    assert products(x, weight) == 3
    assert products(x.detach(), weight) == products(x, weight.detach()) == 2
    assert products(x.detach(), weight.detach()) == 1
    with torch.no_grad():
        assert products(x, weight) == 1


def test_transforms_of_torch_func_take_plain_operations() -> None:
    learn, targets = learned()
    loss = functools.partial(ours, targets=targets, parts=3, **OPTIONS["everything"])
    found = torch.func.grad(loss, argnums=(0, 1, 2))(*(each.detach() for each in learn))
    exact = torch.autograd.grad(wanted(*learn, targets, **OPTIONS["everything"]), learn)
    torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("parts", [1, 3])
def test_under_autocast_the_stream_counts_as_of_its_dtype(parts: int) -> None:
    (x, weight, bias), targets = learned(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = ours(x, weight, bias, targets, parts=parts)
    expected = ours(x.bfloat16(), weight, bias, targets, parts=parts)
    torch.testing.assert_close(loss, expected)
    found, exact = (torch.autograd.grad(each, (x, weight, bias)) for each in (loss, expected))
    torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("parts", [1, 3])
def test_no_rows_give_no_nats(parts: int) -> None:
    (x, weight, bias), targets = learned()
    loss, nats = training_cross_entropy(x[:0], weight, targets[:0], bias_V=bias, divisor=1, parts=parts)
    assert nats.shape == (0,) and loss.item() == 0
    assert not any(of.any() for of in torch.autograd.grad(loss, (weight, bias)))


@pytest.mark.parametrize(
    "given",
    [{"divisor": 0.0}, {"parts": 0}, {"label_smoothing": 1.0}, {"z_loss": -1.0}, {"softcap": 0.0}],
    ids=lambda given: next(iter(given)),
)
def test_impossible_options_are_refused_in_one_sentence(given: dict[str, Any]) -> None:
    x, weight, targets = inputs()
    with pytest.raises(RequestError, match=next(iter(given))) as caught:
        training_cross_entropy(x, weight, targets, **{"divisor": DIVISOR, **given})
    assert "\n" not in str(caught.value)


def test_gradients_that_would_vanish_in_float16_are_refused() -> None:
    (x, weight, bias), targets = learned(torch.float16)
    with pytest.raises(RequestError, match=r"float16.*linear_cross_entropy"):
        ours(x, weight, bias, targets)
    with torch.no_grad():
        assert torch.isfinite(ours(x, weight, bias, targets))


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("target", [-1, V])
def test_a_target_outside_the_vocabulary_is_an_error(target: int, parts: int) -> None:
    x, weight, targets = inputs()
    targets[3] = target
    with pytest.raises((RuntimeError, IndexError)):
        ours(x, weight, None, targets, parts=parts)


def test_rows_are_taken_in_parts_by_the_size_of_their_logits_and_more_where_memory_is_short() -> None:
    def parts(rows: int, vocab: int, memory: int = 1 << 40) -> int:
        return parts_that_fit(rows, vocab, dtype=torch.bfloat16, memory_bytes=memory)

    assert [parts(2048, vocab) for vocab in (257, 8192, 32_768, 131_072)] == [1, 4, 8, 8]
    assert parts(2048, 6144) == 4  # three would do, and do not divide the rows
    assert parts(2 * 1009, 8192) == 4  # nor does anything near four divide these
    assert parts(1, 1 << 30) == 1
    logits = 2048 * 131_072 * 2
    assert parts(2048, 131_072, memory=1 << 28) == 2 * logits / ((1 << 28) / 8) == 32
    assert parts(2048, 131_072, memory=1) == 2048


def test_eager_the_logits_of_one_part_exist_at_a_time() -> None:
    rows, vocab = 512, 32_768
    x = torch.randn(rows, 8, dtype=torch.bfloat16, requires_grad=True)
    weight, targets = torch.randn(vocab, 8, requires_grad=True), torch.randint(vocab, (rows,))

    def peak(parts: int) -> int:
        return peak_bytes(lambda: ours(x, weight, None, targets, parts=parts).backward())

    saved = rows * vocab * 2 * (1 / 2 - 1 / 8)
    assert peak(2) - peak(8) == pytest.approx(saved, rel=0.1)


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("parts", [1, 3])
def test_compiled_it_is_one_graph_with_the_same_gradients(parts: int) -> None:
    learn, targets = learned()
    loss = functools.partial(ours, targets=targets, parts=parts, **OPTIONS["everything"])
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*learn), loss(*learn))
    found, exact = (torch.autograd.grad(-0.3 * form(*learn), learn) for form in (compiled, loss))
    torch.testing.assert_close(found, exact)


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("parts", [1, 3])
def test_compiled_for_any_number_of_rows_the_loss_is_the_same(parts: int) -> None:
    (x, weight, bias), targets = learned()
    loss = functools.partial(ours, parts=parts)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for rows in (N, 4):
        given = (x[:rows], weight, bias, targets[:rows])
        for of_rows in (given[0], given[3]):
            torch._dynamo.mark_dynamic(of_rows, 0)  # an error if the graph is for one number only
        torch.testing.assert_close(compiled(*given), loss(*given))


def distances(loss: Callable[..., Tensor], parts: int) -> list[float]:
    """How far the bf16 gradients of x, W and b are from exact ones of the same logits' gradient, in roundings."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(256, 64, generator=generator).bfloat16()
    weight = (torch.randn(500, 64, generator=generator) / 8).bfloat16().float()
    bias = torch.randn(500, generator=generator).bfloat16().float()
    targets = torch.randint(500, (256,), generator=generator)
    logits = torch.nn.functional.linear(x, weight.bfloat16(), bias.bfloat16()).double().requires_grad_()
    nats = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    of_logits = torch.autograd.grad(nats / DIVISOR, logits)[0].bfloat16().double()
    # Of the logits' gradient as it was rounded, which every form does.
    exact = (of_logits @ weight.double(), of_logits.T @ x.double(), of_logits.sum(0))
    learn = [each.requires_grad_() for each in (x, weight, bias)]
    found = torch.autograd.grad(loss(*learn, targets, parts=parts), learn)
    return [
        float((one.double() - other).norm() / (other.bfloat16().double() - other).norm())
        for one, other in zip(found, exact, strict=True)
    ]


@pytest.mark.parametrize("parts", [1, 2, 8])
def test_gradients_in_bf16_are_rounded_once(parts: int) -> None:
    of_x, of_weight, of_bias = distances(ours, parts)
    assert of_x < 1.02
    assert of_weight < 1.02
    assert of_bias < 0.5  # float32


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("parts", [1, 8])
def test_compiled_gradients_in_bf16_are_rounded_once(parts: int) -> None:
    of_x, of_weight, of_bias = distances(torch.compile(ours, fullgraph=True), parts)
    assert of_x < 1.02
    assert of_weight < 1.02
    assert of_bias < 0.5


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize(("name", "whole"), [("plain", 2.2), ("everything", 6.2)])
def test_compiled_the_logits_of_one_part_exist_at_a_time(name: str, whole: float) -> None:
    """Of a part: the logits and their gradient, none in float32. A z-loss and a soft cap add one in float32 each."""
    rows, vocab = 512, 8192
    x = torch.randn(rows, D, dtype=torch.bfloat16, requires_grad=True)
    weight, targets = torch.randn(vocab, D, requires_grad=True), torch.randint(vocab, (rows,))
    bias = torch.randn(vocab, requires_grad=True)

    def peak(parts: int) -> float:
        loss = functools.partial(ours, x, weight, bias, targets, parts=parts, **OPTIONS[name])
        compiled = torch.compile(loss, fullgraph=True)
        compiled().backward()
        return peak_bytes(lambda: compiled().backward()) / (rows * vocab * 2)

    assert 1 <= peak(1) < whole
    assert peak(8) < whole / 8 + 0.2
