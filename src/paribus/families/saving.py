"""`paribus.save`: a model as a folder that other libraries load, or in our own format where none has such a model."""

from __future__ import annotations

import functools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from paribus.errors import RequestError, WorkError, nearest
from paribus.families import native
from paribus.families.family import Family, Inexpressible, express, families
from paribus.families.files import open_folder
from paribus.families.files.writing import Outgoing, write_tensors
from paribus.families.loading import Origin
from paribus.families.tensors import moves, shapes_of
from paribus.families.weights import outgoing
from paribus.files.inside import inside
from paribus.files.opening import place
from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer

#: Files that go with the weights: a tokenizer, and how to generate.
CARRIED = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
SHARD_BYTES = 5 * 10**9
Layout = Literal["auto", "transformers", "paribus"]


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What was written: `family` is None for our own format, and `why_not` then says why no family would do."""

    path: Path
    family: str | None
    files: tuple[str, ...]
    num_bytes: int
    why_not: str | None = None


def save(
    model: Transformer,
    path: str | os.PathLike[str],
    *,
    layout: Layout = "auto",
    family: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    beside: Mapping[str, bytes] | None = None,
) -> Saved:
    """Write a model to a new folder: config.json, safetensors (with an index if there are several), tokenizer files.

    With `layout` "transformers" the folder is one that `AutoModelForCausalLM.from_pretrained` loads, of `family` or
    of the one the model came from, or of the first that has such a model; "paribus" is our own format, which keeps
    any model; "auto" takes the first that is possible. `beside` are files for the same folder by name, such as those
    of the tokenizer that the model was trained with. The folder appears when it is complete. Raises
    `RequestError` that says what no family has, or if the folder is there already, and `WorkError` if the disk
    fails.

    >>> paribus.save(model, "models/mine")
    """
    if shard_bytes < 1:
        raise RequestError(f"shard_bytes is a number of bytes, at least 1; it is {shard_bytes}")
    if layout not in ("auto", "transformers", "paribus"):
        raise RequestError(f"layout is auto, transformers or paribus; it is {layout!r}")
    target = free(path)
    origin = model.origin if isinstance(model.origin, Origin) else None
    chosen, why_not = None, None
    if layout != "paribus":
        try:
            chosen = family_for(model.config, name=family, origin=origin)
        except RequestError as error:
            if layout == "transformers" or family is not None:
                raise
            why_not = str(error)
    if chosen is None:
        config, tensors = native.config_file(model.config), list(native.outgoing_native(model))
    else:
        config, tensors = _config_file(chosen, model, origin), list(outgoing(chosen, model))
        tensors += _aside(chosen, origin)
    with _appearing(target) as folder:
        files = _write_weights(folder, tensors, shard_bytes)
        _write_json(folder / "config.json", config)
        files += ["config.json", *_carry(origin, folder)]
        for name, content in (beside or {}).items():
            (folder / name).write_bytes(content)
        files += [name for name in beside or {} if name not in files]
    return Saved(
        path=target,
        family=chosen.model_type if chosen else None,
        files=tuple(files),
        num_bytes=sum(tensor.num_bytes for tensor in tensors),
        why_not=why_not,
    )


def free(path: str | os.PathLike[str]) -> Path:
    """Where `save` would write. Raises `RequestError` if something lies there already."""
    target = Path(path).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RequestError(f"{target} is there already; give a folder that is not")
    return target


def family_for(config: ModelConfig, *, name: str | None = None, origin: Origin | None = None) -> Family:
    """The family that has such a model: `name`, or the one it came from, or the first by name.

    Raises `RequestError` that says what of the model the nearest family has not.
    """
    if name is not None:
        if name not in families():
            raise RequestError(f"there is no family {name!r}; {nearest(name, families())}")
        _try(families()[name], config)
        return families()[name]
    candidates = [origin.family] if origin is not None and origin.family is not None else []
    candidates += [family for family in families().values() if family not in candidates]
    reasons: list[Inexpressible] = []
    for family in candidates:
        try:
            _try(family, config)
            return family
        except Inexpressible as error:
            reasons.append(error)
    nearest_one = min(reasons, key=lambda reason: len(reason.fields))
    raise RequestError(f"no known family has such a model; of the nearest, {nearest_one}")


def _try(family: Family, config: ModelConfig) -> None:
    """Raise `Inexpressible` if the family has no such model, or no name for one of its parameters."""
    express(family, config)
    try:
        moves(family, config, shapes_of(config))
    except RequestError as error:
        raise Inexpressible(str(error), ("weights",)) from None


def _config_file(family: Family, model: Transformer, origin: Origin | None) -> dict[str, Any]:
    """The keys that say what the model computes, over those of its origin that say how it is used."""
    written = express(family, model.config)
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    kept: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if origin is not None and origin.family is family:
        kept = {key: value for key, value in origin.config.items() if key not in ("dtype", "rope_parameters")}
    kept.pop("auto_map", None)
    return {**kept, **written, "torch_dtype": dtype}


def _aside(family: Family, origin: Origin | None) -> list[Outgoing]:
    """Tensors of the origin that are no part of the language model, as they were."""
    if origin is None or not origin.aside or origin.family is not family:
        return []
    source = open_folder(origin.path)
    return [
        Outgoing(
            name=name,
            shape=tuple(source.tensor(name).shape),
            dtype=source.tensor(name).dtype,
            make=functools.partial(source.tensor, name),
        )
        for name in origin.aside
    ]


def _write_weights(folder: Path, tensors: Sequence[Outgoing], shard_bytes: int) -> list[str]:
    """One file, or numbered ones and their index; each is made only when it is written."""
    shards = list(_shards(tensors, shard_bytes))
    names = (
        ["model.safetensors"]
        if len(shards) == 1
        else [f"model-{at:05}-of-{len(shards):05}.safetensors" for at in range(1, len(shards) + 1)]
    )
    for name, shard in zip(names, shards, strict=True):
        write_tensors(folder / name, shard)
    if len(shards) == 1:
        return names
    index = {
        "metadata": {"total_size": sum(tensor.num_bytes for tensor in tensors)},
        "weight_map": {
            tensor.name: name for name, shard in zip(names, shards, strict=True) for tensor in shard
        },
    }
    _write_json(folder / "model.safetensors.index.json", index)
    return [*names, "model.safetensors.index.json"]


def _shards(tensors: Sequence[Outgoing], shard_bytes: int) -> Iterator[list[Outgoing]]:
    """Tensors in order, so many together that a shard stays within its size; a larger tensor stands alone."""
    shard: list[Outgoing] = []
    for tensor in tensors:
        if shard and sum(each.num_bytes for each in shard) + tensor.num_bytes > shard_bytes:
            yield shard
            shard = []
        shard.append(tensor)
    yield shard


def _carry(origin: Origin | None, folder: Path) -> list[str]:
    """Copy the tokenizer of the checkpoint that the model came from; a link out of its folder is refused."""
    if origin is None:
        return []
    home = origin.path if origin.path.is_dir() else origin.path.parent
    there = [name for name in CARRIED if (home / name).is_file()]
    for name in there:
        shutil.copyfile(inside(home, name, begin=f"{place(home)} holds"), folder / name)
    return there


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its name when all is written; if anything fails, it is gone."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise RequestError(f"{target} cannot be made: {error.strerror or error}") from error
    try:
        yield folder
        folder.chmod(0o755)
        if target.is_dir():
            target.rmdir()  # an empty one
        os.replace(folder, target)
    except OSError as error:
        reason = getattr(error, "strerror", None) or error
        raise WorkError(f"{target} could not be written, and nothing is left of it: {reason}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
