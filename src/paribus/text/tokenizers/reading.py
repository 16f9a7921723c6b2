"""A tokenizer of ours read from its file, which nobody vouches for."""

from __future__ import annotations

from pathlib import Path

from paribus.errors import RequestError, shown
from paribus.files.inside import inside
from paribus.files.json_object import json_object
from paribus.files.opening import bytes_of, place
from paribus.text.tokenizers.methods import restored
from paribus.text.tokenizers.trained import FORMAT, WEIGHTS, TrainedTokenizer

_MOST_BYTES = 2**30


def read_trained(path: Path) -> TrainedTokenizer:
    """The tokenizer in the file `path`. Raises `RequestError` if it is none, is not whole or is of another format."""
    where = shown(path)
    try:
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise RequestError(f"{where} has {size:,} bytes, far more than a tokenizer takes")
        content = json_object(path.read_bytes(), where)
    except OSError as error:
        raise RequestError(f"{where} cannot be read: {error.strerror or error}") from error
    if content.get("format") != FORMAT:
        raise RequestError(
            f"{where} is of format {shown(content.get('format'), at_most=20)}, and this Paribus reads {FORMAT}"
        )
    try:
        return restored(content, _weights(path.parent) if content.get("weights") is not None else None)
    except RequestError as error:
        raise RequestError(f"{where} cannot be used: {error}") from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise RequestError(
            f"{where} is not a whole tokenizer ({type(error).__name__}: {shown(error, at_most=100)})"
        ) from error


def _weights(folder: Path) -> bytes:
    return bytes_of(inside(folder, WEIGHTS, begin=f"{place(folder)} holds"), "weights", at_most=_MOST_BYTES)
