"""`paribus study export`: tables and runs of studies and ladders."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from tests.study.folders import write_finished, write_unfinished

from .studies import Studies, sentence


def test_export_writes_to_stdout_or_a_file(studies_in: Studies, tmp_path: Path) -> None:
    write_finished(tmp_path / "x", ledger=True)
    rows = list(csv.DictReader(io.StringIO(studies_in("export", "x", "--to", "csv").stdout)))
    assert len(rows) == 12
    assert len(json.loads(studies_in("export", "x", "--to", "json", "--curves").stdout)) == 24
    done = studies_in("export", "x", "--to", "parquet", "--out", tmp_path / "out" / "t.parquet")
    assert (done.returncode, done.stdout) == (0, "")
    assert "12 rows" in done.stderr
    assert (tmp_path / "out" / "t.parquet").read_bytes().startswith(b"PAR1")


def test_export_to_a_mirror_writes_runs(studies_in: Studies, tmp_path: Path) -> None:
    write_unfinished(tmp_path / "x", trials=2)
    done = studies_in("export", "x", "--to", "tensorboard", "--out", "boards")
    assert done.returncode == 0, done.stderr
    assert "2 runs: boards/tensorboard" in done.stderr
    assert len(list((tmp_path / "boards").rglob("events.out.tfevents.*"))) == 2


@pytest.fixture
def ladder(tmp_path: Path) -> Path:
    """A ladder of two sizes, with a study of its own for each."""
    for size in ("8k", "16k"):
        write_finished(tmp_path / "steps" / size, ledger=True)
    return write_finished(tmp_path / "steps", kind="ladder")


@pytest.mark.parametrize(
    "how", [["csv", "--curves"], ["json", "--curves"], ["tensorboard", "--out", "o"], ["wandb", "--out", "o"]]
)
def test_an_export_that_a_ladder_cannot_give_names_its_sizes(
    studies_in: Studies, tmp_path: Path, ladder: Path, how: list[str]
) -> None:
    said = sentence(studies_in("export", "steps", "--to", *how))
    assert said.endswith("one of its sizes: steps/16k or steps/8k")
    assert not (tmp_path / "o").exists()
    assert studies_in("export", "steps/8k", "--to", *how).returncode == 0
    for size in ("8k", "16k"):
        shutil.rmtree(ladder / size)
    assert "whose folders are not there" in sentence(studies_in("export", "steps", "--to", *how))


def test_the_table_of_a_ladder_says_whose_trials_it_has(studies_in: Studies, ladder: Path) -> None:
    done = studies_in("export", "steps", "--to", "csv")
    assert len(list(csv.DictReader(io.StringIO(done.stdout)))) == 12
    assert "those of its largest size" in done.stderr


def test_a_folder_that_holds_studies_and_is_none_names_them(studies_in: Studies, ladder: Path) -> None:
    (ladder / "results.json").unlink()  # as a ladder is before it has ended
    assert sentence(studies_in("export", "steps", "--to", "csv")).endswith("; inside it are 16k, 8k")


@pytest.mark.parametrize("to", ["tensorboard", "wandb"])
def test_runs_are_not_exported_into_a_file(studies_in: Studies, tmp_path: Path, to: str) -> None:
    write_finished(tmp_path / "x", ledger=True)
    (tmp_path / "o").write_text("mine")
    assert "o is a file; an export to" in sentence(studies_in("export", "x", "--to", to, "--out", "o"))
    assert (tmp_path / "o").read_text() == "mine"
