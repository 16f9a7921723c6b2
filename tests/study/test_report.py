"""The four files of a report: strict and complete data, escaped pages, honest order, fit for a phone."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
import re
import shutil
import subprocess
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.study.pages.report import answer, write_report

from .studies import arm, complete, depth, ladder, position, repetition, study, thirty, tokenizers, usual

HOSTILE = "<script>alert(1)</script> \"a|b\" 'x' `y` $z$ {{ 7*7 }} \u202e\x00 & <img src=x onerror=alert(1)>"


def one_seed() -> dict[str, Any]:
    unknown = {"smallest_detectable_difference": None, "to_halve": None, "answer": None}
    return study(arm("swiglu", seeds=1), arm("gelu", seeds=1), seeds=1) | unknown


def unfinished() -> dict[str, Any]:
    """No more than the schema requires."""
    arms = [{"name": "relu", "verdict": "baseline"}, {"name": "gelu", "verdict": "cannot tell"}]
    trials = [{"arm": "gelu", "seed": 0, "lr": 0.003, "status": "failed", "error": "MemoryError"}]
    return {"study": "ffn", "metric": "val_bpb", "baseline": "relu", "arms": arms, "trials": trials}


def hostile() -> dict[str, Any]:
    blown = arm(HOSTILE, verdict="diverged") | {"difference": None, "mean": math.nan, "reason": HOSTILE}
    blown["by_rate"][2] |= {"mean": math.inf, "values": [math.nan] * 4}
    results = study(blown, arm("long_name_" * 30)) | {"command": HOSTILE + "\n```", "question": HOSTILE}
    results["trials"][0] |= {"status": "failed", "error": HOSTILE}
    results |= {"answer": None, "data": {"name": HOSTILE}, "environment": {"cpu": HOSTILE}}
    return results | {"warnings": [HOSTILE], "held_equal": [HOSTILE], "training": {HOSTILE: HOSTILE}}


def few_seeds() -> dict[str, Any]:
    """Two seeds: a difference without an interval, and one whose interval is not a number."""
    results = study(arm("gelu", -0.01, seeds=2), arm("swiglu", -0.1, seeds=2), seeds=2)
    results["arms"][1]["difference"] |= {"ci95": None, "p_adjusted": None}
    results["arms"][2]["difference"] |= {"ci95": [math.nan, math.nan], "p_adjusted": math.nan}
    return results | {"controls": None, "warnings": None, "environment": None}


def failed_control() -> dict[str, Any]:
    results = usual() | {"warnings": ["Cores were shared.", "The placebo differs: look for a leak."]}
    results["controls"][0] |= {"ok": False, "verdict": "worse"}
    return results


def of_a_command() -> dict[str, Any]:
    """A study of the user's own program, of whose insides nothing is known."""
    results = complete() | {"training": {"objective": "the program's own"}}
    unknown = ("rate_sensitivity", "branch_rms", "clipped_fraction", "d_ff", "slot_params", "slot_mismatch")
    unknown += ("params", "flops_per_token", "tokens_per_second", "peak_memory_bytes")
    return results | {"arms": [row | dict.fromkeys(unknown) for row in results["arms"]]}


STATES = [usual, one_seed, few_seeds, unfinished, thirty, hostile, failed_control, of_a_command]
KINDS = [complete, position, depth, repetition, ladder, tokenizers]
MORE = [position, repetition, ladder]


