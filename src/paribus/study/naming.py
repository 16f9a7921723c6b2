"""What trials and runs are called: by hashes of what they are for machines, in a few words for people.

Nothing here knows what a plan is, so that finished studies can be read without loading what runs them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest(value: Any) -> str:
    """sha256 of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def run_id(key: str, *, data: Any, threads: int | None, code: Mapping[str, str] | None) -> str:
    """What names a run anywhere: a hash of its trial's key, what is known of its data, and what ran it."""
    return digest([key, data, threads, code])[:16]


def trial_name(arm: str, rate: float, seed: int) -> str:
    """What a trial is called where people read it."""
    return f"{arm} rate {rate:.4g} seed {seed}"
