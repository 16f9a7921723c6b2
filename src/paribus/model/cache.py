"""What a model remembers of a sequence while it generates: keys, values, and who may see whom.

Only inference uses it: it writes in place. The encoder's output is remembered too, so an encoder-decoder
reads its source once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paribus.parts.attention.cache import KeyValueCache


class Cache:
    """Start with an empty one and hand it to every call of a model: each then needs the new tokens only.

    `length` is the number of tokens seen; `positions`, `valid` and `document` hold what was given of them.
    """

    def __init__(self) -> None:
        self.length = 0
        self.positions: Tensor | None = None
        self.valid: Tensor | None = None
        self.document: Tensor | None = None
        self.memory: Tensor | None = None
        self.memory_valid: Tensor | None = None
        self._layers: dict[tuple[int, str], KeyValueCache] = {}

    def layer(self, index: int, sublayer: str) -> KeyValueCache:
        """The keys and values of one attention layer."""
        return self._layers.setdefault((index, sublayer), KeyValueCache())

    def remember(
        self, position_T: Tensor, valid_BT: Tensor | None, document_BT: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Add what is known of new tokens; what is known of all of them comes back.

        Tokens of which nothing is said are no padding and go on with the last document.
        """
        new = position_T.shape[-1]
        if self.positions is not None:
            rows = torch.broadcast_shapes(self.positions.shape[:-1], position_T.shape[:-1])
            both = (self.positions.expand(*rows, -1), position_T.expand(*rows, -1))
            position_T = torch.cat(both, dim=-1)
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
