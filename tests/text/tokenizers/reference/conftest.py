"""A corpus that every machine has: sources of Python's own library, in words by a rule that all libraries share."""

from __future__ import annotations

import argparse
import re
import string
from collections import Counter
from pathlib import Path

import pytest

# ASCII classes only: every regex engine agrees on them.
PATTERN = r" ?[A-Za-z]+| ?[0-9]+| ?[^A-Za-z0-9\s]+|\s+"


@pytest.fixture(scope="session")
def text() -> str:
    source = "".join(Path(str(module.__file__)).read_text("utf-8") for module in (string, argparse))
    return source[:40_000] + " Grüße, 世界! naïve café 世界"


@pytest.fixture(scope="session")
def words(text: str) -> dict[str, int]:
    return dict(Counter(re.findall(PATTERN, text)))
