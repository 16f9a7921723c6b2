"""A tagger's folder: `segmenter.json` says what it is made of, `model.safetensors` holds its weights.

Nothing in it is run. The weights are compared with what the description would have before a number is read.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file
from safetensors.torch import save as save_bytes

from paribus.errors import RequestError, WorkError, shown
from paribus.families import native
from paribus.families.files.headers import read_header
from paribus.families.files.writing import Outgoing, write_tensors
from paribus.files.json_object import json_object
from paribus.files.opening import bytes_of, place
from paribus.model.config import ModelConfig
from paribus.model.transformer import Transformer
from paribus.text.segmenting.files import FORMAT, VERSION
from paribus.train.tagging.alphabet import Alphabet, Bytes, Characters
from paribus.train.tagging.nets import EncoderTagger, RecurrentConfig, RecurrentTagger, Tagger, build_tagger

DESCRIPTION, WEIGHTS = "segmenter.json", "model.safetensors"
METHOD = "neural"
_MOST_BYTES = 64 * 2**20


def save_tagger(tagger: Tagger, alphabet: Alphabet, folder: Path) -> None:
    """Write a new folder, which appears when it is complete.

    Raises `RequestError` if it is there already and not empty, `WorkError` if the disk fails.
    """
    folder = folder.expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError(f"{shown(folder)} is there already; give a folder that is not")
    try:
        described = json.dumps(description_of(tagger, alphabet), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RequestError("its alphabet has half a surrogate pair, which no UTF-8 file holds") from None
    tensors = [
        Outgoing(name=name, shape=tuple(tensor.shape), dtype=tensor.dtype, make=tensor.detach)
        for name, tensor in tagger.state_dict().items()
    ]
    beside = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        write_tensors(beside / WEIGHTS, tensors)
        (beside / DESCRIPTION).write_bytes(described)
        beside.chmod(0o755)
        os.replace(beside, folder)
    except OSError as error:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)
        raise WorkError(f"writing {shown(folder)} failed: {error.strerror or error}") from error


def load_tagger(folder: Path) -> tuple[Tagger, Alphabet]:
    """The tagger of a folder. Raises `RequestError` with one sentence for whatever is not as it should be."""
    folder = folder.expanduser()
    path = folder / DESCRIPTION
    where = place(path)
    content = json_object(bytes_of(path, "a description", at_most=_MOST_BYTES), where)
    config, alphabet = _described(content, where)
    header = read_header(folder / WEIGHTS)
    found = {name: tuple(tensor.shape) for name, tensor in header.tensors.items()}
    _check(config, found, shown(folder / WEIGHTS), DESCRIPTION)
    return _filled(config, load_file(folder / WEIGHTS)), alphabet


def description_of(tagger: Tagger, alphabet: Alphabet) -> dict[str, Any]:
    """What a tagger is made of, all but its weights, as JSON has it."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "method": METHOD,
        "net": _net(tagger),
        "alphabet": _letters(alphabet),
    }


def weights_of(tagger: Tagger) -> bytes:
    """The weights as the bytes of a safetensors file."""
    return save_bytes({name: tensor.detach().contiguous() for name, tensor in tagger.state_dict().items()})


def tagger_of(content: Mapping[str, Any], weights: bytes, where: str) -> tuple[Tagger, Alphabet]:
    """The tagger of a `description_of` and the `weights_of`; `where` says in messages where these stand.

    Raises `RequestError` with one sentence for whatever is not as it should be.
    """
    config, alphabet = _described(content, where)
    try:
        tensors = load_bytes(weights)
    except SafetensorError as error:
        raise RequestError(
            f"the file of weights of {where} is no safetensors: {shown(error, at_most=80)}"
        ) from error
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    _check(config, found, f"the file of weights of {where}", "its description")
    return _filled(config, tensors), alphabet


def _described(content: Mapping[str, Any], where: str) -> tuple[RecurrentConfig | ModelConfig, Alphabet]:
    if content.get("format") != FORMAT or content.get("method") != METHOD:
        raise RequestError(f"{where} describes no neural segmenter of paribus")
    if content.get("version") != VERSION:
        raise RequestError(
            f"{where} is of version {shown(content.get('version'), at_most=40)}, and version {VERSION} is read here"
        )
    try:
        return _config(content.get("net")), _alphabet(content.get("alphabet"))
    except RequestError as error:
        raise RequestError(f"in {where} {error}") from None


def _check(
    config: RecurrentConfig | ModelConfig,
    found: Mapping[str, tuple[int, ...]],
    weights: str,
    description: str,
) -> None:
    """Raise `RequestError` unless the tensors found are those of the net."""
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in _unfilled(config).state_dict().items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise RequestError(
                f"{weights} does not hold the net of {description}: {shown(name, at_most=80)} differs"
            )


def _filled(config: RecurrentConfig | ModelConfig, tensors: Mapping[str, torch.Tensor]) -> Tagger:
    tagger = build_tagger(config, seed=0)
    tagger.load_state_dict(tensors)
    return tagger.eval()


def _unfilled(config: RecurrentConfig | ModelConfig) -> Tagger:
    return (
        RecurrentTagger(config) if isinstance(config, RecurrentConfig) else EncoderTagger(Transformer(config))
    )


def _net(tagger: Tagger) -> dict[str, Any]:
    if isinstance(tagger, RecurrentTagger):
        return {"recurrent": asdict(tagger.config)}
    return {"encoder": native.config_file(tagger.encoder.config)}


def _config(given: Any) -> RecurrentConfig | ModelConfig:
    match given:
        case {"recurrent": dict(sizes)}:
            try:
                return RecurrentConfig(**sizes)
            except TypeError:
                raise RequestError(
                    f"a recurrent net is not made of {shown(', '.join(sizes), at_most=80)}"
                ) from None
        case {"encoder": dict(config)}:
            return native.model_config(config)
    raise RequestError("net is neither recurrent nor an encoder")


def _letters(alphabet: Alphabet) -> Any:
    return (
        {"table": alphabet.table, "unknown": alphabet.unknown}
        if isinstance(alphabet, Characters)
        else "bytes"
    )


def _alphabet(given: Any) -> Alphabet:
    match given:
        case "bytes":
            return Bytes()
        case {"table": dict(table), "unknown": int(unknown)} if all(type(n) is int for n in table.values()):
            return Characters(table, unknown=unknown)
    raise RequestError("alphabet is neither bytes nor a table of characters and their ids")
