"""The trials of a study as tables: what is in them, what their files are, and what is refused."""

import csv
import io
import json
import math
import os
import resource
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from paribus.errors import RequestError, WorkError
from paribus.study.finished.archive import Study, read
from paribus.study.finished.export import FORMS, curve_rows, encode, trial_rows, write
from paribus.study.folder import LEDGER
from paribus.study.ledger import Ledger
from paribus.study.naming import digest

from .folders import RATES, SHA256, finished_results, key_of, stored_plan, write_finished, write_unfinished


@pytest.fixture
def finished(tmp_path: Path) -> Study:
    return read(write_finished(tmp_path / "study", ledger=True))


def test_every_trial_is_a_row_with_the_scalars_of_both_files(finished: Study) -> None:
    rows = trial_rows(finished)
    assert len(rows) == 12
    first = rows[0]
    assert list(first)[:4] == ["arm", "seed", "lr", "status"]
    assert (first["arm"], first["seed"], first["lr"], first["status"]) == ("relu", 0, RATES[0], "done")
    assert (first["clipped_fraction"], first["dtype"], first["compiled"]) == (0.0, "bfloat16", False)
    assert first["probes.length.reach"] == 0
    assert first["key"] == key_of("relu", RATES[0], 0)
    assert len({row["run_id"] for row in rows}) == 12
    assert all(isinstance(value, str | int | float | None) for row in rows for value in row.values())


def test_what_the_results_say_wins_and_the_ledger_fills_in(finished: Study) -> None:
    rows = trial_rows(finished)
    assert {row["val_bpb"] for row in rows} == {2.5}  # results.json; the ledger of this made-up study differs
    assert {row["tokens"] for row in rows} == {640}


def test_an_unfinished_study_gives_the_trials_it_has(tmp_path: Path) -> None:
    rows = trial_rows(read(write_unfinished(tmp_path / "x", trials=5)))
    assert [row["val_bpb"] for row in rows] == pytest.approx([2.5, 2.51, 2.52, 2.53, 2.54])


def test_trials_that_ran_after_the_results_are_not_lost(finished: Study) -> None:
    with Ledger(finished.folder / LEDGER, plan_sha256="a", plan={}) as ledger:
        ledger.record(
            "later", arm="relu", rate=1.0, seed=9, result={"status": "failed", "reason": "no memory"}
        )
    rows = trial_rows(finished)
    assert len(rows) == 13
    assert (rows[-1]["seed"], rows[-1]["status"], rows[-1]["error"]) == (9, "failed", "no memory")


def test_results_that_travel_alone_are_exported_alone(tmp_path: Path) -> None:
    study = read(write_finished(tmp_path / "x"))
    assert len(trial_rows(study)) == 12
    with pytest.raises(RequestError, match=r"ledger\.sqlite cannot be read: No such file"):
        curve_rows(study)


def test_trials_of_two_schemes_keep_their_own_results(tmp_path: Path) -> None:
    plan = stored_plan(arms=("relu",), schemes=["fan_in", "normal_0.02"])
    folder = tmp_path / "x"
    folder.mkdir()
    rows = []
    with Ledger(folder / LEDGER, plan_sha256="a", plan=plan) as ledger:
        for scheme, rms in (("fan_in", 0.5), ("normal_0.02", 0.1)):
            result = {"status": "done", "val_bpb": 2.5, "branch_rms": rms}
            ledger.record(scheme, arm="relu", rate=0.1, seed=0, result=result)
            run_id = digest([scheme, SHA256, 1, plan["code"]])[:16]
            place = {"arm": "relu", "seed": 0, "lr": 0.1, "status": "done"}
            rows.append(place | {"scheme": scheme, "run_id": run_id})
    results = finished_results() | {"trials": rows}
    (folder / "results.json").write_text(json.dumps(results))
    exported = {row["scheme"]: row["branch_rms"] for row in trial_rows(read(folder))}
    assert exported == {"fan_in": 0.5, "normal_0.02": 0.1}


def test_every_point_of_a_curve_is_a_row_that_names_its_trial(finished: Study) -> None:
    rows = curve_rows(finished)
    assert len(rows) == 24
    assert {key: rows[1][key] for key in ("arm", "seed", "point", "tokens", "seconds", "train_bpb")} == {
        "arm": "relu",
        "seed": 0,
        "point": 1,
        "tokens": 640.0,
        "seconds": 1.0,
        "train_bpb": 5.0,
    }
    assert rows[1]["run_id"] == trial_rows(finished)[0]["run_id"]


