"""The loss of a linear head against its definition in numpy, and what it keeps."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.ops import nats as module
from paribus.ops.cross_entropy import linear_cross_entropy

IGNORE = -100
N, D, V = 9, 5, 13
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "smoothed": {"label_smoothing": 0.1},
    "z-loss": {"z_loss": 1e-2},
    "capped": {"softcap": 2.0},
    "scaled": {"scale": 0.3},
    "everything": {"label_smoothing": 0.2, "z_loss": 0.1, "softcap": 1.5, "scale": 0.7},
}


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, D, dtype=torch.float64, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(V, D, dtype=torch.float64, generator=generator).requires_grad_()
    targets = torch.randint(V, (N,), generator=generator)
    targets[2] = targets[7] = IGNORE
    return x, weight if dtype == torch.float64 else weight.detach().to(dtype).requires_grad_(), targets


def definition(
    x: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
    scale: float = 1.0,
) -> np.ndarray:
    logits = x.detach().double().numpy() @ weight.detach().double().numpy().T * scale
    logits = logits if softcap is None else softcap * np.tanh(logits / softcap)
    normaliser = np.log(np.exp(logits).sum(axis=1))
    nats = np.zeros(N)
    for row, target in enumerate(targets.tolist()):
        if target != IGNORE:
            right, any_ = logits[row, target], logits[row].mean()
            nats[row] = normaliser[row] - (1 - label_smoothing) * right - label_smoothing * any_
            nats[row] += z_loss * normaliser[row] ** 2
    return nats


@pytest.mark.parametrize("name", OPTIONS)
def test_nats_are_those_of_the_definition(name: str) -> None:
    x, weight, targets = inputs()
    expected = definition(x, weight, targets, **OPTIONS[name])
    given: dict[str, Any] = OPTIONS[name]
    actual = linear_cross_entropy(x, weight, targets, **given)
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-12, atol=1e-14)
    total = linear_cross_entropy(x, weight, targets, reduction="sum", **given)
    mean = linear_cross_entropy(x, weight, targets, reduction="mean", **given)
    np.testing.assert_allclose(total.item(), expected.sum(), rtol=1e-12)
    np.testing.assert_allclose(mean.item(), expected.sum() / (N - 2), rtol=1e-12)


@pytest.mark.parametrize("name", OPTIONS)
def test_first_and_second_derivatives_are_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EAGER_ELEMENTS", 3 * V)  # several stretches of eager rows
    x, weight, targets = inputs()

    def loss(x: Tensor, weight: Tensor) -> Tensor:
        return linear_cross_entropy(x, weight, targets, **OPTIONS[name])

    assert torch.autograd.gradcheck(loss, (x, weight))
    assert torch.autograd.gradgradcheck(loss, (x, weight))


def test_tied_weights_have_the_same_gradient_where_it_can_be_differentiated_again() -> None:
    _, weight, targets = inputs()
    ids = torch.arange(N)

    def gradient(*, again: bool) -> Tensor:
        nats = linear_cross_entropy(torch.tanh(weight[ids]), weight, targets)
        return torch.autograd.grad(nats.sum(), weight, create_graph=again)[0]

    torch.testing.assert_close(gradient(again=True), gradient(again=False))


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_transforms_of_torch_func_give_the_same(name: str) -> None:
    x, weight, targets = inputs()

    def loss(x: Tensor, weight: Tensor) -> Tensor:
        return linear_cross_entropy(x, weight, targets, reduction="sum", **OPTIONS[name])

    found = torch.func.grad(loss, argnums=(0, 1))(x.detach(), weight.detach())
    torch.testing.assert_close(found, torch.autograd.grad(loss(x, weight), (x, weight)))
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None))(x.detach()[None], weight.detach())
    torch.testing.assert_close(each[0], found[0])
    tangents = torch.ones_like(x), torch.ones_like(weight)
    _, along = torch.func.jvp(loss, (x.detach(), weight.detach()), tangents)
    torch.testing.assert_close(along, found[0].sum() + found[1].sum())


def test_only_the_head_or_only_the_stream_may_learn() -> None:
    x, weight, targets = inputs()
    both = torch.autograd.grad(linear_cross_entropy(x, weight, targets).sum(), (x, weight))
    alone_x = torch.autograd.grad(linear_cross_entropy(x, weight.detach(), targets).sum(), x)
    alone_w = torch.autograd.grad(linear_cross_entropy(x.detach(), weight, targets).sum(), weight)
    torch.testing.assert_close((*alone_x, *alone_w), both)


def peak_bytes(step: Callable[[], None]) -> int:
    """The most that a step holds beside what was there before it."""
    with torch.profiler.profile(profile_memory=True) as profile:
        step()
    changes = [e.nbytes() for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    return max(itertools.accumulate(changes))


def saved_bytes(num_rows: int, *, vocab: int) -> int:
    x = torch.randn(num_rows, D, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(vocab, D, requires_grad=True)
    saved: dict[int, Tensor] = {}

    def pack(t: Tensor) -> Tensor:
        saved[t.untyped_storage().data_ptr()] = t
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = linear_cross_entropy(x, weight, torch.zeros(num_rows, dtype=torch.long))
    loss.sum().backward()
    return sum(t.untyped_storage().nbytes() for t in saved.values())


def test_logits_are_kept_in_the_dtype_of_the_stream() -> None:
    more = saved_bytes(64, vocab=4096) - saved_bytes(32, vocab=4096)
    # Beside the logits: the stream itself and its targets, a few bytes a row.
    assert more / 32 / 4096 == pytest.approx(2.0, abs=0.02)


def test_under_autocast_the_stream_counts_as_of_its_dtype() -> None:
    x, weight, targets = inputs(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        nats = linear_cross_entropy(x, weight, targets)
    expected = linear_cross_entropy(x.bfloat16(), weight, targets)
    torch.testing.assert_close(nats, expected)
    found = torch.autograd.grad(nats.sum(), (x, weight))
    torch.testing.assert_close(found, torch.autograd.grad(expected.sum(), (x, weight)))


def test_no_rows_give_no_nats() -> None:
    x, weight, targets = inputs()
    nats = linear_cross_entropy(x[:0], weight, targets[:0])
    assert nats.shape == (0,)
    assert not torch.autograd.grad(nats.sum(), weight)[0].any()


def test_ids_whose_logits_are_minus_infinity_cost_the_others_nothing() -> None:
    x, weight, targets = torch.ones(1, D), inputs(torch.float32)[1].detach(), torch.tensor([0])
    expected = linear_cross_entropy(x, weight[:2], targets)
    weight[2:] = float("-inf")
    torch.testing.assert_close(linear_cross_entropy(x, weight, targets), expected)


def test_nats_in_bf16_are_exact_but_for_the_rounding_of_the_logits() -> None:
    x, weight, targets = inputs(torch.bfloat16)
    logits = (x @ weight.T).double()
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    actual = linear_cross_entropy(x, weight, targets)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual.double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_it_is_one_graph_with_the_same_gradients() -> None:
    x, weight, targets = inputs()

    def loss(x: Tensor, weight: Tensor) -> Tensor:
        return linear_cross_entropy(x, weight, targets, reduction="mean", **OPTIONS["everything"])

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, weight), loss(x, weight))
    torch.testing.assert_close(
        torch.autograd.grad(compiled(x, weight), (x, weight)),
        torch.autograd.grad(loss(x, weight), (x, weight)),
    )


@pytest.mark.usefixtures("fresh_compiler")
def test_one_graph_serves_any_number_of_rows() -> None:
    x, weight, targets = inputs()

    def loss(x: Tensor, targets: Tensor) -> Tensor:
        return linear_cross_entropy(x, weight, targets, **OPTIONS["everything"])

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for rows in (N, 4):
        given = (x[:rows], targets[:rows])
        for of_rows in given:
            torch._dynamo.mark_dynamic(of_rows, 0)  # an error if the graph is for one number only
        torch.testing.assert_close(compiled(*given), loss(*given))


@pytest.mark.parametrize(
    "given",
    [
        {"reduction": "median"},
        {"label_smoothing": 1.0},
        {"z_loss": -1.0},
        {"softcap": 0.0},
        {"scale": float("inf")},
    ],
    ids=lambda given: next(iter(given)),
)
def test_impossible_options_are_refused_in_one_sentence(given: dict[str, Any]) -> None:
    x, weight, targets = inputs()
    with pytest.raises(RequestError, match=next(iter(given))) as caught:
        linear_cross_entropy(x, weight, targets, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", [-1, V])
def test_a_target_outside_the_vocabulary_is_an_error(target: int) -> None:
    x, weight, targets = inputs()
    targets[3] = target
    with pytest.raises((RuntimeError, IndexError)):
        linear_cross_entropy(x, weight, targets)


def test_an_ignored_index_may_be_an_id_of_the_vocabulary() -> None:
    x, weight, targets = inputs()
    targets[targets == IGNORE] = 0
    nats = linear_cross_entropy(x, weight, targets, ignore_index=0)
    gradient = torch.autograd.grad(nats.sum(), x)[0]
    for row in range(N):
        assert (nats[row] == 0) == (targets[row] == 0) == (not gradient[row].any())


def test_nats_of_large_logits_keep_their_digits() -> None:
    """With a logsumexp of 1,000 in one float32, 6e-5 would be lost of each."""
    logits = torch.tensor([[1000.0, 999.0, 990.0]])
    nats = linear_cross_entropy(logits, torch.eye(3), torch.tensor([1]))
    expected = torch.nn.functional.cross_entropy(logits.double(), torch.tensor([1]))
    assert nats.item() == pytest.approx(expected.item(), rel=2e-7)


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_the_gradient_of_the_logits_is_written_over_them() -> None:
    rows, vocab = 256, 8192
    x = torch.randn(rows, 8, dtype=torch.bfloat16, requires_grad=True)
    weight, targets = torch.randn(vocab, 8, requires_grad=True), torch.randint(vocab, (rows,))

    def loss() -> Tensor:
        return linear_cross_entropy(x, weight, targets, reduction="mean")

    compiled = torch.compile(loss, fullgraph=True)
    compiled().backward()
    assert 1 <= peak_bytes(lambda: compiled().backward()) / (rows * vocab * 2) < 1.3


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("name", OPTIONS)
def test_compiled_gradients_in_bf16_are_rounded_once(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 32, generator=generator).bfloat16().requires_grad_()
    weight = (torch.randn(500, 32, generator=generator) / 4).bfloat16().requires_grad_()
    targets = torch.randint(500, (64,), generator=generator)

    def gradient_of_logits(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Through the product with a unit matrix, which rounds nothing."""
        logits = (x @ weight.T).detach().requires_grad_()
        eye = torch.eye(500, dtype=torch.bfloat16)
        given: dict[str, Any] = OPTIONS[name]

        def loss(logits: Tensor) -> Tensor:
            return linear_cross_entropy(logits, eye, targets, **given).sum()

        compiled = torch.compile(loss, fullgraph=True)
        exact = logits.detach().double().requires_grad_()
        wanted = linear_cross_entropy(exact, eye.double(), targets, **given).sum()
        return torch.autograd.grad(compiled(logits), logits)[0], torch.autograd.grad(wanted, exact)[0]

    found, exact = gradient_of_logits(x, weight)
    floor = (exact.bfloat16().double() - exact).norm()
    assert (found.double() - exact).norm() <= 1.02 * floor
