"""`paribus bench verdict` as a person runs it, and the page that it makes."""

import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paribus.cli import bench
from paribus.errors import RequestError
from paribus.study.calibration import bank as banks
from paribus.study.calibration import simulation as calibration
from paribus.study.calibration.page import percent
from tests.study.test_bank import rows_of, write

RUNNER = CliRunner(env={"COLUMNS": "200"})
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "calibration.md"
#: Sure to pass: no arm is equal, so that only a wrong sign would be false.
SURE = calibration.Setting(name="sure", about="a sure thing", truth={"arm": -60.0, "handicap": 60.0})
#: Sure to fail: noise of which one arm in ten has thirty times as much, held to the limit.
WILD = calibration.Setting(name="wild", about="", noisier={"arm 1": 30.0}, looks=((4, 0.4),))


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """One setting of each kind and few partitions: the real ones take minutes."""
    monkeypatch.setattr(calibration, "SETTINGS", (SURE,))
    monkeypatch.setattr(calibration, "POWER_SETTINGS", calibration.POWER_SETTINGS[:1])
    monkeypatch.setattr(banks, "PARTITIONS", 10)


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return write(tmp_path / "bank", rows_of())


def run(*arguments: object):
    return RUNNER.invoke(
        bench.app, ["verdict", "--simulations", "60", "--workers", "1", *map(str, arguments)]
    )


def test_the_table_says_what_passed_and_the_exit_code_is_0(bank):
    result = run("--bank", bank)
    assert result.exit_code == 0, result.output
    (sure,) = [line for line in result.stdout.splitlines() if line.split()[:1] == ["sure"]]
    assert sure.split()[-1] == "pass" and "0.00%" in sure
    assert "handicap_95" in result.stdout and "100 % (" in result.stdout
    assert "pass: In 1 of 1 kinds of simulated studies" in result.stdout
    assert "judging 199 studies in 1 process" in result.stderr  # 60, 49 for power, 10 x (5 + 2 + 2)


def test_json_is_one_document_and_the_same_again(bank):
    first, second = (run("--bank", bank, "--json", "--seed", "3") for _ in range(2))
    documents = [json.loads(result.stdout, parse_constant=pytest.fail) for result in (first, second)]
    for document in documents:
        assert document.pop("seconds") > 0
    assert documents[0] == documents[1]
    document = documents[0]
    assert document["passed"] is True and document["seed"] == 3 and document["simulations"] == 60
    assert [row["name"] for row in document["settings"]] == ["sure"]
    assert [row["studies"] for row in document["power"]] == [calibration.FEWEST]
    assert document["bank"]["arms"] == ["relu", "placebo", "handicap", "handicap_95"]
    assert {"cpu", "python", "numpy", "scipy"} <= document["ran_on"].keys()


