"""Every method saves the same bytes under any hash seed and any number of threads."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import pytest

from paribus.text.tokenizers.methods import METHODS

PROGRAM = """
import json, sys
from pathlib import Path
from paribus.text.tokenizers.methods import METHODS, Corpus, train_tokenizer
from paribus.text.tokenizers.recipe import Recipe

text, segmented, names = Path(sys.argv[1]).read_text("utf-8")[:20_000], sys.argv[2], json.loads(sys.argv[3])
for name in names:
    given = {"segmented": segmented} if "segmented" in (METHODS[name].options or {}) else {}
    made = train_tokenizer(Recipe(method=name, vocab_size=600, options=given), Corpus(lambda: [text]))
    print(name, made.files())
"""


def saved(names: Iterable[str], *, seed: int, threads: int) -> list[str]:
    text, segmented = (
        Path(sysconfig.get_path("stdlib"), "argparse.py"),
        Path(__file__).with_name("segmented.txt"),
    )
    number = {name: str(threads) for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(text), str(segmented), json.dumps(list(names))],
        env={**os.environ, **number, "PYTHONHASHSEED": str(seed)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()


@pytest.mark.slow
def test_every_method_saves_the_same_bytes() -> None:
    first = saved(METHODS, seed=1, threads=1)
    assert [line.split()[0] for line in first] == list(METHODS)
    for seed, threads in ((2, 4), (3, 2)):
        again = saved(METHODS, seed=seed, threads=threads)
        assert [one.split()[0] for one, other in zip(first, again, strict=True) if one != other] == []
