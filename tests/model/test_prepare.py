"""A prepared model has the logits of its model, from copies of its weights, and leaves it as it was."""

from typing import Any

import pytest
import torch
from torch import Tensor

from paribus.model.cache import Cache
from paribus.model.generate import generate
from paribus.model.head import Head
from paribus.model.prepare import COPIED_UNASKED, prepare
from paribus.model.transformer import Transformer
from paribus.ops.linear import Linear
from paribus.ops.packed import Packed, can_pack

from ..parts.comparison import draw
from .conftest import SWAPS, MakeConfig, swapped

V, T = 13, 9


def ids(length: int = T) -> Tensor:
    return torch.randint(V, (2, length), generator=torch.Generator().manual_seed(5))


def model_of(make_config: MakeConfig, **changes: Any) -> Transformer:
    model = Transformer(make_config(**changes))
    draw(model, seed=2, exact_in=torch.bfloat16)
    return model.eval()


def assert_same(model: Transformer, *, dtype: torch.dtype = torch.float32, **given: Any) -> None:
    """With a cache too, one token at a time: that is what it is made for."""
    prepared = prepare(model, dtype=dtype, copies=True)
    with torch.inference_mode():
        expected = model(ids(), dtype=dtype, **given)
        whole = prepared.model(ids(), dtype=dtype, **given)
        cache = Cache()
        steps = [prepared.model(ids()[:, at : at + 1], dtype=dtype, cache=cache, **given) for at in range(T)]
    close = {"rtol": 1e-3, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(whole, expected, **close)
    torch.testing.assert_close(torch.cat(steps, 1), expected, **close)


def only_small_ids(module: Any, inputs: Any, logits: Tensor) -> Tensor:
    return logits.index_fill(-1, torch.arange(4, V), -1e9)


class _Doubled(Head):
    def forward(self, x: Tensor, embedding_VD: Tensor) -> Tensor:
        return -super().forward(x, embedding_VD)


def test_a_head_with_a_hook_or_of_another_class_stays_as_it_is(make_config: MakeConfig) -> None:
    hooked, other = model_of(make_config), model_of(make_config)
    hooked.head.register_forward_hook(only_small_ids)
    other.head.__class__ = _Doubled
    for model in (hooked, other):
        prepared = prepare(model, copies=True)
        assert "head" in prepared.plain and "head" not in prepared.copied
        assert_same(model)


class _Adapted(torch.nn.Module):
    """x Wᵀ + x Aᵀ Bᵀ, as adapters are put around a layer whose weight they still show."""

    def __init__(self, layer: Linear) -> None:
        super().__init__()
        self.layer = layer
        self.weight, self.bias, self.out_features = layer.weight, layer.bias, layer.out_features
        self.low = torch.nn.Parameter(torch.ones(2, layer.in_features))
        self.high = torch.nn.Parameter(torch.ones(layer.out_features, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + x @ self.low.T @ self.high.T


@pytest.mark.parametrize("name", ["q", "k", "v", "o"])
def test_an_adapter_around_any_matrix_of_attention_counts(make_config: MakeConfig, name: str) -> None:
    model = model_of(make_config)
    before = model(ids())
    attention: Any = next(iter(model.blocks())).attention
    adapted = _Adapted(getattr(attention, name))
    setattr(attention, name, adapted)
    after = model(ids())
    assert not torch.allclose(before, after, atol=1e-4)
    after.square().sum().backward()
    assert adapted.low.grad is not None and adapted.low.grad.abs().sum() > 0
    assert_same(model)


@pytest.mark.parametrize("name", ["q", "k", "v", "o"])
def test_hooks_on_any_matrix_of_attention_run(make_config: MakeConfig, name: str) -> None:
    model = model_of(make_config)
    before = model(ids())
    attention: Any = next(iter(model.blocks())).attention
    getattr(attention, name).register_forward_hook(lambda module, inputs, output: 0 * output)
    assert not torch.allclose(before, model(ids()), atol=1e-4)
    assert_same(model)


@pytest.mark.parametrize(("slot", "name"), SWAPS)
def test_every_part_has_the_same_logits(make_config: MakeConfig, slot: str, name: str) -> None:
    assert_same(model_of(make_config, **swapped(slot, name, max_seq_len=T)))


@pytest.mark.parametrize(
    "changes",
    [
        {"tie_embeddings": True},
        {"tie_embeddings": False},
        {"attention": {"name": "gqa", "bias": True, "qk_norm": "rmsnorm"}, "num_heads": 4, "num_kv_heads": 2},
        {"ffn": {"name": "swiglu", "bias": True}},
        {"ffn": {"name": "swiglu", "memory": "none"}},
        {"logit_scale": 0.5, "logit_softcap": 2.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_option_has_the_same_logits(
    make_config: MakeConfig, changes: dict[str, Any], dtype: torch.dtype
) -> None:
    model = model_of(make_config, **changes)
    assert_same(model, dtype=dtype)
    assert prepare(model, dtype=dtype, copies=True).plain == ()


def test_an_encoder_decoder_has_copies_of_what_it_writes_with(make_config: MakeConfig) -> None:
    model = model_of(make_config, architecture="encoder_decoder")
    assert_same(model, source_BS=ids(4))
    prepared = prepare(model, copies=True)
    assert prepared.copied and all(name.split(".")[0] != "encoder" for name in prepared.copied)
    assert any("cross_attention.q" in name for name in prepared.copied)


def test_bfloat16_has_the_very_same_logits(make_config: MakeConfig) -> None:
    if not can_pack(torch.empty(1), torch.bfloat16):
        pytest.skip("no layout for bfloat16 on this processor")
    model = model_of(make_config)
    with torch.inference_mode():
        expected = model(ids(), dtype=torch.bfloat16)
        given = prepare(model, dtype=torch.bfloat16, copies=True).model(ids(), dtype=torch.bfloat16)
    torch.testing.assert_close(given, expected, rtol=2e-2, atol=2e-2)
    assert given.dtype == torch.bfloat16


def test_the_model_stays_as_it_was(make_config: MakeConfig) -> None:
    model = model_of(make_config, norm="batchnorm", tie_embeddings=True).train()
    names, state = list(model.state_dict()), {k: v.clone() for k, v in model.state_dict().items()}
    prepared = prepare(model, copies=True)
    with torch.inference_mode():
        prepared.model(ids())
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in prepared.model.modules())
    assert list(model.state_dict()) == names
    assert all(torch.equal(model.state_dict()[name], state[name]) for name in names)
    assert model.head.weight is None and all(block.attention.joint is None for block in model.blocks())
    shared = {p.data_ptr() for p in model.parameters()}
    assert {p.data_ptr() for p in prepared.model.parameters()} == shared


def test_later_changes_of_the_weights_are_seen_only_without_copies(make_config: MakeConfig) -> None:
    model = model_of(make_config)
    copied, sharing = prepare(model, copies=True), prepare(model, copies=False)
    with torch.inference_mode():
        before = copied.model(ids())
        model.decoder.blocks[0].attention.q.weight.mul_(-1)
        assert torch.equal(copied.model(ids()), before)
        assert torch.equal(sharing.model(ids()), model(ids()))


def test_it_says_what_was_copied(make_config: MakeConfig) -> None:
    model = model_of(make_config, num_layers=1, tie_embeddings=True)
    copied = prepare(model, dtype=torch.bfloat16, copies=True)
    parts = ["attention.q", "attention.k", "attention.v", "attention.o", "ffn.up", "ffn.down"]
    parts = [name for name in parts if f"decoder.blocks.0.{name}.weight" in model.state_dict()]
    assert {f"decoder.blocks.0.{name}" for name in parts} <= set(copied.copied)
    assert "head" in copied.copied and not copied.plain
    weights = [model.get_submodule(name).weight for name in copied.copied if name != "head"]
    assert copied.copied_bytes == 2 * sum(weight.numel() for weight in [*weights, model.head_weight])
    plain = prepare(model, copies=False)
    assert plain.copied == () and set(plain.plain) == set(copied.copied) and plain.copied_bytes == 0


def test_weights_that_need_no_copy_have_none(make_config: MakeConfig) -> None:
    model = model_of(make_config).double()
    assert not can_pack(model.embedding.weight, torch.float64)
    prepared = prepare(model, dtype=torch.float64, copies=True)
    joined = [name for name in prepared.copied if name.split(".")[-1] in ("q", "k", "v", "gate", "value")]
    size = sum(8 * model.get_submodule(name).weight.numel() for name in joined)
    assert prepared.copied_bytes == size and not prepared.packed


def test_layers_with_hooks_or_of_another_class_stay_as_they_are(make_config: MakeConfig) -> None:
    class Doubled(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    model = model_of(make_config)
    block = model.decoder.blocks[0]
    own = Doubled(8, 12)
    own.weight = block.attention.q.weight
    seen: list[Tensor] = []
    block.attention.o.register_forward_hook(lambda module, args, out: seen.append(out))
    model.decoder.blocks[1].ffn.down = Doubled(10, 8)
    prepared = prepare(model, copies=True)
    assert {"decoder.blocks.0.attention.o", "decoder.blocks.1.ffn.down"} == set(prepared.plain)
    with torch.inference_mode():
        torch.testing.assert_close(prepared.model(ids()), model(ids()), rtol=1e-4, atol=1e-4)
    assert len(seen) == 2


def test_large_models_are_not_copied_unasked(make_config: MakeConfig) -> None:
    with torch.device("meta"):
        large = Transformer(make_config(vocab_size=COPIED_UNASKED // 64 + 1, d_model=16))
    assert not prepare(large, dtype=torch.float32).copied
    assert prepare(model_of(make_config)).copied


def test_small_models_step_on_one_thread_and_give_the_others_back(make_config: MakeConfig) -> None:
    model = model_of(make_config)
    assert prepare(model).one_thread
    with torch.device("meta"):
        assert not prepare(Transformer(make_config(d_model=2048, d_ff=4096, vocab_size=4096))).one_thread
    before, inside = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        model.decoder.final_norm.register_forward_hook(
            lambda module, args, out: inside.append(torch.get_num_threads())
        )
        generate(model, ids(T), max_new_tokens=3)
        assert inside == [2, 1, 1] and torch.get_num_threads() == 2  # the prompt is not few tokens
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("bias", [True, False])
def test_layers_side_by_side_are_each_what_it_is_alone(dtype: torch.dtype, rows: int, bias: bool) -> None:
    torch.manual_seed(0)
    layers = [Linear(6, width, bias=bias) for width in (3, 4, 3)]
    x = torch.randn(2, rows, 6, dtype=dtype)
    with torch.inference_mode():
        given = Packed(layers, dtype=dtype).split(x)
        for one, layer in zip(given, layers, strict=True):
            close = {"rtol": 2e-2, "atol": 2e-2} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-6}
            torch.testing.assert_close(one, layer(x), **close)
