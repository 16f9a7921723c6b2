from pathlib import Path

import pytest

from paribus.errors import RequestError
from paribus.study import session
from paribus.study.plan import Plan
from paribus.study.settings import resolve
from paribus.text.data import Dataset

from .conftest import TINY, write_corpus

Planned = tuple[Plan, Dataset]


def test_the_plan_names_its_text_by_content(corpus: Path, tmp_path: Path, planned: Planned) -> None:
    plan, data = planned
    copy = tmp_path / "copy.txt"
    copy.write_bytes(corpus.read_bytes())
    other = session.make(
        resolve("default", {"data": str(copy), "arms": ["relu", "swiglu"], "seeds": 1}, TINY)
    )
    assert plan.data["sha256"] == data.sha256 == other.plan.data["sha256"]
    copy.write_text(copy.read_text() + "one more line\n")
    changed = session.make(resolve("default", {"data": str(copy), "seeds": 1}, TINY))
    assert changed.plan.data["sha256"] != data.sha256


def test_what_cannot_fit_is_refused_before_any_text_is_read(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.txt")
    with pytest.raises(RequestError, match="GiB"):
        session.make(resolve("default", {"data": missing}, ["model.d_model=3000000"]))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return x[x > 0].sum().item() * x", "'Part' cannot be run"),
        ("return x.reshape(7, 11)", "'Part' cannot be run: RuntimeError"),
    ],
)
def test_a_part_that_cannot_work_is_refused_before_any_training(
    corpus: Path, tmp_path: Path, body: str, said: str
) -> None:
    part = tmp_path / "part.py"
    part.write_text(
        "from paribus import FeedForward\n"
        "class Part(FeedForward):\n"
        f"    def forward(self, x):\n        {body}\n"
    )
    with pytest.raises(RequestError, match=said):
        session.make(resolve("default", {"data": str(corpus), "arms": ["relu", f"{part}:Part"]}, TINY))


def test_a_part_without_roles_is_refused_before_any_training(corpus: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.py"
    part.write_text(
        "import torch\n"
        "class Part(torch.nn.Module):\n"
        "    def __init__(self, *, d_model, d_ff):\n"
        "        super().__init__()\n"
        "        self.up = torch.nn.Linear(d_model, d_ff, bias=False)\n"
        "        self.down = torch.nn.Linear(d_ff, d_model, bias=False)\n"
        "    def forward(self, x):\n        return self.down(self.up(x))\n"
    )
    with pytest.raises(RequestError, match=r"nothing says how .*up.weight starts"):
        session.make(resolve("default", {"data": str(corpus), "arms": ["relu", f"{part}:Part"]}, TINY))


def test_a_changed_part_is_another_study(corpus: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.py"
    source = "from paribus import FeedForward\nclass Part(FeedForward):\n    pass\n"
    hashes = []
    for text in (source, source, source + "# changed\n"):
        part.write_text(text)
        settings = resolve("default", {"data": str(corpus), "arms": ["relu", f"{part}:Part"]}, TINY)
        hashes.append(session.make(settings).plan.sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_this_machine_decides_is_part_of_the_plan(prepared: session.Prepared, corpus: Path) -> None:
    assert prepared.plan.train.dtype in ("bfloat16", "float32")
    assert prepared.plan.train.compile == "off"
    more = session.make(
        resolve("default", {"data": str(corpus), "arms": ["relu", "swiglu"], "seeds": 1}, TINY), threads=2
    )
    assert more.plan.sha256 != prepared.plan.sha256
    fewer = session.make(
        resolve("default", {"data": str(corpus), "arms": ["relu", "swiglu"], "seeds": 1}, TINY),
        workers=1,
        threads=prepared.division.threads,
    )
    assert fewer.plan.sha256 == prepared.plan.sha256


def test_studies_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    write_corpus(tmp_path / "notes" / "a.txt")
    (tmp_path / "notes" / "b.txt").write_text("another text\n" * 400)
    settings = resolve("default", {"data": str(tmp_path / "notes")}, TINY)
    before = session.make(settings, leave_out=[tmp_path / "notes" / "runs"]).plan.data["sha256"]
    (tmp_path / "notes" / "runs").mkdir()
    (tmp_path / "notes" / "runs" / "report.md").write_text("a verdict\n" * 400)
    assert session.make(settings, leave_out=[tmp_path / "notes" / "runs"]).plan.data["sha256"] == before
    assert session.make(settings).plan.data["sha256"] != before


def test_failed_trials_are_counted_in_one_sentence() -> None:
    rows = [
        {"arm": "relu", "lr": 1e-3, "seed": 0, "status": status, "error": "boom"}
        for status in ("failed", "done")
    ]
    error = session.failed_trials({"trials": rows})
    assert error is not None and "1 of 2 trials failed" in str(error) and "boom" in str(error)
    assert session.failed_trials({"trials": rows[1:]}) is None
