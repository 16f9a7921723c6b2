"""The folder of a checkpoint: its config, which tensors it holds and where, and the tensors when asked for.

Opening reads the config and the index; the headers are read when `tensors` is first used, weights only by
`tensor`. What the config and the names mean is for the families to say.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paribus.errors import RequestError, shown
from paribus.families.files.config import read_config, warnings_of
from paribus.families.files.formats import first_foreign, what_it_is
from paribus.families.files.headers import Header, TensorInfo, read_header
from paribus.families.files.index import Index, joined, read_index
from paribus.files.inside import inside
from paribus.files.opening import answering, place, status_of

if TYPE_CHECKING:
    import torch

    from paribus.families.files.mapped import MappedFile

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True, kw_only=True, eq=False)
class Folder:
    """A checkpoint at `path`: `files` are its safetensors files, none of them if only a config was given."""

    path: Path
    config: dict[str, Any]
    files: tuple[Path, ...] = ()
    index: Index | None = None

    @property
    def has_weights(self) -> bool:
        return bool(self.files)

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        """Every tensor by its name, from the headers; raises `RequestError` if a file or the index is wrong."""
        tensors_of = {file: header.tensors for file, header in self._headers.items()}
        if self.index is not None:
            return joined(self.index, tensors_of)
        return {name: info for tensors in tensors_of.values() for name, info in tensors.items()}

    @cached_property
    def metadata(self) -> dict[str, str]:
        """What the writers of the files added; where two files differ, the first one's word."""
        return {
            key: value
            for header in reversed(self._headers.values())
            for key, value in header.metadata.items()
        }

    @cached_property
    def warnings(self) -> list[str]:
        """What a reader should know before trusting what is read from here: a sentence each."""
        found = warnings_of(self.config)
        held = sum(info.num_bytes for info in self.tensors.values())
        promised = self.index.total_size if self.index else None
        if promised not in (None, held):
            found.append(
                f"the index of {place(self.path)} promises {promised:,} bytes and its shards hold {held:,}"
            )
        return found

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor of that name, in its own dtype, mapped from its file: reading costs memory when it is used.

        Changes to it stay in memory; the file must stay as it is while the tensor lives. Raises `RequestError`
        for an unknown name, and for a format that torch does not have.
        """
        info = self.tensors.get(name)
        if info is None:
            raise RequestError(self._no_tensor(name))
        return self._mapped(info.file).tensor(info)

    def release(self, name: str) -> None:
        """Say that a tensor was copied and will not be read again, so that its file takes no memory."""
        info = self.tensors[name]
        self._mapped(info.file).release(info)

    @cached_property
    def _headers(self) -> dict[Path, Header]:
        return {file: read_header(file) for file in self.files}

    @cached_property
    def _maps(self) -> dict[Path, MappedFile]:
        return {}

    def _mapped(self, file: Path) -> MappedFile:
        # Looking at a checkpoint needs no torch, and takes no time for importing it.
        from paribus.families.files.mapped import MappedFile

        if file not in self._maps:
            self._maps[file] = MappedFile(file)
        return self._maps[file]

    def _no_tensor(self, name: str) -> str:
        said = f"there is no tensor {shown(name, at_most=80)!r} in {place(self.path)}"
        if not self.has_weights:
            return f"{said}: only its config was found, no weights"
        near = difflib.get_close_matches(name, self.tensors, n=1)
        if near:
            return f"{said}: did you mean {near[0]}?"
        return f"{said}: it holds {len(self.tensors):,} tensors"


def open_folder(path: str | os.PathLike[str]) -> Folder:
    """The checkpoint at `path`: a folder, its `config.json` alone, or one `.safetensors` beside a config.

    Of a folder `model.safetensors` is read, else the shards of `model.safetensors.index.json`. Raises
    `RequestError` if there is no checkpoint, if it keeps its weights in another format (pickles are never
    opened), if shards are missing, or if a name or a link leads out of the folder. Nothing is downloaded.
    """
    given = os.fspath(path)
    if not given:
        raise RequestError("the path of the checkpoint is empty: give a folder with a config.json")
    at = Path(os.path.expanduser(given))
    with answering(at):
        try:
            mode = status_of(at).st_mode
        except FileNotFoundError as error:
            raise RequestError(_not_there(given)) from error
    if stat.S_ISDIR(mode):
        return _of_folder(at)
    if at.name.endswith(".index.json"):
        raise RequestError(f"{place(at)} is the index of a checkpoint: give its folder, {place(at.parent)}")
    if at.suffix == ".json":
        return Folder(path=at, config=read_config(at))
    if at.suffix == ".safetensors":
        return _of_one_file(at)
    if not stat.S_ISREG(mode):
        raise RequestError(f"{place(at)} is neither a file nor a folder")
    what = what_it_is(at.name) or "not a checkpoint: give a folder, its config.json or a .safetensors file"
    raise RequestError(f"{place(at)} is {what}")


def _of_folder(folder: Path) -> Folder:
    with answering(folder):
        names = set(os.listdir(folder))
    foreign = first_foreign(names)
    strays = sorted(name for name in names if name.endswith(".safetensors"))
    if foreign and not strays:
        raise RequestError(f"{place(folder / foreign)} is {what_it_is(foreign)}")
    config = _config(folder, names)
    if WEIGHTS in names:
        return Folder(path=folder, config=config, files=(_inside(folder, WEIGHTS),))
    if INDEX in names:
        index = read_index(_inside(folder, INDEX))
        return Folder(path=folder, config=config, files=index.shards, index=index)
    if strays:
        raise RequestError(
            f"{place(folder)} has neither {WEIGHTS} nor {INDEX}, but {shown(strays[0], at_most=80)}: give "
            "the path of that file if it is the whole model"
        )
    return Folder(path=folder, config=config)


def _of_one_file(file: Path) -> Folder:
    folder = file.parent
    if not (folder / CONFIG).exists():
        raise RequestError(f"{place(file)} stands beside no {CONFIG}, which says what the model is")
    if file.name != WEIGHTS and (folder / INDEX).exists():
        index = read_index(_inside(folder, INDEX))
        if file in index.shards:
            raise RequestError(
                f"{place(file)} is one of {len(index.shards)} shards: give the folder, {place(folder)}"
            )
    return Folder(path=file, config=read_config(_inside(folder, CONFIG)), files=(_inside(folder, file.name),))


def _config(folder: Path, names: set[str]) -> dict[str, Any]:
    if CONFIG in names:
        return read_config(_inside(folder, CONFIG))
    if not names:
        raise RequestError(f"{place(folder)} is empty: a folder with a {CONFIG} is expected")
    if "adapter_config.json" in names:
        raise RequestError(
            f"{place(folder)} holds an adapter and no model (adapter_config.json without {CONFIG}): "
            "merge it into its model and save that"
        )
    if "snapshots" in names:
        with answering(folder):
            found = sorted(folder.glob(f"snapshots/*/{CONFIG}"))
        if found:
            raise RequestError(
                f"{place(folder)} is where a hub's cache keeps a model: give {place(found[-1].parent)}"
            )
    raise RequestError(f"{place(folder)} has no {CONFIG}: is it the folder of a checkpoint?")


def _inside(folder: Path, name: str) -> Path:
    return inside(folder, name, begin=f"{place(folder)} holds")


def _not_there(given: str) -> str:
    said = f"there is no file or folder {shown(given, at_most=200)}"
    if not _HUB_NAME.fullmatch(given) or given.endswith((".json", ".safetensors")):
        return said
    name = given.rpartition("/")[2]
    return (
        f"{said}, and nothing is downloaded: if it is a model of the Hugging Face hub, fetch it with "
        f"`hf download {given} --local-dir {name}` and give the folder {name}"
    )
