"""What a pair's kernels take of a GPU, told by the assembler: no GPU is needed to ask.

`python -m paribus.ops.triton.resources` prints the table for the GLU family on Hopper (sm_90).
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from paribus.errors import WorkError
from paribus.ops.pair import Pair, pair
from paribus.ops.triton.kernels import BLOCK, kernels

#: The gated layers of Shazeer 2020 and their successors.
GLU_FAMILY = {
    "glu": pair("sigmoid", "identity"),
    "gtu": pair("tanh", "sigmoid"),
    "bilinear": pair("identity", "identity"),
    "reglu": pair("relu", "identity"),
    "geglu": pair("gelu", "identity"),
    "geglu_tanh": pair("gelu_tanh", "identity"),
    "swiglu": pair("silu", "identity"),
    "swiglu_learnable": pair("swish", "identity", learned=True),
}
_TYPES = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32", torch.float64: "fp64"}


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Of one thread: `registers`, and bytes that found no register and went through memory."""

    kernel: str
    dtype: str
    registers: int
    spill_stores: int
    spill_loads: int


def compiled(kernel: Any, dtype: torch.dtype, *, capability: int = 90) -> dict[str, Any]:
    """The kernel's forms, "ttir" to "ptx", for tensors aligned to 16 bytes and a multiple of 16 long.

    That is what training has; `dtype` is that of g and v, and a beta is in float32.
    """
    wide = tl.float64 if dtype == torch.float64 else tl.float32
    kinds = {
        "n": "i32",
        "beta_ptr": "*fp32",
        "partial_ptr": f"*{wide.name}",
        "WIDE": "constexpr",
        "BLOCK": "constexpr",
    }
    signature = {name: kinds.get(name, f"*{_TYPES[dtype]}") for name in kernel.arg_names}
    aligned: dict[Any, Any] = {
        (at,): [["tt.divisibility", 16]] for at, kind in enumerate(signature.values()) if kind != "constexpr"
    }
    text = ASTSource(kernel, signature, constexprs={"WIDE": wide, "BLOCK": BLOCK}, attrs=aligned)
    return triton.compile(text, target=GPUTarget("cuda", capability, 32)).asm


def resources(kernel: Any, dtype: torch.dtype, *, capability: int = 90) -> Resources:
    """What ptxas, the assembler in triton's own wheel, says of the kernel; raises `WorkError` if it says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(compiled(kernel, dtype, capability=capability)["ptx"])
        said = subprocess.run(
            [
                triton.knobs.nvidia.ptxas.path,
                "-v",
                f"-arch=sm_{capability}{'a' if capability >= 90 else ''}",
                path,
                "-o",
                Path(folder) / "kernel.cubin",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stderr
    return Resources(
        kernel=kernel.fn.__name__,
        dtype=_TYPES[dtype],
        registers=_number(r"Used (\d+) registers", said),
        spill_stores=_number(r"(\d+) bytes spill stores", said),
        spill_loads=_number(r"(\d+) bytes spill loads", said),
    )


def table(pairs: Sequence[Pair], dtypes: Sequence[torch.dtype] = (torch.bfloat16,)) -> list[Resources]:
    """Of the forward and the backward kernel of each pair, in each dtype."""
    return [resources(kernel, dtype) for each in pairs for kernel in kernels(each) for dtype in dtypes]


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise WorkError(f"ptxas said nothing like {pattern!r}: {text}")
    return int(found.group(1))


def main() -> int:
    print(f"{'kernel':45s} {'dtype':6s} registers  spill stores  spill loads")
    for row in table(tuple(GLU_FAMILY.values()), tuple(_TYPES)):
        print(
            f"{row.kernel:45s} {row.dtype:6s} {row.registers:9d}  {row.spill_stores:12d}  {row.spill_loads:11d}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
