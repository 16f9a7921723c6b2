"""Small models that write, and what they are compared with."""

from typing import Any

import torch
from torch import Tensor

from paribus.model.transformer import Transformer

from ..parts.comparison import draw
from .conftest import MakeConfig

V = 13
#: Encodings of every kind.
POSITIONS = ["rope", "learned", "alibi", "t5", "shaw", "sinusoidal", "xpos", "none"]
PROBABILITIES = [0.4, 0.05, 0.3, 0.01, 0.2, 0.04]  # by order: tokens 0, 2, 4, 1, 5, 3


def ids(length: int = 3, *, batch: int = 2, seed: int = 5) -> Tensor:
    return torch.randint(V, (batch, length), generator=torch.Generator().manual_seed(seed))


def model_of(make_config: MakeConfig, **changes: Any) -> Transformer:
    """Drawn at unit gain, so that the likeliest tokens differ from place to place."""
    model = Transformer(make_config(**{"max_seq_len": 32, **changes}))
    draw(model, seed=2)
    return model


class Fixed(Transformer):
    """A model whose next token has the given probabilities, whatever the text."""

    def __init__(self, config: Any, probabilities: list[float]) -> None:
        super().__init__(config)
        self.log_probability = torch.tensor(probabilities).log()

    def logits(self, x_BTD: Tensor) -> Tensor:
        return self.log_probability.expand(*x_BTD.shape[:-1], -1)


def argmax_loop(
    model: Transformer, tokens: Tensor, steps: int, *, window: int | None = None, **given: Any
) -> Tensor:
    """The likeliest token, each time from the whole text, or from the window at its end."""
    with torch.inference_mode():
        for _ in range(steps):
            seen = tokens if window is None else tokens[:, -window:]
            tokens = torch.cat((tokens, model(seen, **given)[:, -1:].argmax(-1)), dim=1)
    return tokens
