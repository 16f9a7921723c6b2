"""Which tokenizer lies at a path, known by the names of the files there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from paribus.errors import RequestError, shown
from paribus.text.tokenizers.of_json import JsonTokenizer
from paribus.text.tokenizers.of_sentencepiece import SentencePieceTokenizer
from paribus.text.tokenizers.protocol import Tokenizer
from paribus.text.tokenizers.trained import FILE, WEIGHTS


def _trained(path: Path) -> Tokenizer:
    from paribus.text.tokenizers.reading import read_trained

    return read_trained(path)


def _json(path: Path) -> Tokenizer:
    return JsonTokenizer(path.parent)


#: The file that says which kind it is, in the order of looking, and what opens it.
_KINDS: dict[str, Callable[[Path], Tokenizer]] = {
    FILE: _trained,
    "tokenizer.json": _json,
    "tokenizer.model": SentencePieceTokenizer,
    "spiece.model": SentencePieceTokenizer,
    "sentencepiece.bpe.model": SentencePieceTokenizer,
    "vocab.json": _json,
    "vocab.txt": _json,
}


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in the folder `path`, or in the file `path`.

    Raises `RequestError` if there is none that can be used.
    """
    if path.is_dir():
        for name, opens in _KINDS.items():
            if (path / name).is_file():
                return opens(path / name)
    elif path.name in _KINDS:
        return _KINDS[path.name](path)
    elif path.suffix == ".model":
        return SentencePieceTokenizer(path)
    raise RequestError(f"{shown(path)} holds no tokenizer: {', '.join(_KINDS)} are looked for")


def holds_tokenizer(folder: Path) -> bool:
    """Whether `folder` has the files of a tokenizer that `open_tokenizer` knows."""
    return any((folder / name).is_file() for name in _KINDS)


def stamp(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of each file that may belong to the tokenizer at `path`."""
    files = [path] if not path.is_dir() else [file for file in sorted(path.glob("*")) if file.name in _BELONG]
    states = [(file.name, file.stat()) for file in files if file.is_file()]
    return tuple((name, state.st_size, state.st_mtime_ns) for name, state in states)


_BELONG = frozenset(
    {
        *_KINDS,
        WEIGHTS,
        "merges.txt",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
    }
)
