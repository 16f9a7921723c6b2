"""`paribus.load`: the folder of a checkpoint as our `Transformer` with its weights."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from paribus.errors import RequestError, shown
from paribus.families import native
from paribus.families.family import Family, family_of, interpret
from paribus.families.files import Folder, open_folder
from paribus.families.files.finite import not_finite
from paribus.families.tensors import moves, shapes_of
from paribus.families.weights import Filled, fill
from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer

#: Keys that say how a model was trained or is to be used, not what it computes.
WITHOUT_MEANING = frozenset(
    {
        "_name_or_path",
        "architectures",
        "attention_dropout",
        "attention_probs_dropout_prob",
        "attention_softmax_in_fp32",
        "attn_pdrop",
        "auto_map",
        "bias_dropout_fusion",
        "bos_token_id",
        "chunk_size_feed_forward",
        "classifier_dropout",
        "cls_token_id",
        "decoder_start_token_id",
        "directionality",
        "dropout",
        "dropout_rate",
        "dtype",
        "emb_pdrop",
        "embd_pdrop",
        "eos_token_id",
        "finetuning_task",
        "gradient_checkpointing",
        "hidden_dropout",
        "hidden_dropout_prob",
        "id2label",
        "init_device",
        "init_std",
        "initializer_factor",
        "initializer_range",
        "is_encoder_decoder",
        "label2id",
        "layerdrop",
        "learned_pos_emb",
        "masked_softmax_fusion",
        "model_type",
        "n_ctx",
        "n_special",
        "norm_type",
        "offset_alibi",
        "output_attentions",
        "output_hidden_states",
        "output_past",
        "pad_token_id",
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
        "predict_special_tokens",
        "prefix",
        "pretraining_tp",
        "problem_type",
        "quantization_config_hint",
        "reorder_and_upcast_attn",
        "resid_pdrop",
        "return_dict",
        "scale_dropout",
        "sep_token_id",
        "skip_bias_add",
        "skip_bias_add_qkv",
        "slow_but_exact",
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
        "task_specific_params",
        "tokenizer_class",
        "torch_dtype",
        "transformers_version",
        "unk_token_id",
        "use_cache",
        "use_mems_eval",
        "verbose",
    }
)


_NAMED_AT_MOST = 20


class CheckpointWarning(UserWarning):
    """Something about a checkpoint that its reader should know."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a model's weights came from: what is needed to write them back as they were."""

    path: Path
    family: Family | None
    config: Mapping[str, Any]
    aside: tuple[str, ...] = ()


def load(
    path: str | os.PathLike[str], *, dtype: torch.dtype | None = None, own_parts: bool = False
) -> Transformer:
    """Our `Transformer` with the weights of the checkpoint at `path`, in their own dtype or in `dtype`.

    `path` is a folder with `config.json` and safetensors of a known family, or in our own format. Weights are mapped
    from the files and copied only where their layout changes, so the files must stay while the model lives. The
    model's `origin` says where it came from. Code that came with a checkpoint is never run; parts from a user's own
    file only with `own_parts`. Warns (`CheckpointWarning`) of weights that are not finite, tensors left out, and
    keys that were not understood. Raises `RequestError`, and no partial model is left.

    >>> model = paribus.load("models/pythia-70m", dtype=torch.bfloat16)
    """
    folder = open_folder(path)
    if not folder.has_weights:
        raise RequestError(f"{folder.path} has a config and no weights, so there is nothing to load")
    told = list(folder.warnings)
    if native.is_native(folder.config):
        config = native.model_config(folder.config, own_parts=own_parts)
        model = native.fill_native(config, folder, dtype=dtype)
        origin = Origin(path=folder.path, family=None, config=folder.config)
    else:
        refuse_quantised(folder.config)
        family = family_of(folder.config)
        reading = interpret(family, folder.config)
        config, differing = _copies(family, folder, reading.config)
        filled = fill(family, config, folder, dtype=dtype)
        model = filled.model
        told += _unread(reading.unread) + _aside(filled) + differing
        origin = Origin(path=folder.path, family=family, config=folder.config, aside=filled.aside)
    if broken := not_finite(model.named_parameters()):
        more = f" and {len(broken) - 1:,} more" if len(broken) > 1 else ""
        told.append(f"NaN or infinity stands in {broken[0]}{more}")
    for sentence in told:
        warnings.warn(sentence, CheckpointWarning, stacklevel=2)
    model.origin = origin
    return model.eval()


def refuse_quantised(config: Mapping[str, Any]) -> None:
    """Raise `RequestError` for weights that are packed in a way of their own."""
    if isinstance(given := config.get("quantization_config"), Mapping):
        method = given.get("quant_method", "some method")
        raise RequestError(
            f"its weights are quantised by {shown(method, at_most=60)}, which is not read here; take the unquantised checkpoint"
        )


def _unread(keys: tuple[str, ...]) -> list[str]:
    strange = [key for key in keys if key not in WITHOUT_MEANING]
    if not strange:
        return []
    named = ", ".join(shown(key, at_most=60) for key in strange[:_NAMED_AT_MOST])
    more = f" and {len(strange) - _NAMED_AT_MOST:,} more" if len(strange) > _NAMED_AT_MOST else ""
    return [f"these keys of config.json are not known here and were not used: {named}{more}"]


def _aside(filled: Filled) -> list[str]:
    if not filled.aside:
        return []
    return [f"left out, as they belong to heads for other tasks: {', '.join(filled.aside)}"]


def _copies(family: Family, folder: Folder, config: ModelConfig) -> tuple[ModelConfig, list[str]]:
    """The config, untied if the head has a matrix of its own after all, and what to say of copies that are none."""
    if not config.tie_embeddings:
        return config, []
    untied = dataclasses.replace(config, tie_embeddings=False)
    of_head = {name for move in moves(family, untied, shapes_of(untied)) for name in move.theirs}
    there = folder.tensors
    pairs = [
        (copy, original) for copy, original in family.copies.items() if copy in there and original in there
    ]
    told = []
    for copy, original in pairs:
        if not torch.equal(folder.tensor(copy), folder.tensor(original)):
            says = f"{copy} differs from {original}, which config.json says is the same matrix"
            told.append(f"{says}; {'each' if copy in of_head else original} was taken")
            config = untied if copy in of_head else config
        folder.release(copy)
        folder.release(original)
    return config, told
