"""Both backends of attention against the definition, query by query."""

import numpy as np
import pytest
import torch

from paribus import oracles
from paribus.ops.attention import Backend, Mask, attend, choose_backend

BACKENDS = pytest.mark.parametrize("backend", ["plain", "sdpa"])
CAUSAL = pytest.mark.parametrize("causal", [False, True])


def qkv(*, t: int, s: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(t * 100 + s)
    return [
        torch.randn(2, 3, n, 4, dtype=torch.float64, generator=draw).to(dtype).requires_grad_()
        for n in (t, s, s)
    ]


@BACKENDS
@CAUSAL
@pytest.mark.parametrize("scale", [0.5, 1.7])
def test_backend_equals_the_definition(backend: Backend, causal: bool, scale: float) -> None:
    q, k, v = qkv(t=5, s=5)
    expected = oracles.attention(*(x.detach().numpy() for x in (q, k, v)), causal=causal, scale=scale)
    actual = attend(q, k, v, mask=Mask(causal=causal), scale=scale, backend=backend)
    assert actual.dtype == torch.float64
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-12, atol=1e-13)


@BACKENDS
def test_without_a_mask_queries_and_keys_may_differ_in_number(backend: Backend) -> None:
    q, k, v = qkv(t=2, s=6)
    expected = oracles.attention(*(x.detach().numpy() for x in (q, k, v)), causal=False, scale=0.5)
    actual = attend(q, k, v, mask=Mask(causal=False), scale=0.5, backend=backend)
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-12, atol=1e-13)


@CAUSAL
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 0.02)])
def test_backends_agree_forward_and_backward(causal: bool, dtype: torch.dtype, tolerance: float) -> None:
    results = []
    for backend in ("plain", "sdpa"):
        x = qkv(t=7, s=7, dtype=dtype)
        y = attend(*x, mask=Mask(causal=causal), scale=0.5, backend=backend)
        assert y.dtype == dtype
        results.append([y.detach(), *torch.autograd.grad((y.float() ** 2).sum(), x)])
    for plain, sdpa in zip(*results, strict=True):
        torch.testing.assert_close(plain, sdpa, rtol=tolerance, atol=tolerance * 4)


@BACKENDS
def test_large_logits_stay_finite(backend: Backend) -> None:
    q, k, v = (x.detach() * 200 for x in qkv(t=4, s=4, dtype=torch.float32))
    assert attend(q, k, v, mask=Mask(causal=True), scale=1.0, backend=backend).isfinite().all()


@BACKENDS
def test_gradcheck(backend: Backend) -> None:
    x = [y[:1, :1, :3, :2].detach().clone().requires_grad_() for y in qkv(t=3, s=3)]

    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return attend(q, k, v, mask=Mask(causal=True), scale=0.6, backend=backend)

    assert torch.autograd.gradcheck(run, x)


def test_plain_is_chosen_for_short_sequences_on_a_cpu_and_only_there() -> None:
    assert choose_backend(seq_len=128, device_type="cpu") == "plain"
    assert choose_backend(seq_len=4096, device_type="cpu") == "sdpa"
    assert choose_backend(seq_len=128, device_type="cuda") == "sdpa"
