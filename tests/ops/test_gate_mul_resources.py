"""What the generated kernels cost a GPU, asked of its compiler and assembler without one."""

import re

import pytest
import torch

from paribus.ops.pair import ROWS, Pair, pair

triton = pytest.importorskip("triton")

from paribus.ops.triton.kernels import BLOCK, kernels
from paribus.ops.triton.resources import GLU_FAMILY, compiled, table

#: A multiprocessor holds 65,536 registers and 2,048 threads: with 64 a thread half of these run at once, which
#: is enough to keep the memory busy.
REGISTERS = {"bf16": 64, "fp16": 64, "fp32": 64, "fp64": 168}
#: For two curved rows at once, in half precision.
REGISTERS_OF_TWO = 80
FAMILY = pytest.mark.parametrize("pair", GLU_FAMILY.values(), ids=GLU_FAMILY.keys())


def assert_fits(*pairs: Pair, dtypes: tuple[torch.dtype, ...], more: int = 0) -> None:
    for row in table(pairs, dtypes):
        assert row.spill_stores == row.spill_loads == 0, row
        assert 0 < row.registers <= max(more, REGISTERS[row.dtype]), row


@FAMILY
def test_kernels_of_the_glu_family_spill_nothing_on_hopper(pair: Pair) -> None:
    assert_fits(pair, dtypes=(torch.bfloat16,))


@pytest.mark.slow
@FAMILY
def test_kernels_of_the_glu_family_spill_nothing_in_any_dtype(pair: Pair) -> None:
    assert_fits(pair, dtypes=(torch.float16, torch.float32, torch.float64))


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_kernels_of_every_row_spill_nothing(name: str) -> None:
    pairs = pair(name, "identity"), pair("identity", name), pair(name, name)
    assert_fits(*pairs, dtypes=(torch.bfloat16,), more=REGISTERS_OF_TWO)


@FAMILY
def test_each_tensor_is_read_and_written_once_by_16_bytes_and_rounded_to_nearest(pair: Pair) -> None:
    for kernel, reads, writes in zip(kernels(pair), (2, 3), (1, 2), strict=True):
        text = compiled(kernel, torch.bfloat16)["ptx"]
        assert len(re.findall(r"ld\.global\.v4\.b32", text)) == reads
        assert len(re.findall(r"st\.global\.v4\.b32", text)) == writes
        learned = pair.learned, pair.learned and reads == 3  # beta is read, and its partial sum written
        assert len(re.findall(r"ld\.global", text)) == reads + learned[0]
        assert len(re.findall(r"st\.global", text)) == writes + learned[1]
        assert len(re.findall(r"(cvt\.rn|mul)\.bf16x2", text)) == 4 * writes


def test_offsets_have_64_bits() -> None:
    for kernel in kernels(GLU_FAMILY["swiglu"]):
        text = compiled(kernel, torch.bfloat16)["ttir"]
        multiplied = re.findall(r"arith\.muli .* : (\S+)", text)
        assert multiplied == ["i64"]  # the program's number times its length
        moved = re.findall(r"tt\.addptr .* (tensor<\S+>) loc", text)
        assert len(moved) >= 3 and set(moved) == {f"tensor<{BLOCK}xi64>"}
