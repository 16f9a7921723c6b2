"""tiktoken's files of ranks: a line for each piece, its bytes in base64 and its rank. They hold no split."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from paribus.errors import RequestError, shown


def read_ranks(content: bytes, where: str) -> tuple[bytes, ...]:
    """The pieces by rank; `where` names the file in messages.

    Raises `RequestError` for a line that is none, for ranks that are not 0, 1, 2, … each once, and for a file whose first
    256 are not the bytes, in whatever order.
    """
    found: dict[int, bytes] = {}
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            piece, rank = line.split()
            found_rank, decoded = int(rank), base64.b64decode(piece, validate=True)
        except (ValueError, binascii.Error) as error:
            raise RequestError(
                f"{where} is no file of ranks: line {number:,}, {shown(line[:60].decode('latin-1'))!r}, is not a piece "
                "in base64 and its rank"
            ) from error
        if found_rank in found:
            raise RequestError(
                f"{where} gives the rank {found_rank:,} twice, the second time in line {number:,}"
            )
        found[found_rank] = decoded
    if not found or sorted(found) != list(range(len(found))):
        raise RequestError(
            f"{where} has {len(found):,} ranks, and they are not all of 0 to {len(found) - 1:,}"
        )
    pieces = tuple(found[rank] for rank in range(len(found)))
    if len(set(pieces)) < len(pieces):
        raise RequestError(f"{where} has a piece twice")
    if missing := sorted({bytes((value,)) for value in range(256)} - {*pieces[:256]}):
        raise RequestError(
            f"{where} lacks {len(missing)} of the 256 bytes among its first ranks, the first is {missing[0][0]}"
        )
    return pieces


def write_ranks(pieces: Sequence[bytes]) -> bytes:
    """The bytes of a file with these pieces by rank."""
    return b"".join(base64.b64encode(piece) + b" %d\n" % rank for rank, piece in enumerate(pieces))
