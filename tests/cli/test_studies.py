"""`paribus study list | show | compare | export`: one sentence for each mistake, JSON alone on stdout."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.study.conftest import LONGER, write_corpus
from tests.study.folders import SHA256, running, stored_plan, write_finished, write_unfinished

from .studies import Studies, sentence


def _row(shown: str, name: str) -> list[str]:
    """Cells of the table row that begins with this name."""
    line = next(line for line in shown.splitlines() if line.startswith(f"│ {name} "))
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_list_shows_every_study_below_a_folder(studies_in: Studies, tmp_path: Path) -> None:
    write_finished(tmp_path / "runs" / "done")
    write_unfinished(tmp_path / "runs" / "deep" / "half", trials=5)
    (tmp_path / "runs" / "bad").mkdir()
    (tmp_path / "runs" / "bad" / "results.json").write_text("{")
    done = studies_in("list")
    assert (done.returncode, done.stderr) == (0, "")
    assert _row(done.stdout, "done")[1:5] == ["ffn", "text", "2", "12/12"]
    assert _row(done.stdout, "done")[-1] == "better: swiglu"
    assert _row(done.stdout, "deep/half")[4] == "5/12"
    assert "goes on from here" in _row(done.stdout, "deep/half")[-1]
    assert _row(done.stdout, "bad")[-1].startswith("broken: results.json is not whole")


def test_list_gives_one_json_document(studies_in: Studies, tmp_path: Path) -> None:
    write_finished(tmp_path / "there" / "done")
    with running(tmp_path / "there" / "half", trials=5):
        done = studies_in("list", "there", "--json")
    listed = {row["name"]: row for row in json.loads(done.stdout)}
    assert listed["done"]["verdicts"] == {"relu": "baseline", "swiglu": "better"}
    assert listed["done"]["data"] == {"name": "text", "sha256": SHA256}
    assert listed["half"]["trials"] == {"done": 5, "diverged": 0, "failed": 0, "of": 12}
    assert listed["half"]["state"] == "stopped"  # its process holds the ledger, but not the study's lock


def test_list_without_studies_says_so(studies_in: Studies, tmp_path: Path) -> None:
    done = studies_in("list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "there is no study in runs" in done.stderr
    assert json.loads(studies_in("list", "--json").stdout) == []
    assert "nowhere does not exist" in sentence(studies_in("list", "nowhere"))


def test_show_prints_the_verdict_again(studies_in: Studies, tmp_path: Path) -> None:
    folder = write_finished(tmp_path / "runs" / "ffn-text-1a")
    (folder / "report.html").touch()
    done = studies_in("show", "ffn")
    assert done.returncode == 0, done.stderr
    assert "-0.140" in done.stdout
    assert "better" in done.stdout
    assert "On text, this is the answer." in done.stdout
    assert "report: runs/ffn-text-1a/report.html" in done.stdout
    assert json.loads(studies_in("show", "ffn", "--json").stdout)["baseline"] == "relu"


@pytest.mark.parametrize(
    "verdict", ["better", "worse", "same", "cannot tell", "depends on initialisation", "diverged"]
)
def test_show_knows_every_verdict(studies_in: Studies, tmp_path: Path, verdict: str) -> None:
    write_finished(tmp_path / "x", verdicts={"relu": "baseline", "swiglu": verdict})
    assert verdict in studies_in("show", "x").stdout


def test_show_of_a_ladder_shows_its_sizes(studies_in: Studies, tmp_path: Path) -> None:
    def size(label: str, params: int, mean: float) -> dict[str, object]:
        arm = {"mean": mean, "ci95": [mean - 0.01, mean + 0.01], "verdict": "better"}
        return {
            "label": label,
            "params": params,
            "tokens": 10 * params,
            "folder": label,
            "arms": {"swiglu": arm},
        }

    sizes = [size("tiny", 1000, -0.14), size("small", 2000, -0.12)]
    trend = {"arm": "swiglu", "slope": 0.02, "ci95": [0.01, 0.03], "p": 0.01, "sizes": 2}
    ladder = {"tokens_per_parameter": 10.0, "sizes": sizes, "trends": [trend]}
    write_finished(tmp_path / "runs" / "steps", kind="ladder", ladder=ladder)
    shown = studies_in("show", "steps").stdout
    assert "tiny" in shown
    assert "small" in shown


@pytest.mark.parametrize("section", ["length", "stability", "repetition", "ladder"])
@pytest.mark.parametrize("content", [[1], {"arms": 3}, "x"])
def test_show_of_a_section_that_is_none_is_onesentence(
    studies_in: Studies, tmp_path: Path, section: str, content: object
) -> None:
    more = {"kind": "ladder"} if section == "ladder" else {}
    write_finished(tmp_path / "x", **{section: content}, **more)
    assert "the study in x cannot be shown: results.json is not what a study writes" in sentence(
        studies_in("show", "x")
    )


def test_show_of_an_unfinished_study_shows_what_there_is(studies_in: Studies, tmp_path: Path) -> None:
    write_unfinished(tmp_path / "x", trials=5)
    done = studies_in("show", "x")
    assert _row(done.stdout, "relu") == ["relu", "3", "0", "0"]
    assert _row(done.stdout, "swiglu") == ["swiglu", "2", "0", "0"]
    assert "stopped, 5 of 12 trials" in done.stdout
    assert "go on with: paribus study ffn --out x" in done.stdout
    shown = json.loads(studies_in("show", "x", "--json").stdout)
    assert (shown["state"], len(shown["rows"])) == ("stopped", 5)


def test_nothing_from_a_file_reaches_the_terminal_as_an_order(studies_in: Studies, tmp_path: Path) -> None:
    evil = "\x1b[2J[bold][/]\u202e\ud800"
    verdicts = {"relu": "baseline", evil: "better"}
    write_finished(tmp_path / "a", verdicts=verdicts, answer=evil, warnings=[evil], command=evil)
    write_finished(tmp_path / "b", verdicts=verdicts, data={"name": evil, "sha256": "5b"}, metric=evil)
    for arguments in (["list", "."], ["show", "a"], ["compare", "a", "b"]):
        done = studies_in(*arguments)
        assert done.returncode == 0, done.stderr
        assert not {"\x1b", "\u202e", "\ud800"} & set(done.stdout)
        assert "[bold][/]" in done.stdout


def test_compare_puts_two_studies_side_by_side(studies_in: Studies, tmp_path: Path) -> None:
    a = write_finished(tmp_path / "runs" / "a")
    b = write_finished(
        tmp_path / "runs" / "b", verdicts={"relu": "baseline", "swiglu": "worse", "x": "worse"}
    )
    (a / "plan.json").write_text(json.dumps(stored_plan()))
    (b / "plan.json").write_text(json.dumps(stored_plan(seeds=3, code={"torch": "3.0"})))
    done = studies_in("compare", "a", "b")
    assert done.returncode == 0, done.stderr
    assert _row(done.stdout, "seeds") == ["seeds", "[0, 1]", "[0, 1, 2]"]
    assert _row(done.stdout, "torch") == ["torch", "2.0", "3.0"]
    assert _row(done.stdout, "swiglu") == ["swiglu", "better", "worse"]
    assert "-0.140 (-0.190 to -0.090)" in done.stdout
    assert "only in b: x" in done.stdout
    assert json.loads(studies_in("compare", "a", "b", "--json").stdout)["comparable"] is True


def test_compare_shows_studies_on_different_texts_apart(studies_in: Studies, tmp_path: Path) -> None:
    write_finished(tmp_path / "a")
    write_finished(tmp_path / "b", sha256="5b" * 32)
    shown = studies_in("compare", "a", "b").stdout
    assert "Not to be compared: they ran on different texts" in shown
    tables = [line for line in shown.splitlines() if line.startswith("┃ arm")]
    assert [len(line.strip("┃").split("┃")) for line in tables] == [2, 2]


def test_compare_of_many_differences_shows_the_first(studies_in: Studies, tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 2)):
        folder = write_finished(tmp_path / name)
        train = {f"setting{n}": value for n in range(40)}
        (folder / "plan.json").write_text(json.dumps(stored_plan(train=train)))
    shown = studies_in("compare", "a", "b").stdout
    assert shown.count("setting") < 20
    assert "and 28 more" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "x", "--to", "cvs"], "did you mean csv?"),
        (["export", "x", "--to", "parquet"], "needs a file to be written to: --out FILE"),
        (["export", "x", "--to", "wandb"], "needs a folder to be written to: --out FOLDER"),
        (["export", "x", "--to", "wandb", "--out", "o", "--curves"], "always has the curves"),
        (["export", "x", "--to", "csv", "--out", "."], "is a folder; name a file"),
        (["export", "x", "--to", "csv", "--curves"], "ledger.sqlite cannot be read"),
        (["export", "y", "--to", "csv"], "there is no study 'y'"),
        (["show", "y"], "there is no study 'y'"),
        (["show", "."], ". holds no study"),
        (["compare", "x", "broken"], "the study in broken cannot be used: results.json is not whole"),
    ],
)
def test_a_wrong_request_is_onesentence(
    studies_in: Studies, tmp_path: Path, arguments: list[str], said: str
) -> None:
    write_finished(tmp_path / "x")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_text("{")
    assert said in sentence(studies_in(*arguments))


@pytest.mark.parametrize("command", ["list", "show", "compare", "export"])
def test_help_has_an_example(studies_in: Studies, command: str) -> None:
    assert "Example: paribus study " in studies_in(command, "--help").stdout


def test_listing_loads_nothing_heavy(tmp_path: Path) -> None:
    write_finished(tmp_path / "x")
    code = (
        "import sys, pathlib\n"
        "from paribus.cli import studies\n"
        "studies.list_studies(pathlib.Path(sys.argv[1]))\n"
        "print({'torch', 'numpy', 'scipy', 'matplotlib', 'pyarrow'} & {*sys.modules})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.slow
def test_a_real_study_can_be_listed_shown_compared_and_exported(studies_in: Studies, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.txt")
    out = tmp_path / "runs" / "real"
    command = [sys.executable, "-m", "paribus", "study", "ffn", "--arms", "relu,swiglu", "--seeds", "1"]
    subprocess.run(
        [*command, "--data", str(corpus), "--out", str(out), *LONGER],
        check=True,
        capture_output=True,
        env={**os.environ, "PARIBUS_CACHE": str(tmp_path / "cache")},
    )
    shutil.copytree(out, tmp_path / "runs" / "copy")
    listed = {row["name"]: row for row in json.loads(studies_in("list", "--json").stdout)}
    assert {name: row["state"] for name, row in listed.items()} == {"real": "finished", "copy": "finished"}
    shown = studies_in("show", "real").stdout
    assert all(name in shown for name in ("relu", "swiglu", "placebo", "handicap"))
    compared = json.loads(studies_in("compare", "real", "copy", "--json").stdout)
    assert compared["comparable"]
    assert compared["differs"] == {"settings": {}, "data": {}, "code": {}}
    rows = json.loads(studies_in("export", "real", "--to", "json").stdout)
    results = json.loads((out / "results.json").read_text())
    assert len(rows) == listed["real"]["trials"]["of"] == len(results["trials"])
    assert [row["val_bpb"] for row in rows] == [row["val_bpb"] for row in results["trials"]]
    assert [row["run_id"] for row in rows] == [row["run_id"] for row in results["trials"]]
    assert all(row["branch_rms"] > 0 for row in rows)
    points = json.loads(studies_in("export", "real", "--to", "json", "--curves").stdout)
    assert {point["run_id"] for point in points} == {row["run_id"] for row in rows}
    assert studies_in("export", "real", "--to", "tensorboard", "--out", "boards").returncode == 0
    assert len(list((tmp_path / "boards").glob("**/events.*"))) >= len(rows)
