"""Whatever the bytes: they are read as the formats' own readers read them, or refused in one sentence.

Of two readers that take the same file differently one is wrong, and nobody would notice; so ours may refuse what
theirs takes, and may not take what theirs refuses. What random bytes once found stands here as an example.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open

from paribus.errors import RequestError
from paribus.families.files.config import read_config
from paribus.families.files.dtypes import DTYPES
from paribus.families.files.headers import read_header
from paribus.families.files.mapped import MappedFile

from .checkpoints import entry, file_of

SAME_EVERY_TIME = settings(derandomize=True, database=None, deadline=None, max_examples=400)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "file"


def _ours(path: Path) -> dict[str, Any] | str:
    """Each tensor as dtype, shape and bytes, None for one that torch cannot hold; or why the file is refused."""
    try:
        tensors = read_header(path).tensors
    except RequestError as error:
        return str(error)
    mapped = MappedFile(path)
    read: dict[str, Any] = {}
    for name, info in tensors.items():
        try:
            read[name] = _content(mapped.tensor(info))
        except RequestError:
            read[name] = None
    return read


def _theirs(path: Path) -> dict[str, Any] | str:
    try:
        with safe_open(path, "pt") as file:
            names, read = file.keys(), {}
            for name in names:
                try:
                    read[name] = _content(file.get_tensor(name))
                except (SafetensorError, TypeError):
                    read[name] = None
            return read
    except SafetensorError as error:
        return str(error)


def _content(tensor: torch.Tensor) -> tuple[torch.dtype, torch.Size, list[int]]:
    return tensor.dtype, tensor.shape, tensor.reshape(-1).view(torch.uint8).tolist()


def _fault(path: Path, raw: bytes) -> str | None:
    """What is wrong with how a file of these bytes is read or refused."""
    path.write_bytes(raw)
    ours, theirs = _ours(path), _theirs(path)
    if isinstance(ours, str):
        return _fault_of_sentence(ours)
    return None if ours == theirs else f"ours reads {ours!r}, theirs {theirs!r}"


def _fault_of_sentence(said: str) -> str | None:
    return None if said.isprintable() and len(said) < 1_000 else f"the refusal is {said!r}"


NAMES = st.sampled_from(["a", "b", "lm_head.weight", "ä"]) | st.text(min_size=1, max_size=6)
SHAPES = st.lists(st.sampled_from([0, 1, 2, 2, 3, 4, 8]), max_size=3)
#: What is put in place of a piece of a good header.
PIECES = [
    *(
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"\n",
        b"\0",
        b"\x0b",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\\",
        b"\\ud800",
    ),
    *(
        b"-0",
        b"0",
        b"01",
        b"1",
        b"-1",
        b"4",
        b"1e0",
        b"4.0",
        b"1e999",
        b"NaN",
        b"true",
        b"null",
        b"4611686018427387904",
    ),
    *(b"18446744073709551615", b"18446744073709551616", b'"F32"', b'"dtype":"F32",', b'"__metadata__":null,'),
    *(b'"__metadata__":{"a":"b"},', b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'),
]


@st.composite
def nearly_good_files(draw: st.DrawFn) -> bytes:
    """A file as the format wants it, with up to three pieces of its header replaced, cut or lengthened."""
    header: dict[str, Any] = {}
    end = 0
    for name in draw(st.lists(NAMES, max_size=3, unique=True)):
        dtype, shape = draw(st.sampled_from(list(DTYPES))), draw(SHAPES)
        begin, end = end, end + math.prod(shape) * DTYPES[dtype].bits // 8
        header[name] = entry(dtype, shape, [begin, end])
    if draw(st.booleans()):
        header["__metadata__"] = draw(st.dictionaries(NAMES, NAMES, max_size=2))
    raw = json.dumps(header, ensure_ascii=draw(st.booleans()), separators=(",", ":")).encode()
    for piece in draw(st.lists(st.sampled_from(PIECES), max_size=3)):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + piece + raw[at + draw(st.integers(0, 8)) :]
    missing = draw(st.sampled_from([0, 0, 0, 1, -1]))
    length = None if draw(st.integers(0, 9)) else draw(st.integers(0, 2**64 - 1))
    return file_of(raw, bytes(number % 251 for number in range(max(0, end - missing))), length=length)


@SAME_EVERY_TIME
@given(raw=nearly_good_files())
def test_a_nearly_good_file_is_read_as_by_the_formats_reader_or_refused(path: Path, raw: bytes) -> None:
    assert _fault(path, raw) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.sampled_from(list(DTYPES)) | NAMES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES | st.sampled_from(list(entry())), inner, max_size=3)
    ),
    max_leaves=6,
)


@SAME_EVERY_TIME
@given(
    header=st.dictionaries(
        NAMES, JSON | st.builds(entry, JSON, JSON, JSON) | st.builds(entry, shape=JSON), max_size=3
    )
)
@example(header={"a": entry(shape=[2**63], data_offsets=[0, 0])})
@example(header={"a": entry(shape=[0, 2**63], data_offsets=[0, 0])})
@example(header={"a": entry(shape=[2**40, 2**40, 0], data_offsets=[0, 0])})
@example(header={"a": entry("F4", [2, 1], [0, 1])})
@example(header={"a": {**entry(), "b": float("nan")}})
@example(header={"a": entry(), "b": entry()})
@example(header={"\ud800": entry()})
def test_any_json_as_header_is_read_as_by_the_formats_reader_or_refused(
    path: Path, header: dict[str, Any]
) -> None:
    assert _fault(path, file_of(header, bytes(4))) is None
    assert _fault(path, file_of(header)) is None


@SAME_EVERY_TIME
@given(raw=st.binary(max_size=64) | st.binary(max_size=64).map(lambda raw: file_of(raw)))
@example(raw=file_of(b'{"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}'))
@example(raw=file_of(b'{"__metadata__":null,"__metadata__":null}'))
@example(raw=file_of(b"\n {}\t "))
@example(raw=file_of(b"\x0c{}"))
@example(raw=file_of(b"{}\0"))
def test_any_bytes_are_read_as_by_the_formats_reader_or_refused(path: Path, raw: bytes) -> None:
    assert _fault(path, raw) is None


# Configs.


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict):
        return list(ours) == list(theirs) and all(_same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    # Their text tells 1 from 1.0 and from True, and gives NaN its one spelling.
    return repr(ours) == repr(theirs) or (ours == 0 and repr(ours) == "-0.0" and theirs == 0)


def _fault_of_config(path: Path, raw: bytes) -> str | None:
    """What is wrong with how a config of these bytes is read or refused."""
    path.write_bytes(raw)
    try:
        ours = read_config(path)
    except RequestError as error:
        return _fault_of_sentence(str(error))
    theirs = json.loads(raw)
    return None if _same(ours, theirs) else f"ours reads {ours!r}, Python {theirs!r}"


@SAME_EVERY_TIME
@given(config=st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_any_json_object_is_read(path: Path, config: dict[str, Any]) -> None:
    path.write_text(json.dumps(config))
    assert _same(read_config(path), config)


@SAME_EVERY_TIME
@given(
    raw=st.binary(max_size=64)
    | st.text(max_size=64).map(str.encode)
    | JSON.map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_as_config_are_read_as_by_python_or_refused(path: Path, raw: bytes) -> None:
    assert _fault_of_config(path, raw) is None


@SAME_EVERY_TIME
@given(
    config=st.dictionaries(NAMES, JSON, min_size=1, max_size=5),
    piece=st.sampled_from(PIECES),
    place=st.floats(0, 1),
    cut=st.integers(0, 8),
)
def test_a_nearly_good_config_is_read_as_by_python_or_refused(
    path: Path, config: dict[str, Any], piece: bytes, place: float, cut: int
) -> None:
    raw = json.dumps(config).encode()
    at = int(place * len(raw))
    assert _fault_of_config(path, raw[:at] + piece + raw[at + cut :]) is None
