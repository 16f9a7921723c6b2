"""The networks that tag: ids [B, T] give a score for B, M, E and S at every place, [B, T, 4].

B rows, T places, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paribus.errors import RequestError, nearest
from paribus.model.config import ModelConfig
from paribus.model.initialise import build
from paribus.model.transformer import Transformer
from paribus.text.segmenting.viterbi import TAGS

_KINDS: dict[str, type[nn.LSTM | nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """A recurrent net that reads both ways: `d_model` wide embeddings, `hidden` units each way, in `num_layers` layers.

    Raises `RequestError` for sizes outside [1, 8192], more than 16 layers, another kind and a dropout outside [0, 1).
    """

    vocab_size: int
    kind: str = "lstm"
    d_model: int = 64
    hidden: int = 128
    num_layers: int = 1
    dropout: float = 0.3

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise RequestError(f"there is no recurrent net {self.kind!r}; {nearest(str(self.kind), _KINDS)}")
        for name, most in (("vocab_size", 2**24), ("d_model", 8192), ("hidden", 8192), ("num_layers", 16)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise RequestError(f"{name} is a whole number from 1 to {most:,}; it is {value}")
        if not 0 <= self.dropout < 1:
            raise RequestError(f"dropout is a share, from 0 up to 1; it is {self.dropout}")


class RecurrentTagger(nn.Module):
    """Embedding -> LSTM or GRU both ways -> linear. Source: Chen et al. 2015 (EMNLP), without its gates over n-grams."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            _BothWays(config.kind, config.d_model if layer == 0 else 2 * config.hidden, config.hidden)
            for layer in range(config.num_layers)
        )
        self.out = nn.Linear(2 * config.hidden, len(TAGS))

    def forward(self, ids_BT: Tensor, valid_BT: Tensor) -> Tensor:
        """Scores; `valid_BT` is false for what fills a row up, at its end."""
        x_BTD = self.dropout(self.embedding(ids_BT))
        mirror_BT = _mirror(valid_BT)
        for layer in self.layers:
            x_BTD = self.dropout(layer(x_BTD, mirror_BT))
        scores: Tensor = self.out(x_BTD)
        return scores


class _BothWays(nn.Module):
    """A net that reads each row forwards and one that reads it backwards, side by side.

    Two plain nets, not one bidirectional on packed rows, which took 4.5 times as long on a CPU (16 rows of 45).
    """

    def __init__(self, kind: str, width: int, hidden: int) -> None:
        super().__init__()
        make = _KINDS[kind]
        self.forwards = make(width, hidden, batch_first=True)
        self.backwards = make(width, hidden, batch_first=True)

    def forward(self, x_BTD: Tensor, mirror_BT: Tensor) -> Tensor:
        ahead, _ = self.forwards(x_BTD)
        back, _ = self.backwards(_taken(x_BTD, mirror_BT))
        return torch.cat([ahead, _taken(back, mirror_BT)], dim=-1)


def _mirror(valid_BT: Tensor) -> Tensor:
    """The place that each place swaps with when a row is read backwards; what fills it up stays behind."""
    place_BT = torch.arange(valid_BT.shape[1], device=valid_BT.device).expand_as(valid_BT)
    return torch.where(valid_BT, valid_BT.sum(1, keepdim=True) - 1 - place_BT, place_BT)


def _taken(x_BTD: Tensor, place_BT: Tensor) -> Tensor:
    return x_BTD.gather(1, place_BT.unsqueeze(-1).expand_as(x_BTD))


class EncoderTagger(nn.Module):
    """An encoder of ours and a linear layer on what its head would read. Source: Devlin et al. 2018 (arXiv:1810.04805).

    Raises `RequestError` for a model that is no encoder: it would not see what follows a character.
    """

    def __init__(self, encoder: Transformer) -> None:
        super().__init__()
        if encoder.config.architecture != "encoder":
            raise RequestError(
                f"tagging takes an encoder, which sees both sides; the model is a {encoder.config.architecture}"
            )
        self.encoder = encoder
        self.out = nn.Linear(encoder.config.d_model, len(TAGS))

    def forward(self, ids_BT: Tensor, valid_BT: Tensor) -> Tensor:
        x_BTD, _ = self.encoder.stream(ids_BT, valid_BT=valid_BT)
        scores: Tensor = self.out(x_BTD)
        return scores


Tagger = RecurrentTagger | EncoderTagger


def small_encoder(vocab_size: int, *, max_seq_len: int) -> ModelConfig:
    """An encoder that trains on a few thousand sentences in about a minute."""
    return ModelConfig(
        architecture="encoder",
        vocab_size=vocab_size,
        d_model=96,
        d_ff=256,
        num_layers=2,
        num_heads=4,
        max_seq_len=max_seq_len,
        tie_embeddings=True,
    )


def build_tagger(config: RecurrentConfig | ModelConfig, *, seed: int) -> Tagger:
    """A tagger with fresh weights, which follow from the seed; the global generator is not touched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(config, RecurrentConfig):
            return RecurrentTagger(config)
        return EncoderTagger(build(config, seed=seed))


def tagger_on(encoder: Transformer, *, seed: int) -> EncoderTagger:
    """A tagger that begins with this encoder's weights, which training then changes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return EncoderTagger(encoder.float())
