"""The benchmarks by name. A suite's libraries are imported when its contenders are made, not before."""

from __future__ import annotations

from paribus.bench.contender import Suite
from paribus.bench.suites import attention, ffn, generate, loss, norm, step, tokenizers

_ALL = (
    ffn.SUITE,
    norm.SUITE,
    loss.SUITE,
    attention.SUITE,
    *step.SUITES,
    *generate.SUITES,
    *tokenizers.SUITES,
)
SUITES: dict[str, Suite] = {suite.name: suite for suite in _ALL}
