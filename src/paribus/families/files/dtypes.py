"""The number formats that a safetensors file can name: how wide they are, and what torch calls them."""

from __future__ import annotations

from typing import NamedTuple


class Dtype(NamedTuple):
    """Bits of one number, and its name in torch; None where torch has no such type."""

    bits: int
    torch: str | None


#: Those of safetensors 0.8. F4 holds two numbers in a byte, and torch counts the pairs.
DTYPES = {
    "F64": Dtype(64, "float64"),
    "F32": Dtype(32, "float32"),
    "F16": Dtype(16, "float16"),
    "BF16": Dtype(16, "bfloat16"),
    "F8_E4M3": Dtype(8, "float8_e4m3fn"),
    "F8_E4M3FNUZ": Dtype(8, "float8_e4m3fnuz"),
    "F8_E5M2": Dtype(8, "float8_e5m2"),
    "F8_E5M2FNUZ": Dtype(8, "float8_e5m2fnuz"),
    "F8_E8M0": Dtype(8, "float8_e8m0fnu"),
    "F6_E2M3": Dtype(6, None),
    "F6_E3M2": Dtype(6, None),
    "F4": Dtype(4, "float4_e2m1fn_x2"),
    "C64": Dtype(64, "complex64"),
    "I64": Dtype(64, "int64"),
    "I32": Dtype(32, "int32"),
    "I16": Dtype(16, "int16"),
    "I8": Dtype(8, "int8"),
    "U64": Dtype(64, "uint64"),
    "U32": Dtype(32, "uint32"),
    "U16": Dtype(16, "uint16"),
    "U8": Dtype(8, "uint8"),
    "BOOL": Dtype(8, "bool"),
}
