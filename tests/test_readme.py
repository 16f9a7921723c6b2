"""The README's code runs, and its counts are those of the registry."""

import re
import runpy
from pathlib import Path

import pytest

from paribus import registry

TEXT = (Path(__file__).parent.parent / "README.md").read_text()


def test_every_line_of_python_runs(tmp_path: Path) -> None:
    script = tmp_path / "readme.py"
    script.write_text("".join(re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)))
    names = runpy.run_path(str(script))
    assert {"swiglu", "model", "gemma_like", "t5_like"} <= names.keys()


@pytest.mark.parametrize(
    ("slot", "words"),
    [
        ("activation", "activations"),
        ("ffn", "feed-forward layers"),
        ("norm", "norms"),
        ("residual", "residual placements"),
        ("position", "position encodings"),
    ],
)
def test_counts_are_those_of_the_built_in_parts(slot: str, words: str) -> None:
    ours = [
        card for card in registry.catalog()[slot].values() if card.factory.__module__.startswith("paribus.")
    ]
    assert re.search(rf"\b{len(ours)}\s+{words}", TEXT), f"the README should say {len(ours)} {words}"
