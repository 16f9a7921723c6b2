"""Proof that a checkpoint is read rightly: its logits here beside those of `transformers`, in float32.

The one place that imports `transformers`, and only when it is asked for.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from paribus.errors import RequestError, WorkError
from paribus.families import native
from paribus.families.family import Family, families
from paribus.families.files import open_folder
from paribus.families.loading import load
from paribus.model.transformer import Transformer

#: Largest difference that passes, as a share of the largest logit.
BOUND = 1e-4
_TOKENS = 32
_PADDED = 5
_BEYOND = 8
_MOST_TOKENS = 2048  # a longer text is not tried: its attention alone would take gigabytes


@dataclass(frozen=True, kw_only=True)
class LogitCheck:
    """One comparison: the largest difference as a share of the largest logit, or why there was none."""

    what: str
    error: float | None
    passed: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class _Case:
    """Ids [B, T] of which `valid` are not padding; an encoder-decoder reads them as its source and as its text."""

    what: str
    ids_BT: Tensor
    valid_BT: Tensor


def verify_logits(path: str | os.PathLike[str]) -> tuple[LogitCheck, ...]:
    """Logits of the checkpoint in a folder, here and by `transformers`, on random ids, on padded ones, and past the
    length that the model was trained at if it can run there.

    A check passes if max |ours - theirs| / max |theirs| is at most 1e-4. Code that came with the checkpoint is never
    run. Raises `RequestError` for families that are not loaded, and without `transformers`; `WorkError` if that
    cannot load the checkpoint.
    """
    folder = open_folder(path)
    family = _family(folder.config)
    if not folder.has_weights or not folder.path.is_dir():
        raise RequestError(f"logits are of a folder with config.json and weights; {folder.path} is not one")
    transformers = _transformers()
    model = load(path, dtype=torch.float32)
    cases = list(_cases(model, folder.config))
    ours = {case.what: _ours(model, case) for case in cases}
    source, length = model.config.architecture == "encoder_decoder", model.config.max_seq_len
    del model  # two of them need not fit the memory
    theirs = _their_model(transformers, family, str(folder.path))
    found = []
    for case in cases:
        if isinstance(logits := ours[case.what], str):
            found.append(_not_run(case.what, logits))
        else:
            found.append(_check(case, logits, _theirs(theirs, case, source=source)))
    if len(cases) == 2:
        found.append(_not_run("past the trained length", f"{length:,} tokens are more than is tried here"))
    return tuple(found)


def _not_run(what: str, why: str) -> LogitCheck:
    return LogitCheck(what=what, error=None, passed=True, reason=f"not run: {why}")


def _family(config: Mapping[str, Any]) -> Family:
    if native.is_native(config):
        raise RequestError("the checkpoint is in our own format, which transformers does not read")
    family = families().get(str(config.get("model_type")))
    if family is None:
        raise RequestError(
            f"models of the type {config.get('model_type')!r} can be inspected and not verified: they cannot be loaded "
            f"here yet; those that can are {', '.join(sorted(families()))}"
        )
    return family


def _transformers() -> ModuleType:
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise RequestError("--verify compares with transformers: pip install transformers") from None


def _their_model(transformers: ModuleType, family: Family, path: str) -> Any:
    """The model of `transformers`, by the class of the family: what the checkpoint names is not imported."""
    log = transformers.logging
    before, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        model, loaded = getattr(transformers, family.transformers_class).from_pretrained(
            path,
            dtype=torch.float32,
            # No attn_implementation: the eager one of transformers 5 adds Falcon's ALiBi twice.
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # whatever it raises, it is not ours
        raise WorkError(f"transformers cannot load the checkpoint: {_first_line(error)}") from error
    finally:
        log.set_verbosity(before)
        if bars:
            log.enable_progress_bar()
    if missing := sorted(loaded["missing_keys"]):
        raise WorkError(
            f"transformers finds no {missing[0]} in the checkpoint and would draw it at random, so there is nothing to "
            "compare with"
        )
    return model.eval()


def _cases(model: Transformer, config: Mapping[str, Any]) -> Iterator[_Case]:
    length = model.config.max_seq_len
    short = min(_TOKENS, length)
    ids = _ids(model, config, short)
    whole = torch.ones_like(ids, dtype=torch.bool)
    yield _Case(what=f"{short} random tokens", ids_BT=ids, valid_BT=whole)
    padding = min(_PADDED, short - 1)
    valid = whole.clone()
    valid[1, short - padding :] = False
    pad = config.get("pad_token_id")
    padded = ids.masked_fill(~valid, pad if type(pad) is int and 0 <= pad < model.config.vocab_size else 0)
    yield _Case(what=f"the second padded by {padding}", ids_BT=padded, valid_BT=valid)
    if length <= _MOST_TOKENS:
        long = _ids(model, config, length + _BEYOND)
        whole = torch.ones_like(long, dtype=torch.bool)
        yield _Case(what=f"{length + _BEYOND} tokens, past the trained length", ids_BT=long, valid_BT=whole)


def _ids(model: Transformer, config: Mapping[str, Any], length: int) -> Tensor:
    """Two rows of random ids, none of them that of padding: some models tell padding by its id."""
    generator = torch.Generator().manual_seed(0)
    pad, size = config.get("pad_token_id"), model.config.vocab_size
    ids = torch.randint(0, size, (2, length), generator=generator)
    return torch.where(ids == pad, (ids + 1) % size, ids) if type(pad) is int else ids


@torch.no_grad()
def _ours(model: Transformer, case: _Case) -> Tensor | str:
    """Our logits, or why the model cannot run on so much."""
    source = model.config.architecture == "encoder_decoder"
    try:
        return model(
            case.ids_BT,
            valid_BT=None if source else case.valid_BT,
            source_BS=case.ids_BT if source else None,
            source_valid_BS=case.valid_BT if source else None,
        )
    except RequestError as error:
        return str(error)


@torch.no_grad()
def _theirs(model: Any, case: _Case, *, source: bool) -> Tensor | str:
    """Their logits, or why the model cannot run on so much: some have tables that end with the trained length."""
    more = {"decoder_input_ids": case.ids_BT} if source else {}
    try:
        logits: Tensor = model(input_ids=case.ids_BT, attention_mask=case.valid_BT.long(), **more).logits
    except (RuntimeError, IndexError, ValueError) as error:
        return f"transformers cannot: {_first_line(error)}"
    return logits


def _check(case: _Case, ours: Tensor, theirs: Tensor | str) -> LogitCheck:
    """The difference where there are tokens: what a model says of padding means nothing."""
    if isinstance(theirs, str):
        return _not_run(case.what, theirs)
    ours, theirs = ours[case.valid_BT], theirs[case.valid_BT]
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    return LogitCheck(what=case.what, error=error, passed=error <= BOUND)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
