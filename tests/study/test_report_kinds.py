"""What a report says of each kind of study, and what its page does under a pointer and a keyboard."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from paribus.study.pages.report import answer, write_report

from .studies import arm, complete, depth, ladder, position, repetition, study, thirty, tokenizers, usual

KINDS = [complete, position, depth, repetition, ladder, tokenizers]
FILES = ["report.html", "report.md"]


def written(results: dict[str, Any], out: Path, name: str) -> str:
    return write_report(results, out)[name].read_text("utf-8")


def said(results: dict[str, Any], out: Path, name: str) -> str:
    """The words of a report without its marks, on one line."""
    text = written(results, out, name)
    if name == "report.html":
        text = re.sub(r"<style>.*?</style>|<script>.*?</script>|<svg.*?</svg>", " ", text, flags=re.DOTALL)
        text = unescape(re.sub(r"<[^>]+>", " ", text))
    return " ".join(text.replace("\\", "").replace("|", " ").split())


def heads(results: dict[str, Any], out: Path) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", written(results, out, "report.html"))


@pytest.mark.parametrize("make", KINDS)
def test_results_of_every_kind_read_back_as_they_were(tmp_path: Path, make: Callable[[], Any]) -> None:
    results = make()
    read = json.loads(written(results, tmp_path, "results.json"))
    assert read == results | {"answer": results["answer"] or answer(results)}


@pytest.mark.parametrize(
    ("make", "head"),
    [
        (position, "Context length"),
        (depth, "Depth and learning rate"),
        (repetition, "Passes over the text"),
        (ladder, "Sizes"),
    ],
)
def test_what_a_kind_is_about_stands_first_and_only_there(tmp_path: Path, make: Any, head: str) -> None:
    assert heads(make(), tmp_path)[0] == head
    assert head not in heads(complete(), tmp_path)


def test_optional_sections_stand_only_where_there_are_data(tmp_path: Path) -> None:
    optional = {"Health of the layers", "Looks", "As it ran"}
    assert optional <= set(heads(complete(), tmp_path))
    assert not optional & set(heads(usual(), tmp_path))
    assert "What this does not show" in heads(usual(), tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_power_is_told_in_sentences(tmp_path: Path, name: str) -> None:
    text = said(complete(), tmp_path, name)
    assert "To see 0.005 bits per byte you need 16 seeds, about 18 min on this machine." in text
    assert "To see 0.001 bits per byte you need more than a thousand seeds." in text


@pytest.mark.parametrize("name", FILES)
def test_a_report_holds_every_fact_of_a_complete_comparison(tmp_path: Path, name: str) -> None:
    text = said(complete(), tmp_path, name)
    for fact in (
        "depends on initialisation",  # the verdict
        "= same",
        "normal_0.02",  # a scheme's column
        "−0.184 to −0.096",  # 90 % interval
        "−0.201 to −0.078",  # over seeds and documents
        "620 G",  # FLOPs of a whole training
        "1.20 to —",  # a speed-up that is unbounded above
        "0.77 to 1.05",  # the ratio of throughputs
        "24.2 ms",  # a step of the reference
        "2.1 %",  # dead units, mean over layers
        "1.5 %",  # alpha of the second look
        "swiglu, gelu and tanh",  # resolved by then
        "train.clip=1",  # what an arm sets
        "0.051",  # rate sensitivity
        "±0.02",  # the margin
    ):
        assert fact in text, fact


def test_an_unbounded_speedup_is_a_dash_and_an_extrapolated_one_is_marked(tmp_path: Path) -> None:
    rows = re.findall(r"<tr>.*?</tr>", written(complete(), tmp_path, "report.html"))
    speeds = [re.findall(r"<td.*?>(.*?)</td>", row)[-2:] for row in rows if "620 G" in row]
    assert speeds[0] == ["—", "—"]  # the baseline
    assert speeds[1] == ["1.71 *", "1.20 to —"]
    assert speeds[-1] == ["—", "—"]


def test_an_interval_of_two_one_sided_tests_has_the_level_of_its_look(tmp_path: Path) -> None:
    results = complete()
    results["statistics"]["confidence"] = 0.995
    text = said(results, tmp_path, "report.html")
    assert "99.5 % interval" in text and "“same” only when the 99 % interval" in text


@pytest.mark.parametrize("name", FILES)
def test_how_far_an_arm_reaches_is_told_with_its_limits(tmp_path: Path, name: str) -> None:
    text = said(position(), tmp_path, name)
    for row in ("alibi ≥ 1,024 ≥ 1,024", "rope 256 512", "learned 64, no further"):
        assert row in text, row
    assert "learned window 2.950 2.900 — — — —" in text


@pytest.mark.parametrize("name", FILES)
def test_a_heat_map_tells_trained_from_stuck_and_diverged_without_colour(tmp_path: Path, name: str) -> None:
    text = said(depth(), tmp_path, name)
    assert "pre 2 ✓ 4.18 ✓ 3.58 ✓ 2.98 ✕ diverged" in text
    assert "◐ 2/4" in text and "○ stuck" in text
    assert "0.002" in text and "none" in text  # largest stable rates, and one that has none


def test_a_cell_of_a_heat_map_says_everything_in_its_tooltip(tmp_path: Path) -> None:
    titles = re.findall(r'class="heat[^>]*title="([^"]*)"', written(depth(), tmp_path, "report.html"))
    assert len(titles) == 72
    assert "post, 12 layers, rate 0.002: 2 trained, 2 stuck" in titles
    assert "pre, 2 layers, rate 0.0005: 4 trained of 4; 4.1800 bits per byte" in titles


@pytest.mark.parametrize("name", FILES)
def test_passes_stand_beside_the_law_and_the_copies(tmp_path: Path, name: str) -> None:
    text = said(repetition(), tmp_path, name)
    assert "passes=4 4 100,000" in text and "+0.019 to +0.059" in text and "+0.027" in text
    assert "31.0 %" in text and "52" in text


@pytest.mark.parametrize("name", FILES)
def test_vocabularies_stand_with_what_they_cost_in_studies_of_tokenizers_only(
    tmp_path: Path, name: str
) -> None:
    text = said(tokenizers(), tmp_path, name)
    assert "bytes 257 1.00 128 128 16,448 24,672 2 MB 12 G" in text
    assert "byte_bpe:1024 1,024 2.69 48 129 65,536 24,672 2 MB 4.47 G" in text
    assert "The body has the same parameters in every arm" in text
    assert "Vocabularies" not in said(complete(), tmp_path, name)


@pytest.mark.parametrize("name", FILES)
def test_a_ladder_has_its_slopes_and_every_size(tmp_path: Path, name: str) -> None:
    text = said(ladder(), tmp_path, name)
    assert "swiglu +0.0300 +0.0120 to +0.0480 0.001 3" in text
    assert "1,900,000 3,800,000" in text
    assert text.count("1.37 1.11 to —") == 3  # swiglu's worth in compute, at each size
    assert text.count("1.37 * 1.11 to —" if name.endswith("html") else "1.37, extrapolated 1.11 to —") == 3


def test_answers_say_what_each_kind_found() -> None:
    assert answer(position()) == (
        "On stdlib, trained at 64 tokens, loss stays within 5 % of that at the trained length for alibi up to "
        "at least 1,024 tokens and rope up to 256 tokens; learned and t5-0 reach no further than 64. "
        "At the trained length (bits per byte, lower is better), alibi, rope, learned and t5-0 cannot be told apart "
        "from relu."
    )
    assert answer(depth()) == (
        "On stdlib, at 48 layers, the largest learning rate at which every seed trained is 0.032 for pre and "
        "0.002 for post and deepnorm."
    )
    assert "; 40 passes +0.206, interval +0.186 to +0.226." in answer(repetition())
    assert "rises for swiglu (+0.0300 a doubling); no trend with size can be told for gelu" in answer(
        ladder()
    )


@pytest.mark.parametrize("make", [position, depth, repetition, ladder])
def test_a_kind_without_its_section_answers_from_the_verdicts(tmp_path: Path, make: Any) -> None:
    results = make()
    for key in ("length", "stability", "repetition", "ladder"):
        results.pop(key, None)
    assert answer(results).startswith("On stdlib")
    assert "Verdicts" in heads(results | {"kind": "compare"}, tmp_path)
    write_report(results, tmp_path)  # and its report is written


def test_all_placements_failing_is_said_as_such() -> None:
    results = depth()
    for row in results["stability"]["largest_stable_rate"]:
        row["lr"] = None
    assert "no placement was trained by every seed at any rate tried" in answer(results)


def test_a_study_around_a_command_is_counted_in_its_own_metric(tmp_path: Path) -> None:
    results = usual() | {"metric": "nll", "answer": None}
    assert "(nll, lower is better)" in answer(results)
    text = said(results, tmp_path, "report.html")
    assert "Lower nll is better" in text and "0.090 nll" in text


def test_new_scalars_become_columns_and_lists_do_not(tmp_path: Path) -> None:
    (row, *_) = csv.DictReader(written(complete(), tmp_path, "results.csv").splitlines())
    assert row["run_id"] == "0f3a" and "heldout_nats" not in row


def test_it_is_said_of_which_parameters_the_mismatch_is(tmp_path: Path) -> None:
    for name in ("report.html", "report.md"):
        text = written(complete(), tmp_path, name)
        assert "Mismatch" not in text
        assert "those of the slot and the feed-forward layers together" in text


def test_hostile_names_stay_text_in_every_section(tmp_path: Path) -> None:
    name = '<b onclick="x">|`$'
    for results in (position(), ladder(), depth(), repetition(), tokenizers(), complete()):
        text = json.dumps(results).replace("swiglu", "@").replace("rope", "@").replace("post", "@")
        hostile = json.loads(
            text.replace("passes=4", "@").replace("byte_bpe:1024", "@").replace("@", json.dumps(name)[1:-1])
        )
        page = written(hostile, tmp_path, "report.html")
        assert escape(name, quote=False) in page.replace("&#34;", '"') and "<b onclick" not in page
        tables = re.findall(r"(?:^\|.*\n)+", (tmp_path / "report.md").read_text("utf-8"), flags=re.MULTILINE)
        assert tables
        for table in tables:
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


def test_thirty_arms_are_all_in_every_table(tmp_path: Path) -> None:
    page = written(complete(thirty()), tmp_path, "report.html")
    tables = re.findall(r'<table class="[^"]*sorts.*?</table>', page, flags=re.DOTALL)
    assert len(tables) >= 4
    for table in tables:
        assert table.count("<tr") >= 30, table[:200]


CHROMIUM = [
    "headless",
    "dump-dom",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-sync",
]
CHROMIUM += ["disable-background-networking", "disable-component-update"]
CLICKS = """
const inside = this.contentDocument, seen = [];
const heading = (title) => [...inside.querySelectorAll("table.stacks button")].find((b) => b.textContent.includes(title));
const look = () => seen.push([...inside.querySelectorAll("table.stacks tbody th")].map((h) => h.dataset.sort).join(" ") + " "
  + [...inside.querySelectorAll("[aria-sort]")].map((h) => h.textContent + ":" + h.getAttribute("aria-sort")));
look();
for (const title of ["Difference", "Difference", "Difference", "Arm"]) { heading(title).click(); look(); }
this.title = seen.join(" / ");
"""


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_click_on_a_heading_sorts_up_then_down_then_back(tmp_path: Path) -> None:
    results = study(arm("b", 0.01), arm("c", -0.12), arm("a", 0.002), arm("odd") | {"difference": None})
    page = escape(written(results, tmp_path, "report.html"))
    frame = f'<iframe onload="{escape(CLICKS)}" srcdoc="{page}"></iframe>'
    (tmp_path / "frame.html").write_text(frame, "utf-8")
    flags = [f"--{flag}" for flag in [*CHROMIUM, f"user-data-dir={tmp_path / 'user'}"]]
    command = ["chromium", *flags, (tmp_path / "frame.html").as_uri()]
    dom = subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True, timeout=120)
    (title,) = re.findall(r' title="([^"]*)"></iframe>', dom)
    assert title.split(" / ") == [
        "relu c a b odd ",
        "c a b relu odd Difference:ascending",  # what has no difference stays last
        "b a c relu odd Difference:descending",
        "relu c a b odd ",
        "a b c odd relu Arm:ascending",
    ]
