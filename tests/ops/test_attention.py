"""Both backends of attention against the definition, query by query; their gradients, and what they refuse."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.ops.attention import TABLE as SHIPPED
from paribus.ops.attention import Backend, Mask, Table, attend, choose_backend, hidden_keys, read_table

from .attention_cases import COMMON, MASKS, PLAIN, Case, assert_is_the_definition

BACKENDS = pytest.mark.parametrize("backend", ["plain", "sdpa"])
#: (backend, name of the case) of everything that each backend can do.
EVERYTHING = [(b, name) for b in ("plain", "sdpa") for name in COMMON] + [("plain", name) for name in PLAIN]
ALL = pytest.mark.parametrize(("backend", "name"), EVERYTHING)
CASES = {**COMMON, **PLAIN}


@ALL
def test_backend_equals_the_definition(backend: Backend, name: str) -> None:
    assert_is_the_definition(attend, CASES[name], backend)


def results(case: Case, backend: Backend, dtype: torch.dtype) -> dict[str, Tensor]:
    """The output and every gradient."""
    qkv, terms = case.qkv(dtype), case.terms(dtype)
    y = case.run(attend, qkv, terms, backend)
    assert y.dtype == dtype
    gradients = torch.autograd.grad((y.double() ** 2).sum(), (*qkv, *terms.values()))
    return dict(zip(("y", "q", "k", "v", *terms), (y.detach(), *gradients), strict=True))


@pytest.mark.parametrize("name", COMMON)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 0.03)])
def test_backends_agree_forward_and_backward(name: str, dtype: torch.dtype, tolerance: float) -> None:
    plain, sdpa = (results(CASES[name], backend, dtype) for backend in ("plain", "sdpa"))
    for key, one in plain.items():
        torch.testing.assert_close(one, sdpa[key], rtol=tolerance, atol=tolerance * 4, msg=key)


@ALL
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 0.03)])
def test_lower_precision_is_near_float64(
    backend: Backend, name: str, dtype: torch.dtype, tolerance: float
) -> None:
    exact, rounded = (results(CASES[name], backend, each) for each in (torch.float64, dtype))
    for key, one in exact.items():
        error = (rounded[key].double() - one).abs().max()
        assert error <= tolerance * one.abs().max() + 1e-12, key


@ALL
def test_first_derivatives_are_the_numerical_ones(backend: Backend, name: str) -> None:
    """By q, k, v and every learned term; hidden keys and blind queries have none."""
    case = CASES[name]
    terms = case.terms()

    def run(*inputs: Tensor) -> Tensor:
        return case.run(attend, list(inputs[:3]), dict(zip(terms, inputs[3:], strict=True)), backend)

    assert torch.autograd.gradcheck(run, (*case.qkv(), *terms.values()), fast_mode=True)


@pytest.mark.parametrize("name", ["causal", "window", "padding on the left", "6 heads on 2", *PLAIN])
def test_second_derivatives_are_the_numerical_ones_on_the_plain_backend(name: str) -> None:
    case = CASES[name]
    terms = case.terms()

    def run(*inputs: Tensor) -> Tensor:
        return case.run(attend, list(inputs[:3]), dict(zip(terms, inputs[3:], strict=True)), "plain")

    assert torch.autograd.gradgradcheck(run, (*case.qkv(), *terms.values()), fast_mode=True)


@BACKENDS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("causal", [True, False])
def test_a_query_that_sees_nothing_gives_zeros_and_moves_nothing(
    backend: Backend, dtype: torch.dtype, causal: bool
) -> None:
    case = Case(causal=causal, valid=(".....", "...xx"))
    found = results(case, backend, dtype)
    assert all(tensor.isfinite().all() for tensor in found.values())
    blind = torch.tensor([[True] * 5, [causal] * 3 + [False] * 2])
    rows = blind[:, None, :, None].expand_as(found["y"])
    assert not found["y"][rows].any() and found["y"][~rows].all()
    assert not found["q"][rows].any()
    unseen = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])[:, None, :, None].expand_as(found["k"])
    assert not found["k"][unseen].any() and not found["v"][unseen].any()
    assert found["v"][~unseen].all()


@BACKENDS
def test_queries_that_stand_before_all_keys_give_zeros(backend: Backend) -> None:
    case = Case(queries=5, keys=3)
    assert_is_the_definition(attend, case, backend)
    found = results(case, backend, torch.float32)
    assert not found["y"][:, :, :2].any() and all(tensor.isfinite().all() for tensor in found.values())


@BACKENDS
@pytest.mark.parametrize("name", ["padding on the left", "everything", "window", "documents"])
def test_what_a_hidden_key_holds_does_not_matter(backend: Backend, name: str) -> None:
    """A value that no query may see has a probability of exactly zero, not a small one."""
    case = CASES[name]
    hidden = hidden_keys(case.mask(), queries=5, keys=5, device=torch.device("cpu"))
    assert hidden is not None
    query = 4  # the last query sees least of the past
    q, k, v = (x.detach() for x in case.qkv(torch.float32))
    unseen = hidden.expand(2, 1, 5, 5)[:, :, query, :, None].expand_as(v)
    assert unseen.any()
    outs = [
        attend(
            q,
            k.masked_fill(unseen, fill),
            v.masked_fill(unseen, fill),
            mask=case.mask(),
            scale=1.0,
            backend=backend,
        )
        for fill in (0.0, 1e4)
    ]
    assert torch.equal(outs[0][:, :, query], outs[1][:, :, query])


@BACKENDS
def test_large_logits_stay_finite(backend: Backend) -> None:
    q, k, v = (x.detach() * 200 for x in Case().qkv(torch.float32))
    assert attend(q, k, v, mask=Mask(causal=True), scale=1.0, backend=backend).isfinite().all()


@BACKENDS
def test_a_batch_of_none_gives_none(backend: Backend) -> None:
    q, k, v = (x.detach()[:0] for x in Case(heads=4).qkv(torch.float32))
    assert attend(q, k, v, mask=Mask(causal=True), scale=1.0, backend=backend).shape == (0, 4, 5, 3)


@pytest.mark.parametrize(
    "given",
    [
        {"score": lambda q: q},
        {"value": lambda p: p},
        {"softcap": 1.0},
        {"sinks_H": torch.zeros(2)},
    ],
    ids=lambda given: next(iter(given)),
)
def test_fused_backend_refuses_what_it_cannot_do(given: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="plain") as caught:
        attend(*Case().qkv(), mask=Mask(causal=True), scale=1.0, backend="sdpa", **given)
    assert "\n" not in str(caught.value) and not str(caught.value).endswith(".")


def test_no_mask_is_made_where_every_query_sees_every_key() -> None:
    assert hidden_keys(Mask(causal=False), queries=3, keys=4, device=torch.device("cpu")) is None


@pytest.mark.parametrize("name", MASKS)
def test_more_conditions_only_hide_more(name: str) -> None:
    """A key must pass every condition, so a mask hides what any of its conditions hides alone."""
    whole = MASKS[name].mask()
    window = None if whole.window is None else Mask(causal=whole.causal, window=whole.window)
    alone = [
        Mask(causal=whole.causal),
        Mask(causal=False, key_valid_BS=whole.key_valid_BS),
        Mask(causal=False, document_BS=whole.document_BS),
        *([] if window is None else [window]),
    ]
    place = torch.device("cpu")
    parts = [hidden_keys(mask, queries=5, keys=5, device=place) for mask in alone]
    every = torch.zeros(2, 1, 5, 5, dtype=torch.bool)
    for part in parts:
        every = every if part is None else every | part
    actual = hidden_keys(whole, queries=5, keys=5, device=place)
    np.testing.assert_array_equal(
        every, torch.zeros_like(every) if actual is None else actual.expand_as(every)
    )


TABLE: Table = {
    ("cpu", torch.bfloat16, False): [(128, "plain"), (1024, "plain"), (2048, "sdpa")],
    ("cpu", torch.float32, False): [(128, "plain"), (512, "sdpa")],
    ("cuda", torch.bfloat16, True): [(4096, "flex")],
}


@pytest.mark.parametrize(
    ("seq_len", "device_type", "dtype", "biased", "chosen"),
    [
        (1, "cpu", torch.bfloat16, False, "plain"),
        (129, "cpu", torch.bfloat16, False, "plain"),
        (1024, "cpu", torch.bfloat16, False, "plain"),
        (1025, "cpu", torch.bfloat16, False, "sdpa"),
        (9999, "cpu", torch.bfloat16, False, "sdpa"),
        (129, "cpu", torch.float32, False, "sdpa"),
        (128, "cpu", torch.float64, False, "plain"),
        (128, "cpu", torch.bfloat16, True, "sdpa"),
        (128, "cuda", torch.bfloat16, True, "flex"),
        (128, "cuda", torch.bfloat16, False, "sdpa"),
        (128, "mps", torch.float32, False, "sdpa"),
    ],
)
def test_what_was_fastest_at_the_next_measured_length_is_chosen_and_else_sdpa(
    seq_len: int, device_type: str, dtype: torch.dtype, biased: bool, chosen: str
) -> None:
    found = choose_backend(seq_len=seq_len, device_type=device_type, dtype=dtype, biased=biased, table=TABLE)
    assert found == chosen


def test_the_table_of_the_package_covers_a_cpu_with_and_without_a_bias() -> None:
    table = read_table(SHIPPED)
    assert {key for key in table if key[0] == "cpu"} == {
        ("cpu", dtype, biased) for dtype in (torch.bfloat16, torch.float32) for biased in (True, False)
    }


GOOD = {"seq_len": 128, "dtype": "bfloat16", "bias": False, "backend": "plain"}


@pytest.mark.parametrize(
    "bad",
    [
        {**GOOD, "backend": "magic"},
        {**GOOD, "backend": "flex"},
        {**GOOD, "dtype": "int3"},
        {**GOOD, "seq_len": "long"},
        {**GOOD, "seq_len": float("inf")},
        {"seq_len": 128},
        None,
        3,
    ],
)
def test_a_bad_row_of_the_table_is_left_out_and_a_good_one_stays(bad: Any, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"devices": {"cpu": {"rows": [bad, {**GOOD, "seq_len": 64}]}}}))
    assert read_table(path) == {("cpu", torch.bfloat16, False): [(64, "plain")]}


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"devices": {"cpu": 3}}', '{"devices": []}'])
def test_without_a_table_sdpa_is_chosen(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    if text is not None:
        path.write_text(text)
    table = read_table(path)
    assert choose_backend(seq_len=8, device_type="cpu", dtype=torch.float32, table=table) == "sdpa"


@pytest.mark.parametrize("window", [None, 5, 100])
@pytest.mark.parametrize(("queries", "more_keys"), [(130, 0), (515, 0), (130, 9), (515, 200)])
def test_queries_in_blocks_give_what_the_fused_form_gives(
    window: int | None, queries: int, more_keys: int
) -> None:
    """With a bias, grouped heads and keys of a cache; long enough for two and for four blocks."""
    generator = torch.Generator().manual_seed(0)
    keys = queries + more_keys

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()

    q, k, v, bias = draw(1, 4, queries, 6), draw(1, 2, keys, 6), draw(1, 2, keys, 6), draw(4, queries, keys)
    given = {"mask": Mask(causal=True, window=window), "scale": 0.4, "bias": bias}
    found = []
    for backend in ("plain", "sdpa"):
        out = attend(q, k, v, backend=backend, **given)  # type: ignore[arg-type]
        found.append([out, *torch.autograd.grad(out.sin().sum(), (q, k, v, bias))])
    for blocks, fused in zip(*found, strict=True):
        torch.testing.assert_close(blocks, fused, rtol=1e-9, atol=1e-11)


def test_blocks_are_put_together_as_the_output_projection_reads_them() -> None:
    q, k, v = torch.randn(3, 2, 4, 256, 8)
    out = attend(q, k, v, mask=Mask(causal=True), scale=1.0, backend="plain")
    assert out.transpose(1, 2).is_contiguous()
