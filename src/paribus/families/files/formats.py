"""Checkpoints in formats that are not read: what they are, and how their weights can be had as safetensors."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch

_PICKLE = (
    "a pickle file, which can run any code when it is opened, so it is not: ask the author for safetensors, or load "
    "it once in an environment that you trust and call save_pretrained(folder, safe_serialization=True)"
)
_GGUF = (
    "a GGUF file of llama.cpp, which is not read: take the checkpoint that it was made from, as safetensors"
)
_HDF5 = "an HDF5 file of TensorFlow"
_CONVERT = "which is not read: load it once with transformers and call save_pretrained(folder, safe_serialization=True)"
#: Patterns of file names with what such a file is; names are compared in lower case, the first match counts.
_FOREIGN = {
    "*_model*.bin": _PICKLE,
    "*.pt": _PICKLE,
    "*.pth": _PICKLE,
    "*.ckpt": _PICKLE,
    "*.pkl": _PICKLE,
    "*.pickle": _PICKLE,
    "*.gguf": _GGUF,
    "*.h5": f"{_HDF5}, {_CONVERT}",
    "*.keras": f"an archive of Keras, {_CONVERT}",
    "*.msgpack": f"a msgpack file of Flax, {_CONVERT}",
    "tf_model*": f"a checkpoint of TensorFlow, {_CONVERT}",
    "*.onnx": "an ONNX graph, which is not read: take the checkpoint that it was made from, as safetensors",
}
#: What `Trainer` leaves beside a model: pickles too, but no weights.
_NO_WEIGHTS = ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state*.pth", "training_args.bin")


def what_it_is(name: str) -> str | None:
    """Half a sentence on a file of weights in a format that is not read; None if the name says no such thing."""
    name = name.lower()
    return next((said for pattern, said in _FOREIGN.items() if fnmatch(name, pattern)), None)


def first_foreign(names: Iterable[str]) -> str | None:
    """The first of the names, sorted, that is a file of weights in a format that is not read."""
    weights = (name for name in sorted(names) if not any(fnmatch(name.lower(), no) for no in _NO_WEIGHTS))
    return next((name for name in weights if what_it_is(name)), None)
