"""`paribus.inspect`: what a checkpoint is made of, from its config and its tensor headers alone."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paribus.errors import RequestError
from paribus.families.files import Folder, open_folder
from paribus.families.inspecting.claims import Claim, Evidence, Inspection, Sure, in_order, unknown
from paribus.families.inspecting.counted import Counted, is_packed, of_config, of_tensors
from paribus.families.inspecting.from_keys import claims_from_keys, with_unknowns
from paribus.families.inspecting.from_tensors import claims_from_tensors
from paribus.families.inspecting.heads import widths_that_differ
from paribus.families.inspecting.kin import claims_of_kin, despite_keys
from paribus.families.inspecting.known import Known, known_of, tensors_of
from paribus.families.inspecting.layered_keys import claims_by_layer, only_where_it_attends
from paribus.families.inspecting.merging import filled_up, merged
from paribus.families.inspecting.names import Groups, grouped
from paribus.families.inspecting.sizes import claims_of_sizes, context_of
from paribus.families.inspecting.tokenizer import claims_of_tokenizer
from paribus.families.keys import Keys
from paribus.families.loading import WITHOUT_MEANING

#: Where the language model of one that also sees or hears has its config.
_NESTED = ("text_config", "llm_config", "language_config")
#: What stands beside such an inner config and holds for it too.
_SHARED = ("tie_word_embeddings", "dtype", "torch_dtype", "quantization_config", "architectures")


def inspect(path: str | os.PathLike[str], *, context: int | None = None) -> Inspection:
    """What the checkpoint at `path` is made of: every part, every size, each claim with its evidence.

    `path` is a folder with `config.json` and perhaps safetensors, a bare `config.json`, or a folder in our own format.
    No weight is read and no code is run. Costs are told for a `context` of so many tokens (default: 4,096, or as many
    as the model reads). A model type that `paribus.load` does not know is described from its keys and tensors.
    Raises `RequestError` if there is no checkpoint, or its sizes cannot be.

    >>> paribus.inspect("models/pythia-70m").value("ffn", "activation")
    """
    if context is not None and context < 1:
        raise RequestError(f"context is a number of tokens, at least 1; it is {context}")
    folder = open_folder(path)
    warnings = list(folder.warnings)
    config, nested = _language_model(folder.config)
    known = known_of(config, warnings)
    groups = grouped(folder.tensors) if folder.has_weights else None
    if known is not None:
        said, unread = known.claims(), known.unread
        if known.family is not None and known.family.repeats:
            # An absent head may stand for a copy of the embedding there: the tensors say which.
            said = [claim for claim in said if claim.key != ("head", "tied")] if folder.has_weights else said
    else:
        said, unread = _by_keys(config, warnings)
    # Names of our own format are not those of other libraries, and all of its tensors are known from its config.
    own = known is not None and known.family is None
    proven = [] if groups is None or own else claims_from_tensors(groups)
    claims = merged(said, proven, warnings)
    if known is None:
        claims = with_unknowns(filled_up(claims, claims_of_kin(_word(config.get("model_type")), claims)))
        claims = only_where_it_attends(claims)
        warnings += [] if groups is None else widths_that_differ(claims, groups)
    claims = [*_type(config, nested), *claims, *claims_of_tokenizer(_beside(folder), warnings)]
    inspection = Inspection(
        path=str(folder.path),
        model_type=_word(config.get("model_type")),
        family=known.model_type if known is not None and not nested else None,
        claims=in_order(claims),
        warnings=(),
        unread=tuple(sorted(set(unread) - WITHOUT_MEANING)),
        context=0,
    )
    context = context or context_of(inspection)
    counted, sure = _counted(inspection, known, groups, folder, nested, warnings)
    sizes = claims_of_sizes(
        inspection,
        counted,
        sure=sure,
        context=context,
        held=sum(info.num_bytes for info in folder.tensors.values()) if folder.has_weights else None,
        dtype=_word(config.get("dtype", config.get("torch_dtype"))),
    )
    _compare_vocabulary(inspection, warnings)
    return dataclasses.replace(
        inspection, claims=in_order([*claims, *sizes]), warnings=tuple(warnings), context=context
    )


def _language_model(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], str | None]:
    """The config of the language model, and under which key it stood if it stood under one."""
    for name in _NESTED:
        if isinstance(inner := config.get(name), Mapping):
            beside = {key: config[key] for key in _SHARED if key in config}
            return {**beside, **inner}, name
    return config, None


def _by_keys(config: Mapping[str, Any], warnings: list[str]) -> tuple[list[Claim], tuple[str, ...]]:
    """What common names of keys say, and the keys that have none of them."""
    keys = Keys(config)
    claims = claims_from_keys(keys, warnings)
    layers = next((claim.value for claim in claims if claim.key == ("model", "layers")), None)
    claims = filled_up(claims, claims_by_layer(keys, layers=layers))
    claims = filled_up(despite_keys(_word(config.get("model_type"))), claims)
    return claims, tuple(config.keys() - {name.split(".")[0] for name in keys.read})


def _type(config: Mapping[str, Any], nested: str | None) -> list[Claim]:
    name = _word(config.get("model_type"))
    said = (Evidence(source="config", what=f"{nested}.model_type" if nested else "model_type", value=name),)
    found = [
        Claim(section="model", name="type", value=name, sure="config", evidence=said)
        if name
        else unknown("model", "type")
    ]
    if nested:
        where = (Evidence(source="worked out", what=f"{nested} is a config of its own"),)
        found.append(Claim(section="model", name="read_from", value=nested, sure="config", evidence=where))
    if isinstance(method := config.get("quantization_config"), Mapping):
        word = _word(method.get("quant_method")) or "some method"
        said = (Evidence(source="config", what="quantization_config.quant_method", value=word),)
        found.append(Claim(section="model", name="quantised_by", value=word, sure="config", evidence=said))
    return found


def _counted(
    inspection: Inspection,
    known: Known | None,
    groups: Groups | None,
    folder: Folder,
    nested: str | None,
    warnings: list[str],
) -> tuple[Counted | None, Sure]:
    """Parameters: of the tensors where there are any, else of the model that the config describes."""
    by_config = None if known is None else of_config(known.config)
    if groups is None or is_packed(groups):
        return by_config, "config"
    claims = {claim.key: claim for claim in inspection.claims}
    if known is None or nested or by_config is None:
        by_tensors = of_tensors(groups, claims)
        if by_config is not None and by_config.total != by_tensors.total:
            warnings.append(_other_count(by_config.total, by_tensors.total))
        return by_tensors, "tensors"
    names = tensors_of(known, folder, warnings)
    if names is None:
        return of_tensors(groups, claims), "tensors"
    total = sum(folder.tensors[name].num_elements for name in names)
    return dataclasses.replace(by_config, total=total, active=total), "tensors"


def _other_count(by_config: int, by_tensors: int) -> str:
    return f"the config describes {by_config:,} parameters, and the tensors hold {by_tensors:,}"


def _beside(folder: Folder) -> Path | None:
    """Where the tokenizer's files would lie; a config under another name stands for itself alone."""
    if folder.path.suffix == ".safetensors" or folder.path.name == "config.json":
        return folder.path.parent
    return None if folder.path.suffix == ".json" else folder.path


def _compare_vocabulary(inspection: Inspection, warnings: list[str]) -> None:
    words, rows = inspection.value("tokenizer", "vocabulary"), inspection.value("head", "vocab_size")
    if type(words) is int and type(rows) is int and words > rows:
        warnings.append(f"the tokenizer has {words:,} tokens, and the embedding rows for {rows:,}")


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None
