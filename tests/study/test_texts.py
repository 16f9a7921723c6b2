"""The text of a study or a run is prepared on all cores, with one result."""

from pathlib import Path

import pytest

from paribus.study import session, texts
from paribus.study.settings import resolve
from paribus.study.single import preparing
from paribus.study.single.settings import resolve as resolve_run

from .conftest import TINY
from .single.conftest import TINY as TINY_RUN

MAKE = {
    "study": lambda data: session.make(
        resolve("default", {"data": data, "arms": ["relu", "swiglu"], "seeds": 1}, [*TINY])
    ),
    "run": lambda data: preparing.make(resolve_run({"data": data}, TINY_RUN)),
}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.usefixtures("small_blocks")
def test_raw_text_is_prepared_on_all_cores_with_one_result(
    kind: str, corpus: Path, pools: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = []
    for number in (1, 3):
        monkeypatch.setattr(texts, "cores", lambda number=number: number)
        monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path / f"cache {number}"))
        made.append(MAKE[kind](str(corpus)).plan)
    assert pools == [3] and made[0] == made[1]
