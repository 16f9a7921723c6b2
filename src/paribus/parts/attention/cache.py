"""Keys and values that attention has seen, so that generating a token costs one token's work.

Three forms of one thing: all keys, in room that doubles; the last `window` of them, for layers that see no farther;
or the first few and the last, the attention sinks of Xiao et al. 2023 (arXiv:2309.17453). What is kept always lies in
the order of the text, so that masks and biases of the last n keys are those of the whole, cut. Whether keys are kept
as the position encoding has rotated them is attention's to say. Only inference uses a cache: it writes in place.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Beyond its window a cache has this share of room again: what is kept is moved to the front once in so many tokens.
_SLACK = 4


class KeyValueCache:
    """Keys and values [B, G, S, K] of one attention layer, in the dtype they come in.

    Without `window` all are kept; with it the last `window`. With `sinks` the first `sinks` and the last
    `window - sinks`, and `late` is true: keys have another place with each token, so they are rotated when they are
    read. `length` counts what was seen.
    """

    def __init__(self, *, window: int | None = None, sinks: int = 0) -> None:
        assert sinks == 0 or (window is not None and window > sinks), "sinks are part of a window"
        self.length = 0
        self.window, self.sinks = window, sinks
        self._first: tuple[Tensor, Tensor] | None = None
        self._recent = (_Recent(window and window - sinks), _Recent(window and window - sinks))

    @property
    def late(self) -> bool:
        """Whether keys are kept before rotation."""
        return self.sinks > 0

    def visible(self, new: int) -> int:
        """How many keys `extend` gives for so many new tokens: all that one of them may see."""
        if self.window is None:
            return self.length + new
        if self.sinks:
            assert new == 1 or self.length + new <= self.window, (
                "past the window sinks take one token at a time"
            )
            return min(self.length + new, self.window)
        return min(self.length, self.window - 1) + new

    def extend(self, k_BGTK: Tensor, v_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        """The `visible` keys and values, these new ones last."""
        self.visible(k_BGTK.shape[2])
        missing = self.sinks - self.length
        self.length += k_BGTK.shape[2]
        if missing > 0:
            more = (k_BGTK[:, :, :missing], v_BGTK[:, :, :missing])
            held = self._first
            self._first = more if held is None else _joined(held, more)
            k_BGTK, v_BGTK = k_BGTK[:, :, missing:], v_BGTK[:, :, missing:]
        keys, values = self._recent
        recent = (keys.extend(k_BGTK), values.extend(v_BGTK))
        return recent if self._first is None else _joined(self._first, recent)

    def all(self) -> tuple[Tensor, Tensor]:
        """All keys and values that are kept."""
        keys, values = self._recent
        assert keys.held is not None and values.held is not None, "nothing was cached yet"
        recent = (keys.held, values.held)
        return recent if self._first is None else _joined(self._first, recent)


def _joined(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.cat((first[0], second[0]), dim=2), torch.cat((first[1], second[1]), dim=2)


class _Recent:
    """The last `window` of what came, or all of it, in order, at the end of what is used of some room."""

    def __init__(self, window: int | None) -> None:
        self.window = window
        self.held: Tensor | None = None  # a view of the room
        self._room: Tensor | None = None
        self._end = 0

    def extend(self, new: Tensor) -> Tensor:
        """What is held, without what is out of the window of the first new one, and the new."""
        count = new.shape[2]
        before = 0 if self.held is None else self.held.shape[2]
        if self.window is not None:
            before = min(before, self.window - 1)
        if self._room is None or self.held is None or self._end + count > self._room.shape[2]:
            seen = (
                new
                if self.held is None
                else torch.cat((self.held[:, :, self.held.shape[2] - before :], new), 2)
            )
            self._move(seen)
            return seen
        self._room[:, :, self._end : self._end + count] = new
        self._end += count
        seen = self._room[:, :, self._end - before - count : self._end]
        kept = before + count if self.window is None else min(before + count, self.window)
        self.held = seen[:, :, before + count - kept :]
        return seen

    def _move(self, seen: Tensor) -> None:
        """Keep what is in the window at the front of new room."""
        kept = seen if self.window is None else seen[:, :, -self.window :]
        self._end = kept.shape[2]
        room = 2 * self._end if self.window is None else self.window + max(1, self.window // _SLACK)
        self._room = kept.new_empty(*kept.shape[:2], room, kept.shape[3])
        self._room[:, :, : self._end] = kept
        self.held = self._room[:, :, : self._end]
