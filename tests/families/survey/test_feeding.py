"""The activation of a feed-forward layer, whatever else stands in the layer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paribus.families.survey.feeding import Layer, feed_forward, ffn_name
from paribus.families.survey.graph import behind, traced
from paribus.families.survey.kinds import Sublayer


class Parts(nn.Module):
    """Matrices that the layers below are made of."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("gate", "up", "router"):
            setattr(self, name, nn.Linear(8, 16))
        self.down, self.one, self.same = nn.Linear(16, 8), nn.Linear(8, 1), nn.Linear(8, 8)


class Routed(Parts):
    def forward(self, x: Tensor) -> Tensor:
        weight = F.gelu(self.router(x)).softmax(-1)[..., :1]
        return self.down(F.silu(self.gate(x)) * self.up(x)) * weight + torch.sigmoid(self.one(x)) * x


class Capped(Parts):
    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(x)
        return self.down(torch.tanh(gate) * torch.sigmoid(gate) * torch.tanh(self.up(x)))


class GatedAtItsEnd(Parts):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.same(x)) * self.down(F.relu(self.up(x)).square())


class WrittenOut(Parts):
    def forward(self, x: Tensor) -> Tensor:
        hidden = self.up(x)
        return self.down(hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5)))


class Bottleneck(Parts):
    def forward(self, x: Tensor) -> Tensor:
        return self.same(self.down(F.relu(self.up(x))))


def layers(module: nn.Module) -> set[Layer]:
    x = torch.ones(1, 3, 8, requires_grad=True) * 2
    with traced(module) as trace:
        out = module(x)
    nodes = behind(out.grad_fn, {x.grad_fn}) - {x.grad_fn}
    return feed_forward(Sublayer(kind="ffn", nodes=nodes, before=None, behind=None), trace.made())


def test_activations_of_routers_and_gates_of_tokens_are_not_the_layers() -> None:
    assert layers(Routed()) == {("silu", True)}


def test_a_product_of_several_activations_is_none_of_ours() -> None:
    assert layers(Capped()) == {(None, True)}
    assert ffn_name(None, True) is None


def test_a_layer_gated_at_its_end_is_neither_gated_nor_plain() -> None:
    assert layers(GatedAtItsEnd()) == {("relu2", None)}
    assert ffn_name("relu2", None) is None


def test_gelu_written_out_is_found() -> None:
    assert layers(WrittenOut()) == {("gelu", False)}


def test_the_activation_is_found_behind_a_second_matrix() -> None:
    assert layers(Bottleneck()) == {("relu", False)}
