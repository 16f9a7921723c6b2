"""A model of ours as transformers' LLaMA, by the rules of the family: what whole models are measured beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paribus.families.family import express, families
from paribus.model.config import ModelConfig


def config_of(options: Mapping[str, Any], *, max_seq_len: int, tied: bool) -> ModelConfig:
    """Our default parts at the sizes of a shape."""
    sizes = {name: options[name] for name in ("vocab_size", "d_model", "d_ff", "num_layers", "num_heads")}
    return ModelConfig(**sizes, max_seq_len=max_seq_len, tie_embeddings=tied)


def llama(config: ModelConfig, **settings: Any) -> Any:
    """transformers' `LlamaForCausalLM` of the same parts and sizes, its weights drawn; `settings` go to its config."""
    from transformers import LlamaConfig, LlamaForCausalLM

    keys = express(families()["llama"], config)
    del keys["model_type"], keys["architectures"]
    fields: Any = LlamaConfig  # its fields are not declared
    return LlamaForCausalLM(fields(**keys, **settings))
