"""Which tokenizer lies at a path, known by the names of the files there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from paribus.errors import RequestError, shown
from paribus.text.tokenizers.of_json import JsonTokenizer
from paribus.text.tokenizers.protocol import Tokenizer
from paribus.text.tokenizers.trained import FILE


def _trained(folder: Path) -> Tokenizer:
    from paribus.text.tokenizers.reading import read_trained

    return read_trained(folder / FILE)


#: The file that says which kind it is, in the order of looking, and what opens the folder that holds it.
_KINDS: dict[str, Callable[[Path], Tokenizer]] = {FILE: _trained, "tokenizer.json": JsonTokenizer}


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in the folder `path`, or in the folder of the file `path`.

    Raises `RequestError` if there is none that can be used.
    """
    folder = path if path.is_dir() else path.parent
    for name, opens in _KINDS.items():
        if (folder / name).is_file() and (path.is_dir() or path.name == name):
            return opens(folder)
    raise RequestError(f"{shown(path)} holds no tokenizer: {' or '.join(_KINDS)} is looked for")


def holds_tokenizer(folder: Path) -> bool:
    """Whether `folder` has the files of a tokenizer that `open_tokenizer` knows."""
    return any((folder / name).is_file() for name in _KINDS)


def stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of each file that may belong to the tokenizer at `path`."""
    folder = path if path.is_dir() else path.parent
    states = [(file.name, file.stat()) for file in sorted(folder.glob("*token*")) if file.is_file()]
    return tuple((name, state.st_size, state.st_mtime_ns) for name, state in states)
