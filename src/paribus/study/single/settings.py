"""What a user may say about one training run: any field of a model or of its training, by its bare name or in a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from paribus.errors import RequestError, nearest
from paribus.model.config import ModelConfig
from paribus.study.likeness import Likeness, likened
from paribus.study.settings import DECIDED, ModelSection, PositiveRate, lay, sentence, train_of
from paribus.text.data.sft import PackedDataset, is_packed, load_packed
from paribus.text.tokenizers import get_tokenizer, holds_tokenizer
from paribus.train.config import TrainConfig

#: Some minutes on two free cores.
_MODEL = {"d_model": 128, "num_layers": 4, "num_heads": 4}
_TRAIN = {"tokens": 2_000_000, "batch_size": 16, "seq_len": 128}
#: Over packed conversations.
_PASSES = 3
_OF_MODEL = tuple(field.name for field in dataclasses.fields(ModelConfig))
_OF_TRAIN = tuple(field.name for field in dataclasses.fields(TrainConfig))
_OF_LIKENESS = ("like", "scale")


class RunSettings(pydantic.BaseModel):
    """The request for one run.

    `tokenizer` is a name or the path of one (default: bytes, or the checkpoint's own with `finetune`). `rate` is the peak learning rate (default: 0.4 / d_model, a tenth of that from a checkpoint's weights), `scores`
    how many times held-out text is scored, the end included. `finetune` is the checkpoint that the run begins from,
    whose model it is then; `like` says whose anatomy the model has.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    data: str = "stdlib"
    text_field: str = "text"
    tokenizer: str = "bytes"
    rate: PositiveRate | None = None
    seed: int = pydantic.Field(default=0, ge=0, le=2**62)
    scores: int = pydantic.Field(default=10, ge=1, le=10_000)
    finetune: str | None = None
    like: Likeness | None = None
    model: ModelSection | None = None  # type: ignore[valid-type]
    train: TrainConfig

    def model_section(self) -> dict[str, Any]:
        """The settings of the model as plain data."""
        section: pydantic.BaseModel | None = self.model
        return section.model_dump() if section is not None else {}


#: Keys that stand outside the sections.
_OUTSIDE = tuple(name for name in RunSettings.model_fields if name not in ("model", "train", "like"))


def resolve(
    options: Mapping[str, Any], overrides: Sequence[str] = (), *, file: Mapping[str, Any] | None = None
) -> RunSettings:
    """Settings of a run: what a file says, over it the options that are not None, over these the `key=value` ones.

    A key is a field by its bare name (`ffn=swiglu`, `tokens=2e6`) or with its section (`model.ffn=swiglu`). Raises
    `RequestError`, one sentence, for an unknown key and a value of the wrong kind.
    """
    tree: dict[str, Any] = {"model": {}, "train": {}}
    for key, value in (file or {}).items():
        if key in ("model", "train") and isinstance(value, Mapping):
            tree[key] |= value
        else:
            _put(tree, key, value)
    for key, value in options.items():
        if value is not None:
            _put(tree, key, value)
    for override in overrides:
        word, equals, text = override.partition("=")
        lay(tree, f"{'.'.join(_place(word))}{equals}{text}")
    return _checked(tree)


def _tokenizer_of(checkpoint: object) -> str:
    """The tokenizer in a checkpoint's folder; bytes where there is none."""
    folder = Path(str(checkpoint)).expanduser()
    return str(folder) if holds_tokenizer(folder) else "bytes"


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = _place(key)
    (tree[sections[0]] if sections else tree)[name] = value


def _place(key: str) -> list[str]:
    """The section of a key, if any, and its name there. Raises `RequestError` for a key that no setting has."""
    first, dot, rest = key.partition(".")
    if first in ("model", "train") and dot:
        return [first, rest]
    if first in (*_OF_MODEL, *_OF_LIKENESS):
        return ["model", key]
    if first in _OF_TRAIN:
        return ["train", key]
    if first in _OUTSIDE:
        return [key]
    allowed = (*_OUTSIDE, *_OF_LIKENESS, *_OF_TRAIN, *(name for name in _OF_MODEL if name not in DECIDED))
    raise RequestError(f"there is no setting {key}; {nearest(key, allowed)}")


def _fit(tree: dict[str, Any], packed: PackedDataset) -> None:
    """Take what packed conversations decide from them: tokenizer and length, and so many passes unless told otherwise."""
    train = tree["train"]
    if train.setdefault("seq_len", packed.seq_len) != packed.seq_len:
        raise RequestError(
            f"train.seq_len is {train['seq_len']}, and {packed.name} was packed into rows of {packed.seq_len:,} tokens: "
            "leave it out, or pack again"
        )
    given = tree.get("tokenizer") or (tree.get("finetune") and _tokenizer_of(tree["finetune"]))
    if given and (name := get_tokenizer(given).name) != packed.tokenizer:
        raise RequestError(
            f"{packed.name} was packed with the tokenizer {packed.tokenizer!r}, and that of the model is {name!r}: pack "
            f"again with --tokenizer {given}"
        )
    tree["tokenizer"] = packed.tokenizer_place
    step = train.get("batch_size", _TRAIN["batch_size"]) * packed.seq_len
    if isinstance(step, int):
        train.setdefault("tokens", max(_PASSES * packed.train.num_rows * packed.seq_len, 2 * step))


def _checked(tree: dict[str, Any]) -> RunSettings:
    model = tree["model"]
    if decided := next((name for name in DECIDED if name in model), None):
        by = (
            "the tokenizer and the objective decide it"
            if decided == "vocab_size"
            else "train.seq_len decides it"
        )
        raise RequestError(f"model.{decided} cannot be set: {by}")
    if is_packed(tree.get("data", "")):
        _fit(tree, load_packed(tree["data"]))
    tree["train"] = {**_TRAIN, **tree["train"]}
    if tree.get("finetune") is not None:
        tree.setdefault("tokenizer", _tokenizer_of(tree["finetune"]))
        if model:
            raise RequestError(
                f"model.{next(iter(model))} cannot be set: with finetune the model is that of the checkpoint"
            )
        if tree["train"].get("match_output_rms"):
            raise RequestError(
                "train.match_output_rms is about how weights are drawn, and finetune draws none"
            )
        del tree["model"]
    elif "like" in model:
        section, like = likened(model, train_of(tree["train"]), tokenizer=tree.get("tokenizer", "bytes"))
        tree |= {"like": like, "model": {key: value for key, value in section.items() if key not in DECIDED}}
    elif "scale" in model:
        raise RequestError(
            "scale is for like, the model whose proportions are kept; without it give sizes, as d_model=256 num_layers=6"
        )
    else:
        tree["model"] = {**_MODEL, **model}
    try:
        return RunSettings.model_validate(tree)
    except pydantic.ValidationError as error:
        raise RequestError(sentence(error, settings=_OUTSIDE)) from None
