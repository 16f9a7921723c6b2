"""A model of ours as transformers' LLaMA, by the rules of the family: what whole models are measured beside."""

from __future__ import annotations

from typing import Any

from paribus.families.family import express, families
from paribus.model.config import ModelConfig


def llama(config: ModelConfig, **settings: Any) -> Any:
    """transformers' `LlamaForCausalLM` of the same parts and sizes, its weights drawn; `settings` go to its config."""
    from transformers import LlamaConfig, LlamaForCausalLM

    keys = express(families()["llama"], config)
    del keys["model_type"], keys["architectures"]
    fields: Any = LlamaConfig  # its fields are not declared
    return LlamaForCausalLM(fields(**keys, **settings))
