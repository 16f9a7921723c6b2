"""What a model is asked to do with windows of token ids: which ids it sees, and which of them are scored.

objective = get_objective("span_corruption")
examples = objective.examples(windows, seed=0, step=0, tokenizer_vocab=257)   # inputs, targets, source
model_vocab = objective.vocab_size(257, seq_len=512)                          # with the ids it adds

Only numpy is used here: an example is made of ids. The loss and the model belong elsewhere.
"""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from paribus.errors import RequestError, nearest
from paribus.train.objectives.base import IGNORE, Examples, Lengths, Objective
from paribus.train.objectives.extra_ids import end_id, mask_id, sentinel_id, start_id
from paribus.train.objectives.masked_token import MaskedToken
from paribus.train.objectives.next_token import NextToken
from paribus.train.objectives.sequence_to_sequence import SequenceToSequence, pairs
from paribus.train.objectives.span_corruption import SpanCorruption

#: Every objective by its name; the first of an architecture is what such a model does by default.
OBJECTIVES: Mapping[str, type[Objective]] = MappingProxyType(
    {kind.name: kind for kind in (NextToken, MaskedToken, SpanCorruption, SequenceToSequence)}
)


def get_objective(name: str, **options: Any) -> Objective:
    """The objective of this name with these options; `RequestError` for an unknown name or option."""
    if name not in OBJECTIVES:
        raise RequestError(f"there is no objective called {name!r}; {nearest(name, OBJECTIVES)}")
    allowed = [field.name for field in dataclasses.fields(OBJECTIVES[name])]
    for option in options:
        if option not in allowed:
            known = nearest(option, allowed) if allowed else "it has none"
            raise RequestError(f"the objective {name!r} has no option {option!r}; {known}")
    return OBJECTIVES[name](**options)


__all__ = [
    "IGNORE",
    "OBJECTIVES",
    "Examples",
    "Lengths",
    "MaskedToken",
    "NextToken",
    "Objective",
    "SequenceToSequence",
    "SpanCorruption",
    "end_id",
    "get_objective",
    "mask_id",
    "pairs",
    "sentinel_id",
    "start_id",
]
