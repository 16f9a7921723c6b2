"""From a user's text to batches: prepare once, then every batch is a pure function of (data, seed, step, rank).

dataset = prepare("my.txt", tokenizer=get_tokenizer("bytes"), cache=default_cache())
check_size(dataset, seq_len=64, batch_size=16)
ids = batch(dataset.train, seed=0, step=0, batch_size=16, seq_len=64)   # inputs ids[:, :-1], targets ids[:, 1:]
"""

from paribus.text.data.dataset import Dataset, load_dataset
from paribus.text.data.evaluation import check_size, heldout_window_groups, heldout_windows
from paribus.text.data.preparing import prepare
from paribus.text.data.reuse import default_cache
from paribus.text.data.sampling import batch
from paribus.text.data.shards import Split
from paribus.text.data.unigram import unigram_bits_per_byte

__all__ = [
    "Dataset",
    "Split",
    "batch",
    "check_size",
    "default_cache",
    "heldout_window_groups",
    "heldout_windows",
    "load_dataset",
    "prepare",
    "unigram_bits_per_byte",
]
