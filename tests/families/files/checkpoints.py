"""What these tests share: files written byte by byte, folders of a checkpoint, and what every refusal must be."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError


def refusal(read: Callable[..., object], *given: Any, **named: Any) -> str:
    """The one short line and sentence of the `RequestError` in which `read` of what is given ends."""
    with pytest.raises(RequestError) as caught:
        read(*given, **named)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 1_000
    assert not message.endswith("."), message
    return message


def entry(dtype: Any = "F32", shape: Any = (1,), data_offsets: Any = (0, 4)) -> dict[str, Any]:
    """A tensor as a header describes it; by default one float of four bytes."""
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}


def file_of(header: dict[str, Any] | bytes, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A safetensors file with this header, which claims to be `length` bytes long.

    Blanks after a header given as a dict make the data begin at a multiple of eight bytes, as real writers do.
    """
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    raw += b" " * (0 if isinstance(header, bytes) else -len(raw) % 8)
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def write_shards(folder: Path, shards: dict[str, dict[str, Any]], **index: Any) -> Path:
    """A checkpoint of zeros: for each file its header, an index over them, and an empty config."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    for name, header in shards.items():
        num_bytes = max((info["data_offsets"][1] for info in header.values()), default=0)
        (folder / name).write_bytes(file_of(header, bytes(num_bytes)))
    weight_map = {tensor: name for name, header in shards.items() for tensor in header}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map, **index}))
    return folder


def without_weights(path: Path, *names: str) -> Path:
    """A folder with a config and, in place of safetensors, files of these names."""
    path.mkdir(exist_ok=True)
    for name in ("config.json", *names):
        (path / name).write_text("{}")
    return path


def peak_growth(before: str, measured: str, *arguments: str) -> int:
    """Bytes by which the peak memory of a fresh process grows while `measured` runs after `before`."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux, which keeps the peak of each process")
    # Not getrusage: its peak begins with that of the process which started this one.
    code = (
        "import re, sys\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        f"{before}\nbefore = peak()\n{measured}\nprint(peak() - before)"
    )
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return int(run.stdout.split()[-1]) * 1024
