"""What a model remembers of a sequence while it generates: keys, values, and who may see whom.

Only inference uses it: it writes in place. The encoder's output is remembered too, so an encoder-decoder
reads its source once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from paribus.errors import RequestError
from paribus.parts.attention.cache import KeyValueCache


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the queries of a pass stand and what is known of the keys: positions, padding, documents.

    `length` is how many tokens there are, more than keys where a layer sees a window; `consecutive` says that queries
    and keys are the same places, one after the other; `late` that keys are rotated when they are read.
    """

    query_T: Tensor
    key_S: Tensor
    length: int
    valid_BS: Tensor | None = None
    document_BS: Tensor | None = None
    consecutive: bool = False
    late: bool = False

    def last(self, keys: int) -> Places:
        """The same for the last so many keys."""
        if keys == self.key_S.shape[-1]:
            return self

        def cut(known: Tensor | None) -> Tensor | None:
            return None if known is None else known[..., -keys:]

        return replace(
            self,
            key_S=self.key_S[..., -keys:],
            valid_BS=cut(self.valid_BS),
            document_BS=cut(self.document_BS),
        )


class Cache:
    """Start with an empty one and hand it to every call of a model: each then needs the new tokens only.

    `length` is the number of tokens seen; `positions`, `valid` and `document` hold what was given of them. A layer
    that sees a window keeps no more than its window.

    With `sinks`, every attention layer of the decoder keeps the first `sinks` tokens and the last `window - sinks`,
    at positions 0, 1, ... within what it keeps: the attention sinks of Xiao et al. 2023 (arXiv:2309.17453,
    section 3.2). Until the window is full nothing is lost; after that tokens must come one at a time. Raises
    `RequestError` unless 0 < sinks < window.
    """

    def __init__(self, *, window: int | None = None, sinks: int = 0) -> None:
        if (sinks or window is not None) and not (window is not None and 0 < sinks < window):
            raise RequestError(
                f"a cache with sinks keeps at least one and has a larger window; sinks are {sinks}, window {window}"
            )
        self.window, self.sinks = window, sinks
        self.length = 0
        self.positions: Tensor | None = None
        self.valid: Tensor | None = None
        self.document: Tensor | None = None
        self.memory: Tensor | None = None
        self.memory_valid: Tensor | None = None
        self._layers: dict[tuple[int, str], KeyValueCache] = {}

    def emptied(self) -> Cache:
        """A new cache for another text after the same source."""
        cache = Cache(window=self.window, sinks=self.sinks)
        cache.memory, cache.memory_valid = self.memory, self.memory_valid
        return cache

    def layer(self, index: int, sublayer: str, *, window: int | None = None) -> KeyValueCache:
        """The keys and values of one attention layer, which sees so many of the last."""
        held = self._layers.get((index, sublayer))
        if held is None:
            if self.sinks and sublayer == "attention":
                held = KeyValueCache(window=self.window, sinks=self.sinks)
            else:
                held = KeyValueCache(window=window)
            self._layers[index, sublayer] = held
        return held

    def places(self, new: int, *, device: torch.device) -> tuple[Tensor, Tensor]:
        """With sinks: positions of so many new tokens, and of all that are kept with them."""
        assert self.window is not None
        self.length += new
        kept = torch.arange(min(self.length, self.window), device=device)
        return kept[-new:], kept

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values that are kept, without the room beside them."""
        return sum(tensor.nbytes for held in self._layers.values() for tensor in held.all())

    def remember(
        self, position_T: Tensor, valid_BT: Tensor | None, document_BT: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Add what is known of new tokens; what is known of all of them comes back.

        Tokens of which nothing is said are no padding and go on with the last document.
        """
        new = position_T.shape[-1]
        if self.positions is not None:
            held, given = self.positions, position_T
            if held.ndim != given.ndim:  # from here on, or until here, all rows have the same
                rows = torch.broadcast_shapes(held.shape[:-1], given.shape[:-1])
                held, given = held.expand(*rows, -1), given.expand(*rows, -1)
            position_T = torch.cat((held, given), dim=-1)
        self.positions = position_T
        if document_BT is None and self.document is not None:
            document_BT = self.document[:, -1:].expand(-1, new)
        self.valid = _joined(self.valid, valid_BT, before=self.length, new=new, default=True)
        self.document = _joined(self.document, document_BT, before=self.length, new=new, default=0)
        self.length += new
        return self.positions, self.valid, self.document


def _joined(
    held: Tensor | None, given: Tensor | None, *, before: int, new: int, default: bool | int
) -> Tensor | None:
    """Both in one tensor; where only one of them is there, `default` stands for the other."""
    if held is None and given is None:
        return None
    one = held if given is None else given
    assert one is not None
    held = one.new_full((one.shape[0], before), default) if held is None else held
    given = one.new_full((one.shape[0], new), default) if given is None else given
    return torch.cat((held, given), dim=-1)
