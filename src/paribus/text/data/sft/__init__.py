"""Conversations for fine-tuning: jsonl -> token ids with a loss mask -> packed rows, with every token accounted for.

packed = pack("chats.jsonl", "chats-packed", tokenizer=get_tokenizer("bytes"), seq_len=512)
rows = packed.dataset.train.rows(np.arange(4))   # ids, scored, position and document, each [4, 512]
"""

from paribus.text.data.sft.build import LOSSES, Packed, pack
from paribus.text.data.sft.dataset import (
    PADDING,
    PackedDataset,
    PackedSplit,
    Rows,
    check_packed,
    is_packed,
    load_packed,
)
from paribus.text.data.sft.overflow import OVERFLOWS
from paribus.text.data.sft.packing import Packing, best_fit_decreasing
from paribus.text.data.sft.rows import Fields
from paribus.text.data.sft.sampling import batch_rows, spread_rows, subset

__all__ = [
    "LOSSES",
    "OVERFLOWS",
    "PADDING",
    "Fields",
    "Packed",
    "PackedDataset",
    "PackedSplit",
    "Packing",
    "Rows",
    "batch_rows",
    "best_fit_decreasing",
    "check_packed",
    "is_packed",
    "load_packed",
    "pack",
    "spread_rows",
    "subset",
]