def test_without_a_bank_only_the_simulations_are_held_to_the_line():
    result = run("--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0 and document["bank"] is None
    assert document["sentences"][-1] == "No bank was given, so nothing is said of real losses."


def test_false_verdicts_over_the_limit_end_with_code_1(monkeypatch, bank):
    monkeypatch.setattr(calibration, "SETTINGS", (SURE, WILD))
    result = run("--bank", bank)
    assert result.exit_code == 1 and "FAIL: " in result.stdout and "“wild”" in result.stdout


def test_a_setting_that_is_shown_only_is_not_held_to_the_limit(monkeypatch):
    monkeypatch.setattr(calibration, "SETTINGS", (SURE, dataclasses.replace(WILD, held=False)))
    result = run()
    assert result.exit_code == 0 and "not held to it" in result.stdout


def test_a_handicap_that_is_not_found_ends_with_code_1(tmp_path):
    bank = write(tmp_path / "bank", rows_of(shift={"handicap": 0.0}))
    result = run("--bank", bank)
    assert result.exit_code == 1 and "handicap was found in 0.0 %" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--bank", "nowhere"], "the bank nowhere is not there"),
        (["--bank", "."], "holds no results.json"),
        (["--simulations", "10"], "10 simulations cannot show"),
        (["--out", "."], "is a folder; give a file"),
        (["--out", "no/such/page.md"], "there is no folder no/such"),
    ],
)
def test_a_wrong_request_is_one_sentence_before_any_work(tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert isinstance(result.exception, RequestError) and sentence in str(result.exception)
    assert "\n" not in str(result.exception) and result.stdout == ""


def test_help_has_examples_and_loads_nothing_heavy():
    code = (
        "import sys; from paribus.cli.bench import app\n"
        "try: app(['verdict', '--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'numpy', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Example: paribus bench verdict" in done.stdout and done.stdout.endswith("[]\n")


def test_help_of_the_group_shows_both_kinds_of_benchmark():
    shown = RUNNER.invoke(bench.app, ["--help"]).stdout
    assert "Example: paribus bench ffn" in shown and "Example: paribus bench verdict" in shown


def test_ctrl_c_stops_with_code_130_and_no_traceback(tmp_path):
    code = "from paribus.cli.bench import app; app()"
    out = tmp_path / "page.md"
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a background job's is ignored, and inherited
    process = subprocess.Popen(
        [sys.executable, "-c", code, "verdict", "--workers", "2", "--out", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, before)
    assert process.stderr is not None
    assert (line := process.stderr.readline()).startswith("judging "), line + process.stderr.read()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the worker processes too
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and stdout == "" and not out.exists()
    assert stderr.endswith("stopped; nothing was written\n") and "Traceback" not in stderr, stderr


# -- the page


def table(text: str, heading: str) -> list[dict[str, str]]:
    """The first table after a heading, by the words of its head."""
    rows = re.search(rf"^## {heading}$.*?^(\|.*?)\n\n", text, re.DOTALL | re.MULTILINE)[1].splitlines()
    head, rule, *body = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert len(head) == len(rule) and all(len(row) == len(head) for row in body)
    return [dict(zip(head, row, strict=True)) for row in body]


def test_the_page_has_the_command_and_the_numbers(bank, tmp_path):
    out = tmp_path / "page.md"
    result = run("--bank", bank, "--out", out, "--json")
    document, text = json.loads(result.stdout), out.read_text()
    command = shlex.join(["paribus", "bench", "verdict", "--bank", str(bank), "--simulations", "60"])
    assert f"$ {command} --out {out}\n" in text and document["command"] in text
    (row,) = table(text, "Simulated studies")
    assert (row["setting"], row["studies"], row["false"], row["rate"]) == ("sure", "60", "0", "0.00 %")
    assert [row["2 sd"] for row in table(text, "What is found")]
    assert [row["n"] for row in table(text, "Real losses")] == ["4", "8", "10"]
    assert "{{" not in text and "None" not in text and "Undefined" not in text
    assert list(tmp_path.glob(".*")) == []


def test_an_arm_on_fewer_tokens_is_shown_with_its_share(tmp_path):
    tokens = {"arms": [{"name": "relu", "tokens": 400}], "controls": [{"name": "handicap", "tokens": 300}]}
    out = tmp_path / "page.md"
    result = run("--bank", write(tmp_path / "bank", rows_of(), **tokens), "--out", out)
    assert "handicap (75 % of the tokens), found | handicap_95, found" in out.read_text()
    assert "75 %" in result.stdout


def test_a_page_without_a_bank_says_how_one_is_made(tmp_path):
    out = tmp_path / "page.md"
    run("--out", out)
    assert "No bank was given" in out.read_text() and "--seeds 40" in out.read_text()


def test_the_page_in_docs_holds_and_is_about_the_settings_there_are(monkeypatch):
    monkeypatch.undo()
    text = PAGE.read_text()
    assert re.search(r"^\$ paribus bench verdict .*--out docs/calibration\.md$", text, re.MULTILINE)
    assert "**The pass line: holds.**" in text
    rows = table(text, "Simulated studies")
    assert [row["setting"].removesuffix(" ‡") for row in rows] == [s.name for s in calibration.SETTINGS]
    assert [row["setting"].endswith("‡") for row in rows] == [not s.held for s in calibration.SETTINGS]
    for row in rows:
        false, studies = int(row["false"]), int(row["studies"])
        assert studies >= 20_000 and row["rate"] == percent(false / studies, 2)
        assert row["at most"] == percent(calibration.upper_limit(false, studies), 2)


@pytest.mark.slow
def test_the_page_in_docs_says_what_the_bank_beside_it_gives(tmp_path, monkeypatch):
    monkeypatch.setattr(banks, "PARTITIONS", 500)
    out = tmp_path / "page.md"
    result = run("--bank", ROOT / "examples" / "bank", "--out", out)
    assert result.exit_code == 0, result.output
    made, kept = (path.read_text().partition("## Real losses")[2] for path in (out, PAGE))
    assert made == kept