@pytest.mark.parametrize(
    "curve", [None, [], "x", {"tokens": 3}, {"tokens": ["a"]}, {"tokens": [], "train_bpb": []}]
)
def test_a_curve_that_is_none_gives_no_points(tmp_path: Path, curve: object) -> None:
    with Ledger(tmp_path / LEDGER, plan_sha256="a", plan=stored_plan()) as ledger:
        ledger.record("k", arm="relu", rate=0.1, seed=0, result={"status": "done", "curve": curve})
    with pytest.raises(RequestError, match="no trial of the study .* has a curve"):
        curve_rows(read(tmp_path))


def test_a_study_without_trials_has_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no finished trial yet"):
        trial_rows(read(write_unfinished(tmp_path / "x", trials=0)))


def test_a_csv_reads_back(finished: Study) -> None:
    rows = trial_rows(finished)
    back = list(csv.DictReader(io.StringIO(encode(rows, "csv").decode())))
    assert [row["arm"] for row in back] == [row["arm"] for row in rows]
    assert [float(row["val_bpb"]) for row in back] == [row["val_bpb"] for row in rows]
    assert back[0]["error"] == ""


def test_a_json_reads_back(finished: Study) -> None:
    assert json.loads(encode(trial_rows(finished), "json")) == trial_rows(finished)


def test_a_parquet_reads_back_with_the_types_of_its_columns(finished: Study, tmp_path: Path) -> None:
    write(encode(trial_rows(finished), "parquet"), tmp_path / "t.parquet")
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.to_pylist() == trial_rows(finished)
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["arm"], types["seed"], types["lr"], types["compiled"]) == (
        "string",
        "int64",
        "double",
        "bool",
    )
    assert types["error"] == "string"  # of nothing but nulls


@pytest.mark.parametrize("form", FORMS)
def test_columns_of_mixed_and_odd_values_can_be_written(form: str) -> None:
    odd: list[Any] = [1, 2.5, None, "x", True, 1 << 70, "\udcff", "a,b\n\"c'"]
    rows = [{"mixed": value, "whole": 1 << 70, "real": number} for number, value in enumerate(odd)]
    rows[1]["real"] = 0.5
    content = encode(rows, form)
    if form == "parquet":
        types = [str(field.type) for field in pq.read_table(io.BytesIO(content)).schema]
        assert types == ["string", "double", "double"]


def test_parquet_without_its_package_names_the_extra(
    finished: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RequestError, match=r"pip install 'paribus\[parquet\]'"):
        encode(trial_rows(finished), "parquet")


def test_another_form_is_refused_with_the_nearest(finished: Study) -> None:
    with pytest.raises(RequestError, match=r"'cvs'; did you mean csv\?"):
        encode(trial_rows(finished), "cvs")


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    out = tmp_path / "new" / "t.csv"
    write(b"old", out)
    write(b"new", out)
    assert out.read_bytes() == b"new"
    assert [item.name for item in out.parent.iterdir()] == ["t.csv"]
    mask = os.umask(0)
    os.umask(mask)
    assert out.stat().st_mode & 0o777 == 0o666 & ~mask


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="is a folder; name a file"):
        write(b"x", tmp_path)
    with pytest.raises(WorkError, match="cannot be written: "):
        write(b"x", tmp_path / "file" / "t.csv")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on file size stands for a disk that fills up."""
    out = tmp_path / "t.csv"
    write(b"old", out)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(WorkError, match="cannot be written: File too large"):
            write(b"x" * 100_000, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == {"t.csv": b"old"}


def test_infinities_in_a_ledger_are_unknown(tmp_path: Path) -> None:
    with Ledger(tmp_path / LEDGER, plan_sha256="a", plan=stored_plan()) as ledger:
        ledger.record(
            "k", arm="relu", rate=0.1, seed=0, result={"status": "diverged", "branch_rms": math.inf}
        )
    rows = trial_rows(read(tmp_path))
    assert rows[0]["branch_rms"] is None
    assert json.loads(encode(rows, "json")) == rows
