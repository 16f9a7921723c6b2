"""Keys and values that attention has seen, so that generating a token costs one token's work.

Keys are kept as the position encoding has rotated them. Only inference uses a cache: it writes in place.
"""

from __future__ import annotations

from torch import Tensor


class KeyValueCache:
    """Keys and values [B, G, S, K] of one attention layer; room grows by doubling."""

    def __init__(self) -> None:
        self.length = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def extend(self, k_BGTK: Tensor, v_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values, these new ones last."""
        start, self.length = self.length, self.length + k_BGTK.shape[2]
        self._keys = _roomy(self._keys, k_BGTK, start)
        self._values = _roomy(self._values, v_BGTK, start)
        return self.all()

    def all(self) -> tuple[Tensor, Tensor]:
        """All keys and values so far."""
        assert self._keys is not None and self._values is not None, "nothing was cached yet"
        return self._keys[:, :, : self.length], self._values[:, :, : self.length]


def _roomy(held: Tensor | None, new: Tensor, start: int) -> Tensor:
    """`held` with `new` written from place `start` on, moved to a larger tensor if it must be."""
    end = start + new.shape[2]
    if held is None or held.shape[2] < end:
        larger = new.new_empty(*new.shape[:2], max(end, 2 * start), new.shape[3])
        if held is not None:
            larger[:, :, :start] = held[:, :, :start]
        held = larger
    held[:, :, start:end] = new
    return held
