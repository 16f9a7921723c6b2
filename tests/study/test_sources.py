from pathlib import Path

import pytest

from paribus.errors import WorkError
from paribus.study.plan import VERSIONS
from paribus.study.session import make
from paribus.study.settings import resolve
from paribus.study.sources import UneditedLauncher

from .conftest import TINY, InlineLauncher, outcome

PART = (
    "from paribus import FeedForward\nclass Part(FeedForward):\n    def forward(self, x):\n        return x\n"
)


@pytest.mark.parametrize("edited", [True, False])
def test_an_edited_part_ends_the_run_and_one_only_touched_does_not(
    corpus: Path, tmp_path: Path, edited: bool
) -> None:
    part = tmp_path / "part.py"
    part.write_text(PART)
    settings = resolve("default", {"data": str(corpus), "arms": ["relu", f"{part}:Part"], "seeds": 1}, TINY)
    prepared = make(settings)
    assert prepared.data is not None
    assert set(prepared.plan.code) == {*VERSIONS, str(part)}
    inline = InlineLauncher(prepared.data, tmp_path, lambda trial: outcome(2.0))
    trials = prepared.plan.trials(prepared.plan.rates)[:3]
    running = UneditedLauncher(inline, prepared.plan.code).run(trials, progress=lambda tokens: None)
    next(running)
    part.write_text(PART.replace("return x", "return 2 * x") if edited else PART)
    if edited:
        with pytest.raises(WorkError, match=r"part\.py was changed while the study ran"):
            next(running)
    else:
        assert len(list(running)) == 2
    part.unlink()
    with pytest.raises(WorkError, match="was changed"):
        next(UneditedLauncher(inline, prepared.plan.code).run(trials, progress=lambda tokens: None))
