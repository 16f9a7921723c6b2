"""Tensors come out of their file as they went in, and take no memory before they are used."""

import gc
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from paribus.families.files.dtypes import DTYPES
from paribus.families.files.headers import TensorInfo, read_header
from paribus.families.files.mapped import MappedFile

from .checkpoints import entry, file_of, peak_growth, refusal

KNOWN_TO_TORCH = [name for name, dtype in DTYPES.items() if dtype.torch]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def _read(path: Path) -> dict[str, torch.Tensor]:
    mapped = MappedFile(path)
    return {name: mapped.tensor(info) for name, info in read_header(path).tensors.items()}


def _bytes(tensor: torch.Tensor) -> list[int]:
    return tensor.contiguous().view(-1).view(torch.uint8).tolist()


@pytest.mark.parametrize("name", KNOWN_TO_TORCH)
def test_any_dtype_comes_back_as_it_was_saved(path: Path, name: str) -> None:
    dtype = getattr(torch, DTYPES[name].torch or "")
    numbers = torch.arange(64 * dtype.itemsize, dtype=torch.uint8) % (2 if dtype == torch.bool else 251)
    saved = numbers.view(dtype).view(4, 16)
    save_file({"a": saved}, path)
    assert read_header(path).tensors["a"].dtype == name
    read = _read(path)["a"]
    theirs = load_file(path)["a"]
    assert (read.dtype, read.shape) == (saved.dtype, saved.shape) == (theirs.dtype, theirs.shape)
    assert _bytes(read) == _bytes(saved) == _bytes(theirs)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 3, 4)])
def test_any_shape_comes_back_as_it_was_saved(path: Path, shape: tuple[int, ...]) -> None:
    saved = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    save_file({"a": saved, "b": saved.bfloat16()}, path)
    read = _read(path)
    assert torch.equal(read["a"], saved)
    assert torch.equal(read["b"], saved.bfloat16())


def test_a_tensor_at_an_odd_place_is_read_and_lies_where_kernels_expect_it(path: Path) -> None:
    odd = {"a": entry("U8", [1], [0, 1]), "b": entry("F32", [2], [1, 9])}
    data = b"\x07" + torch.tensor([1.5, -2.0]).numpy().tobytes()
    path.write_bytes(file_of(odd, data))
    read = _read(path)
    assert (read["a"].tolist(), read["b"].tolist()) == ([7], [1.5, -2.0])
    assert read["b"].data_ptr() % 4 == 0


def test_changes_to_a_tensor_stay_in_memory(path: Path) -> None:
    save_file({"a": torch.ones(4)}, path)
    before = path.read_bytes()
    read = _read(path)["a"]
    read.mul_(2).requires_grad_()
    assert read.tolist() == [2, 2, 2, 2]
    assert path.read_bytes() == before


def test_a_tensor_outlives_its_file(path: Path) -> None:
    save_file({"a": torch.ones(4)}, path)
    read = _read(path)["a"]
    path.unlink()
    gc.collect()
    assert read.tolist() == [1, 1, 1, 1]


def test_a_format_that_torch_does_not_have_is_refused(path: Path) -> None:
    path.write_bytes(file_of({"a": entry("F6_E2M3", [4], [0, 3])}, bytes(3)))
    assert f"tensor 'a' in {path} is F6_E2M3, a format that torch does not have" in refusal(_read, path)


def test_pairs_of_four_bits_over_an_odd_last_dimension_are_refused(path: Path) -> None:
    path.write_bytes(file_of({"a": entry("F4", [2, 1], [0, 1])}, bytes(1)))
    assert f"tensor 'a' in {path} is F4 of an odd last dimension, 1" in refusal(_read, path)


@pytest.mark.parametrize("share_left", [0, 0.99])
def test_a_file_that_has_shrunk_since_is_refused(path: Path, share_left: float) -> None:
    save_file({"a": torch.ones(4)}, path)
    header = read_header(path)
    os.truncate(path, int(path.stat().st_size * share_left))
    assert f"{path} has become shorter since its header was read" in refusal(
        lambda: MappedFile(path).tensor(header.tensors["a"])
    )


BEFORE = """
from pathlib import Path
import torch
from paribus.families.files.headers import read_header
from paribus.families.files.mapped import MappedFile
torch.ones(10).sum()
path = Path(sys.argv[1])
"""
READ = (
    "mapped = MappedFile(path)\nread = {n: mapped.tensor(i) for n, i in read_header(path).tensors.items()}\n"
)
SIZE = 2**27


@pytest.fixture
def large(path: Path) -> Path:
    """A file of two tensors of 64 MiB each, all zeros."""
    half = SIZE // 2
    header = {name: entry("F32", [half // 4], [at, at + half]) for name, at in (("a", 0), ("b", half))}
    raw = file_of(header)
    path.write_bytes(raw)
    os.truncate(path, len(raw) + SIZE)
    return path


def test_reading_tensors_costs_no_memory(large: Path) -> None:
    assert peak_growth(BEFORE, READ, str(large)) < SIZE // 32


def test_using_tensors_costs_their_size_once(large: Path) -> None:
    grown = peak_growth(BEFORE, READ + "assert sum(t.sum() for t in read.values()) == 0", str(large))
    assert SIZE * 0.9 < grown < SIZE * 1.1


def test_a_place_is_counted_in_bytes_of_the_file(path: Path) -> None:
    path.write_bytes(bytes(range(16)))
    info = TensorInfo(name="a", dtype="U8", shape=(2, 2), file=path, start=3, end=7)
    assert MappedFile(path).tensor(info).tolist() == [[3, 4], [5, 6]]
