"""The index of a checkpoint in several files: which tensor lies in which shard."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus.errors import RequestError, shown
from paribus.families.files.headers import TensorInfo
from paribus.files.inside import inside
from paribus.files.json_object import json_object
from paribus.files.opening import answering, bytes_of, place

MAX_BYTES = 100_000_000
_NAMED_AT_MOST = 5


@dataclass(frozen=True, kw_only=True)
class Index:
    """`shards` in the order of their names; `shard_of` gives a tensor's; `total_size` in bytes, if it is given."""

    path: Path
    shards: tuple[Path, ...]
    shard_of: dict[str, Path]
    total_size: int | None


def read_index(path: Path) -> Index:
    """The `model.safetensors.index.json` at `path`.

    Raises `RequestError` if it is not an object with a `weight_map` of tensors to files ending in
    `.safetensors` in the same folder, or if files that it names are missing.
    """
    where = place(path)
    content = json_object(bytes_of(path, "an index", at_most=MAX_BYTES), where)
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise RequestError(f"{where} has no weight_map that says which tensor lies in which file")
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or not name.endswith(".safetensors"):
            raise RequestError(
                f"{where} places the tensor {shown(tensor, at_most=80)!r} in {_brief(name)}: only files that end in "
                ".safetensors are read"
            )
    shards = {
        name: inside(path.parent, name, begin=f"{where} names") for name in sorted(set(weight_map.values()))
    }
    _refuse_missing(list(shards.values()), path)
    return Index(
        path=path,
        shards=tuple(shards.values()),
        shard_of={tensor: shards[name] for tensor, name in weight_map.items()},
        total_size=_total_size(content),
    )


def joined(index: Index, tensors_of: dict[Path, dict[str, TensorInfo]]) -> dict[str, TensorInfo]:
    """All tensors of all shards; raises `RequestError` unless the index and the shards name the same ones."""
    where = place(index.path)
    found: dict[str, TensorInfo] = {}
    for shard, tensors in tensors_of.items():
        if twice := sorted(found.keys() & tensors.keys()):
            raise RequestError(
                f"the tensor {shown(twice[0], at_most=80)!r} lies in two shards, {found[twice[0]].file.name} and "
                f"{shard.name}"
            )
        if strays := [name for name in tensors if index.shard_of.get(name) != shard]:
            raise RequestError(
                f"{place(shard)} holds {_some(strays, 'tensor')} that {where} does not place there"
            )
        found.update(tensors)
    if absent := [name for name in index.shard_of if name not in found]:
        shard = index.shard_of[absent[0]]
        raise RequestError(f"{where} names {_some(absent, 'tensor')} that {shown(shard.name)} does not have")
    return found


def _refuse_missing(shards: list[Path], index: Path) -> None:
    # A link to nowhere counts: an interrupted download leaves such links in the hub's cache.
    with answering(index.parent):
        missing = [shard for shard in shards if not shard.exists()]
    if not missing:
        return
    verb = "is" if len(missing) == 1 else "are"
    names = ", ".join(shown(shard.name, at_most=80) for shard in missing[:_NAMED_AT_MOST])
    more = f" and {len(missing) - _NAMED_AT_MOST} more" if len(missing) > _NAMED_AT_MOST else ""
    raise RequestError(
        f"{len(missing)} of {len(shards)} shards {verb} missing in {place(index.parent)}: {names}{more}; fetch "
        "them, or give the config.json alone"
    )


def _total_size(content: dict[str, Any]) -> int | None:
    metadata = content.get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    # Some writers give a float.
    return int(size) if isinstance(size, int | float) and 0 <= size < 2**63 else None


def _some(names: list[str], what: str) -> str:
    first = f"the {what} {shown(names[0], at_most=80)!r}"
    return first if len(names) == 1 else f"{first} and {len(names) - 1:,} more"


def _brief(value: Any) -> str:
    return shown(reprlib.repr(value), at_most=80)
