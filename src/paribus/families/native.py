"""Our own format: the `ModelConfig` itself in `config.json`, and the weights by our names.

Any model of ours can be kept so, whatever its parts; what no family of other libraries can express only so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from paribus.errors import RequestError, shown
from paribus.families.family import refuse_too_deep
from paribus.families.files.writing import Outgoing
from paribus.families.weights import Source, converted, place
from paribus.model.config import ModelConfig
from paribus.model.count import on_meta
from paribus.model.initialise import allocate
from paribus.model.transformer import Transformer

MODEL_TYPE = "paribus"
_FORMAT = 1


def is_native(config: Mapping[str, Any]) -> bool:
    return config.get("model_type") == MODEL_TYPE


def config_file(config: ModelConfig) -> dict[str, Any]:
    """What stands in `config.json`."""
    return {"model_type": MODEL_TYPE, "format": _FORMAT, "model": config.to_dict()}


def model_config(config: Mapping[str, Any], *, own_parts: bool = False) -> ModelConfig:
    """The model that a `config.json` of ours describes.

    Parts from a user's own file are code: they are imported only with `own_parts`, and never from a checkpoint's
    folder unasked. Raises `RequestError` for such a part, another format, and what no `ModelConfig` has.
    """
    if config.get("format") != _FORMAT or not isinstance(config.get("model"), dict):
        raise RequestError(
            f"config.json is of the format {shown(repr(config.get('format')), at_most=60)} of paribus; "
            f"this version reads format {_FORMAT}"
        )
    if not own_parts and (address := _from_file(config["model"])):
        raise RequestError(
            f"the model has a part from a file, {shown(address, at_most=200)}, and loading it would run that file; if you trust it, "
            "load with own_parts=True (--own-parts)"
        )
    for name in ("num_layers", "encoder_layers"):
        refuse_too_deep(config["model"].get(name))
    try:
        return ModelConfig(**config["model"])
    except TypeError as error:
        raise RequestError(f"config.json describes no model of this version: {error}") from None


def fill_native(config: ModelConfig, source: Source, *, dtype: torch.dtype | None = None) -> Transformer:
    """A model of this config with the weights of `source`. Raises `RequestError` if they are not its own."""
    model = on_meta(config)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    learned = dict(model.named_parameters()).keys()
    names = set(source.tensors)
    if wrong := sorted(names ^ shapes.keys()):
        word = "not" if wrong[0] in shapes else "a tensor"
        raise RequestError(f"the checkpoint has {word} {wrong[0]}, unlike the model of its config.json")
    for name, shape in shapes.items():
        tensor = source.tensor(name)
        if tensor.shape != shape:
            raise RequestError(
                f"{name} has the shape {list(tensor.shape)}, and by config.json it would be {list(shape)}"
            )
        if dtype is not None and tensor.is_floating_point() and tensor.dtype != dtype:
            tensor = converted(tensor, dtype)
            source.release(name)
        if name in learned:
            place(model, name, tensor)
        else:
            _place_buffer(model, name, tensor.clone())
    # Buffers that a part does not keep in files are as it makes them.
    if left := [name for name, buffer in model.named_buffers() if buffer.is_meta]:
        made = allocate(config)
        for name in left:
            _place_buffer(model, name, made.get_buffer(name))
    return model


def _place_buffer(model: Transformer, name: str, buffer: torch.Tensor) -> None:
    module, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(module), leaf, buffer)


def outgoing_native(model: Transformer) -> Iterator[Outgoing]:
    """Every parameter and buffer by our name."""
    for name, tensor in model.state_dict().items():
        yield Outgoing(name=name, shape=tuple(tensor.shape), dtype=tensor.dtype, make=tensor.detach)


def _from_file(value: Any) -> str | None:
    """The first address of a part in a file, `path.py:Name`, anywhere in a config."""
    if isinstance(value, str):
        return value if ".py:" in value else None
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for each in inside if (found := _from_file(each))), None)