class Page(HTMLParser):
    """Reads a page, and fails on a tag that closes what is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))  # <path/>: opens nothing

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module", params=STATES + KINDS, ids=lambda make: make.__name__)
def html(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(request.param(), tmp_path_factory.mktemp("report"), "report.html")


def written(results: dict[str, Any], out: Path, name: str) -> str:
    return write_report(results, out)[name].read_text("utf-8")


def test_every_tag_of_the_page_is_closed_and_every_id_is_unique(html: str) -> None:
    page = Page(html)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert page.open == [] and len(ids) == len(set(ids))


def test_the_page_loads_nothing_and_runs_its_own_script_only(html: str) -> None:
    page = Page(html)
    for tag, attrs in page.tags:
        assert tag not in {"link", "iframe", "object", "img"}
        assert not [name for name in attrs if name.startswith("on")]
        targets = [value or "" for name, value in attrs.items() if name in {"src", "href", "xlink:href"}]
        assert all(target.startswith("#") for target in targets), targets
    assert not re.findall(r"@import|url\((?!#)", html)
    (script,) = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [attrs["content"] for _, attrs in page.tags if "http-equiv" in attrs]
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_hostile_text_is_shown_as_text(tmp_path: Path) -> None:
    text = " ".join(Page(written(hostile(), tmp_path, "report.html")).text.split())
    assert text.count("<script>alert(1)</script> \"a|b\" 'x' `y` $z$ {{ 7*7 }}") > 5
    assert "\u202e" not in text and "\x00" not in text


def test_markdown_keeps_its_tables_and_fences_whatever_a_name_contains(tmp_path: Path) -> None:
    text = written(hostile(), tmp_path, "report.md")
    for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(widths) == 1, table
    fence = re.search(r"^(`{3,})\n(.*?)\n\1$", text, flags=re.MULTILINE | re.DOTALL)
    assert fence and fence[2].endswith("\n```")
    assert "<script>" not in text.replace(fence[0], "").replace("\\<", "")


def test_every_table_of_the_page_has_a_figure(html: str) -> None:
    for table in re.findall(r"<table.*?</table>", html, flags=re.DOTALL):
        cells = re.findall(r"<td[^>]*>(.*?)</td>", table, flags=re.DOTALL)
        assert not cells or any(cell not in ("—", "") for cell in cells), table


@pytest.mark.parametrize("make", STATES + KINDS)
def test_every_table_of_the_markdown_has_a_figure(tmp_path: Path, make: Any) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", written(make(), tmp_path, "report.md"), flags=re.MULTILINE):
        rows = [re.split(r"(?<!\\)\|", row)[2:-1] for row in table.splitlines()[2:]]
        assert any(cell.strip() not in ("—", "") for row in rows for cell in row), table


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_what_no_arm_has_gets_no_part_of_the_report(tmp_path: Path, name: str) -> None:
    for part in ("Initialisation", "Sensitivity", "Slot parameters", "Matched within"):
        assert part in written(complete(), tmp_path, name)
        assert part not in written(of_a_command(), tmp_path, name)


def test_json_reads_back_as_it_was(tmp_path: Path) -> None:
    results = usual() | {"command": "paribus study --data caf\udce9.txt"}
    assert json.loads(written(results, tmp_path, "results.json")) == results


def test_json_is_strict_and_holds_the_answer(tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    read = json.loads(written(hostile(), tmp_path, "results.json"), parse_constant=refuse)
    assert read["arms"][1]["mean"] is None and read["arms"][1]["by_rate"][2]["values"] == [None] * 4
    assert read["answer"] == answer(hostile())


def test_csv_has_one_row_per_trial_in_order(tmp_path: Path) -> None:
    trials = usual()["trials"]
    mixed = usual() | {"trials": trials[::-1]}
    rows = list(csv.DictReader(written(mixed, tmp_path, "results.csv").splitlines()))
    keys = [(row["arm"], float(row["lr"]), int(row["seed"])) for row in rows]
    assert keys == [(trial["arm"], trial["lr"], trial["seed"]) for trial in trials]
    assert float(rows[0]["val_bpb"]) == trials[0]["val_bpb"] and rows[0]["error"] == ""


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_a_failed_control_stands_before_the_answer_and_others_after(tmp_path: Path, name: str) -> None:
    text = written(failed_control(), tmp_path, name)
    places = ["do not rely on", "The placebo differs", "swiglu is better than relu", "Cores were shared"]
    assert places == sorted(places, key=text.index)
    assert "do not rely on" not in written(usual(), tmp_path, name)


def test_sections_stand_in_the_order_of_a_readers_questions(tmp_path: Path) -> None:
    heads = re.findall(r"<h2>(.*?)</h2>", written(usual(), tmp_path, "report.html"))
    assert heads[:5] == ["Verdicts", "Differences", "Learning rate", "Loss against cost", "Controls"]
    assert heads[5:8] == ["Held equal", "What this does not show", "Smallest detectable difference"]
    assert heads[8:] == ["Method", "Initialisation", "Trials", "Run it again", "Provenance"]


def test_the_answer_names_what_is_better_worse_and_undecided() -> None:
    start, *rest = answer(usual()).split("; ")
    assert start.startswith("On stdlib (bits per byte, lower is better), swiglu (−0.140, interval −0.194")
    assert start.endswith(" and geglu (−0.131, interval −0.185 to −0.077) are better than relu")
    assert rest[0] == "tanh (+0.081, interval +0.027 to +0.135) is worse than relu"
    assert rest[1] == "gelu cannot be told apart from relu."
    assert answer(failed_control()).startswith("A control failed, so do not rely on this: on stdlib")
    assert "power-4 and 24 more cannot be told apart" in answer(thirty())


def test_one_seed_gives_no_verdict_and_no_figure_of_differences(tmp_path: Path) -> None:
    text, said = (
        written(one_seed(), tmp_path, "report.html"),
        "nothing can be said about a difference from relu",
    )
    assert answer(one_seed()) == f"On stdlib, {said}, as one seed cannot show what chance alone does."
    assert said in text and 'id="forest-title"' not in text
    assert 'id="forest-title"' in written(usual(), tmp_path, "report.html")


def test_facts_of_every_type_are_written_for_people(tmp_path: Path) -> None:
    html, markdown = (written(usual(), tmp_path, name) for name in ("report.html", "report.md"))
    for key, value in (("tokens", "400,000"), ("seeds", "0, 1"), ("compiled", "yes"), ("malloc", "TRIM=8")):
        assert f"<dt>{key}</dt><dd>{value}</dd>" in html
        assert f"- {key}: {value}\n" in markdown


def test_an_arm_best_at_the_edge_of_the_grid_is_named(tmp_path: Path) -> None:
    results = usual()
    assert "strictly inside the grid" in written(results, tmp_path, "report.html")
    results["arms"][1]["lr"] = 0.006
    assert "not at its best: gelu." in written(results, tmp_path, "report.html")


def test_what_has_not_the_shape_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"baseline": "rel"}, "did you mean relu"),
        ({"arms": [{"name": "relu"}]}, "needs 'verdict'"),
        ({"arms": [arm("relu", verdict="beter")]}, "did you mean better"),
        ({"arms": [arm("relu"), arm("relu")]}, "two arms are named 'relu'"),
        ({"trials": [{"arm": "relu", "seed": 0, "status": "done"}]}, "needs 'lr'"),
    ]
    for change, said in wrong:
        with pytest.raises(RequestError, match=said):
            write_report(usual() | change, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_report_that_fails_leaves_the_old_one_whole(tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in write_report(usual(), tmp_path).values()}
    with pytest.raises(TypeError):
        write_report(failed_control() | {"environment": {"cpu": object()}}, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
@pytest.mark.parametrize(
    "make",
    [hostile, thirty, complete, depth, *(pytest.param(make, marks=pytest.mark.slow) for make in MORE)],
)
def test_a_browser_never_scrolls_the_page_sideways(tmp_path: Path, make: Any) -> None:
    # Frames, because a headless window is never narrower than 500 pixels; a frame sees its own width.
    page, widths = escape(written(make(), tmp_path, "report.html")), [320, 390, 768, 1280]
    measure = "this.title = this.contentDocument.documentElement.scrollWidth"
    frame = f'<iframe onload="{measure}" srcdoc="{page}" style="border:0" width='
    frames = [f"{frame}{width}></iframe>" for width in widths]
    (tmp_path / "frames.html").write_text("".join(frames), "utf-8")
    flags = ["headless", "dump-dom", "hide-scrollbars", "no-sandbox", "disable-gpu", "disable-quic"]
    flags += ["no-first-run", "disable-sync", "disable-background-networking", "disable-component-update"]
    command = ["chromium", *(f"--{flag}" for flag in [*flags, f"user-data-dir={tmp_path / 'user'}"])]
    command += [(tmp_path / "frames.html").as_uri()]
    dom = subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True, timeout=120)
    assert [int(width) for width in re.findall(r' title="(\d+)">', dom)] == widths
