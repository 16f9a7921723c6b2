"""Our weights in transformers' models: names are mapped, fused matrices put together, and nothing may be left over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers as tf
from torch import Tensor, nn

from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer

from ..parts.comparison import draw

V, D, F, L, H, G, K, T, LONGEST = 13, 16, 20, 2, 4, 2, 4, 7, 9
SIZES: dict[str, Any] = {
    "vocab_size": V,
    "d_model": D,
    "d_ff": F,
    "num_layers": L,
    "num_heads": H,
    "max_seq_len": LONGEST,
}
#: The same in the words of most of transformers' configs.
THEIRS: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": D,
    "intermediate_size": F,
    "num_hidden_layers": L,
    "num_attention_heads": H,
    "num_key_value_heads": G,
    "head_dim": K,
    "max_position_embeddings": LONGEST,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "attn_implementation": "eager",
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}
State = dict[str, Tensor]


def qkv_by_group(state: State, theirs: str) -> None:
    """q, k and v of each layer in one matrix: for each head of k its queries, itself and its values.

    GPT-NeoX, BLOOM and Falcon have them so: [H, 3, K] rows where each query has a key of its own.
    """

    def join(qkv: list[Tensor]) -> Tensor:
        groups = len(qkv[1]) // K
        return torch.cat([x.unflatten(0, (groups, -1, K)) for x in qkv], 1).flatten(0, 2)

    _fuse(state, theirs, join)


def qkv_in_thirds(state: State, theirs: str) -> None:
    """q, k and v of each layer in one matrix, one after the other."""
    _fuse(state, theirs, torch.cat)


def _fuse(state: State, theirs: str, join: Callable[[list[Tensor]], Tensor]) -> None:
    for name in [name for name in state if ".attention.q." in name]:
        parts = [state.pop(name.replace(".attention.q.", f".attention.{each}.")) for each in "qkv"]
        state[name.replace(".attention.q.", f".attention.{theirs}.")] = join(parts)


def norms_by_head(state: State, theirs: str) -> None:
    """Gains of heads one by one, as StableLM has them."""
    for name in [name for name in state if "_norm.weight" in name and ".attention." in name]:
        for head, gain in enumerate(state.pop(name).split(K)):
            state[name.replace("_norm.", f"_norm.norms.{head}.")] = gain


def norms_in_rows(state: State, theirs: str) -> None:
    """Gains of heads as rows of a matrix, as Cohere has them."""
    for name in [name for name in state if "_norm.weight" in name and ".attention." in name]:
        state[name] = state[name].unflatten(0, (-1, K))


def sublayers_by_number(state: State, theirs: str) -> None:
    """T5 numbers the sublayers of a block, and each has its norm."""
    kinds = {"attention": "SelfAttention", "cross_attention": "EncDecAttention", "ffn": "DenseReluDense"}
    for name in [name for name in state if ".blocks." in name]:
        stack, _, layer, *rest = name.split(".")
        order = [kind for kind in kinds if stack == "decoder" or kind != "cross_attention"]
        if rest[:2] == ["residual", "norms"]:
            sublayer, rest = rest[2], ["layer_norm", *rest[3:]]
        else:
            sublayer, rest = rest[0], [kinds[rest[0]], *rest[1:]]
        number = str(order.index(sublayer))
        state[".".join((stack, "block", layer, "layer", number, *rest))] = state.pop(name)


def transposed(state: State, theirs: str) -> None:
    """Matrices of the blocks as [in, out], as GPT-2 keeps them."""
    for name in [name for name, tensor in state.items() if ".blocks." in name and tensor.ndim == 2]:
        state[name] = state[name].T


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A model of ours and the same of transformers.

    `names` are replaced in order in our parameters' names, after `steps` have changed the tensors. `zeroed`
    are parameters of theirs that we have not; `untied` says that their head is a parameter too.
    """

    ours: Mapping[str, Any]
    theirs: Callable[[], nn.Module]
    names: Mapping[str, str]
    steps: tuple[tuple[Callable[[State, str], None], str], ...] = ()
    zeroed: tuple[str, ...] = ()
    sizes: Mapping[str, Any] = field(default_factory=dict)

    def build(self, *, seed: int = 0) -> tuple[Transformer, nn.Module]:
        """Both in float64 with the same drawn weights; theirs in its scoring mode."""
        ours = Transformer(ModelConfig(**{**SIZES, **self.sizes, **self.ours})).double()
        draw(ours, seed=seed)
        theirs = self.theirs().double().eval()
        state: State = {name: tensor.detach() for name, tensor in ours.named_parameters()}
        for step, name in self.steps:
            step(state, name)
        left = {name: p for name, p in theirs.named_parameters() if p.requires_grad}
        with torch.no_grad():
            for name, tensor in state.items():
                left.pop(self.renamed(name)).copy_(tensor)
            for name in self.zeroed:
                left.pop(name).zero_()
        assert not left, f"transformers' model has more: {list(left)}"
        return ours, theirs

    def renamed(self, name: str) -> str:
        for ours, theirs in self.names.items():
            name = name.replace(ours, theirs)
        return name


def tokens(length: int = T, *, seed: int = 5) -> Tensor:
    """Ids [2, T] without 0, which some models take for padding."""
    return torch.randint(1, V, (2, length), generator=torch.Generator().manual_seed(seed))


def theirs(name: str, **changes: Any) -> Any:
    """A maker of transformers' `<name>ForCausalLM`; None takes a size away."""
    given = {key: value for key, value in {**THEIRS, **changes}.items() if value is not None}
    kind = {"Gemma3": "Gemma3Text"}.get(name, name)
    return lambda: getattr(tf, f"{name}ForCausalLM")(getattr(tf, f"{kind}Config")(**given))


def assert_same_logits(peer: Peer) -> None:
    """Rotations, and a few of their norms and softmaxes, are computed in float32; all else in float64."""
    ours, theirs = peer.build()
    expected = theirs(tokens()).logits
    assert expected.std() > 0.1
    actual = ours(tokens(), dtype=torch.float64)
    torch.testing.assert_close(actual, expected, rtol=2e-5, atol=2e-5 * expected.abs().max().item())


def assert_same_gradients(peer: Peer) -> None:
    """Of every parameter, for the sum of the squared logits."""
    ours, theirs = peer.build()
    ours(tokens(), dtype=torch.float64).square().sum().backward()
    theirs(tokens()).logits.square().sum().backward()
    gradients = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    for step, name in peer.steps:
        step(gradients, name)
    assert gradients
    for name, actual in gradients.items():
        expected = theirs.get_parameter(peer.renamed(name)).grad
        assert expected is not None
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())
