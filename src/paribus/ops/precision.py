"""In which dtypes a device multiplies fast."""

from __future__ import annotations

from typing import Literal

import torch


def fast_dtype(device_type: str) -> Literal["bfloat16", "float32"]:
    """What `auto` stands for: "bfloat16" where the device multiplies in it, else "float32"."""
    return "bfloat16" if multiplies_in_bfloat16(device_type) else "float32"


def multiplies_in_bfloat16(device_type: str) -> bool:
    """Whether the device has products of bfloat16 of its own.

    A CPU without them makes each number float32 and back: there products of matrices were seen to take
    twenty times as long as in float32.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported()
