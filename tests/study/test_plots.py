"""Figures that take colours and font from the page, grow with the study, and never mislead the eye."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest

from paribus.study.pages import plots

SVG = "{http://www.w3.org/2000/svg}"


def arm(name: str, shift: float | None = None, *, verdict: str = "cannot tell") -> dict[str, Any]:
    centre = 2.9 + (shift or 0.0)
    draw = random.Random(name)
    rates = [(0.001, 0.1), (0.002, 0.0), (0.004, 0.2)]
    return {
        "name": name,
        "verdict": verdict,
        "mean": centre,
        "lr": 0.002,
        "lr_fitted": 0.0021,
        "values": [centre - 0.01, centre + 0.01],
        "difference": None if shift is None else {"mean": shift, "ci95": [shift - 0.05, shift + 0.05]},
        "by_rate": [{"lr": lr, "mean": centre + up, "values": [centre + up] * 2} for lr, up in rates],
        "curve": {
            "tokens": list(range(100, 100100, 100)),
            "seconds": [i / 10 for i in range(1000)],
            "train_bpb": [centre + 5 / (i + 1) + draw.gauss(0, 0.1) for i in range(1000)],
        },
    }


def study(*arms: dict[str, Any], controls: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"baseline": "relu", "arms": [arm("relu", verdict="baseline"), *arms], "controls": controls or []}


def forest(results: dict[str, Any], *, narrow: bool = False) -> str:
    svg = plots.forest(results, digits=3, narrow=narrow)
    assert svg is not None
    return svg


def figures(results: dict[str, Any]) -> list[str]:
    several = (plots.rates(results), plots.curves(results), plots.legend(results))
    drawn = [svg for some in several for svg in some.values()]
    return [forest(results), forest(results, narrow=True), *drawn]


def height(svg: str) -> float:
    return float(ElementTree.fromstring(svg).attrib["viewBox"].split()[3])


def words(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def usual() -> list[str]:
    placebo = arm("placebo", 0.01)
    return figures(study(arm("swiglu", -0.14, verdict="better"), arm("gelu", -0.01), controls=[placebo]))


def test_figures_are_the_same_every_time(usual: list[str]) -> None:
    placebo = arm("placebo", 0.01)
    again = figures(study(arm("swiglu", -0.14, verdict="better"), arm("gelu", -0.01), controls=[placebo]))
    assert again == usual


def test_every_colour_comes_from_the_page(usual: list[str]) -> None:
    for svg in usual:
        assert "var(--" in svg
        assert not re.findall(r"#[0-9a-f]{6}\b", re.sub(r"var\(--\w+, #[0-9a-f]{6}\)", "", svg))
        assert "font-family" not in svg and "<style" not in svg


def test_figures_can_stand_on_one_page(usual: list[str]) -> None:
    ids = [name for svg in usual for name in re.findall(r' id="([^"]*)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in usual:
        own = set(re.findall(r' id="([^"]*)"', svg))
        assert set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', svg)) <= {
            pair for name in own for pair in ((name, ""), ("", name))
        }


def test_figures_have_a_title_and_a_description(usual: list[str]) -> None:
    for svg in usual:
        root = ElementTree.fromstring(svg)
        title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None and title.text and desc is not None and desc.text
        assert root.attrib["aria-labelledby"] == f"{title.attrib['id']} {desc.attrib['id']}"


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two hex colours."""

    def luminance(code: str) -> float:
        parts = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_text_colours_are_legible_in_both_schemes() -> None:
    sheet = (Path(plots.__file__).parent.parent / "templates" / "report.css").read_text("utf-8")
    dark = dict(
        re.findall(r"--(\w+): (#[0-9a-f]{6});", sheet.split("prefers-color-scheme: dark")[1].split("}")[0])
    )
    assert dark.keys() == plots.COLOURS.keys()
    assert len(set(plots.COLOURS.values())) == len(plots.COLOURS)  # a colour is found again by its code
    for scheme in (plots.COLOURS, dark):
        for name in scheme.keys() - {"paper", "rule"}:
            assert contrast(scheme[name], scheme["paper"]) >= 4.5, name


def test_a_forest_shows_the_numbers_of_every_row_as_text() -> None:
    arms = [arm("swiglu", -0.14, verdict="better"), arm("tanh", 0.08, verdict="worse")]
    results = study(*arms, controls=[arm("handicap", 0.1, verdict="worse") | {"ok": True}])
    for narrow in (False, True):
        said = " ".join(words(forest(results, narrow=narrow)))
        assert "swiglu" in said and "−0.140" in said and "[−0.190, −0.090]" in said
        assert "handicap" in said and "+0.100" in said and "✓" in said and "✕" in said


@pytest.mark.parametrize(("ok", "said"), [(True, "✓ passed"), (False, "✕ failed"), (None, "? not tested")])
def test_a_forest_says_of_a_control_what_the_report_says(ok: bool | None, said: str) -> None:
    svg = forest(study(arm("gelu", 0.02), controls=[arm("placebo", 0.01) | {"ok": ok}]))
    assert said in words(svg)
    assert f"placebo {said[2:]}" in svg and f"placebo, {said[2:]}: " in svg


def test_a_forest_grows_with_its_arms_and_needs_a_difference() -> None:
    few, many = study(arm("a", 0.1)), study(*(arm(f"arm {i}", i / 100) for i in range(30)))
    assert height(forest(many)) > height(forest(few)) + 29 * 30
    assert plots.forest(study(arm("gelu")), digits=3) is None


def test_a_far_arm_is_cut_with_an_arrow_and_leaves_room_for_the_others() -> None:
    def shift(svg: str) -> float:
        """Where the first seed of arm a stands, in pixels right of zero."""
        axis = re.search(r"<text [^>]*x=\"([\d.]+)\"[^>]*>0\.0\d*</text>", svg)
        dot = re.search(r"fill-opacity: 0.6[^>]*x=\"|<use href=\"#[^\"]*\" x=\"([\d.]+)\"[^>]*0\.6", svg)
        assert axis and dot and dot[1], svg[:200]
        return abs(float(dot[1]) - float(axis[1]))

    near = [arm("a", -0.1), arm("b", 0.1), arm("c", 0.12)]
    plain, far = forest(study(*near)), forest(study(*near, arm("far", 5.0, verdict="worse")))
    assert shift(far) > shift(plain) / 5
    assert "+5.000" in " ".join(words(far))


def test_an_arm_without_a_difference_is_named_not_drawn() -> None:
    said = words(forest(study(arm("gelu", 0.1), arm("bad", verdict="diverged"))))
    assert "bad" in said and "no difference measured" in said and "! diverged" in said


def test_a_rate_that_diverged_is_marked_and_does_not_flatten_the_rest() -> None:
    bad = arm("bad", 0.0)
    bad["by_rate"][2] |= {"mean": None, "values": [None, 900.0]}
    wild = arm("wild", 0.0)
    wild["by_rate"][2] |= {"mean": 800.0, "values": [800.0, 800.0]}
    panels = plots.rates(study(bad, wild, arm("calm", 0.0)))
    triangle = f"var(--purple, {plots.COLOURS['purple']})"
    assert triangle in panels["bad"] and triangle in panels["wild"] and triangle not in panels["calm"]
    assert max(float(label) for label in words(panels["calm"]) if re.fullmatch(r"\d\.\d+", label)) < 5


def test_rates_and_curves_say_nothing_when_nothing_was_measured() -> None:
    empty = {"baseline": "relu", "arms": [{"name": "relu", "verdict": "baseline"}]}
    assert plots.rates(empty) == plots.curves(empty) == plots.legend(empty) == {}


def test_at_most_seven_lines_stand_out_and_no_two_share_colour_dash_or_marker() -> None:
    results = study(*(arm(f"arm {i}", i / 100) for i in range(30)))
    styles = plots.line_styles(results)
    assert list(styles) == ["relu", *(f"arm {i}" for i in range(6))]
    for key in ("color", "linestyle", "marker"):
        assert len({str(style.get(key)) for style in styles.values()}) == len(styles)
    assert list(plots.legend(results)) == list(styles)


def test_tokens_are_counted_in_thousands_and_seconds_in_seconds() -> None:
    figures = plots.curves(study(arm("gelu")))
    assert "100 k" in words(figures["tokens"]) and "100" in words(figures["seconds"])
    results = study()
    results["arms"][0]["curve"]["seconds"] = [i / 1000 for i in range(1000)]
    assert "0.5" in " ".join(words(plots.curves(results)["seconds"]))


def test_a_long_curve_is_thinned(usual: list[str]) -> None:
    longest = max(len(re.findall(r"L ", path)) for svg in usual for path in re.findall(r' d="([^"]*)"', svg))
    assert 20 < longest < 100


def test_hostile_names_stay_text_and_warn_of_nothing() -> None:
    name = '$x_{$ <b>"&" 日本 -->'
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = figures(study(arm(name, 0.1)))
    assert name in words(drawn[0])
    title = ElementTree.fromstring(plots.rates(study(arm(name)))[name]).find(f"{SVG}title")
    assert title is not None and title.text == f"{name}: loss against learning rate"


def test_a_long_name_loses_its_middle() -> None:
    assert plots.short("swiglu", 10) == "swiglu"
    assert plots.short("abcdefghijklmnop\nqrst", 10) == "abcdef…rst"


def test_drawing_leaves_no_trace_in_matplotlib() -> None:
    with matplotlib.rc_context({"font.size": 3.5, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        figures(study(arm("gelu", 0.1)))
        assert dict(matplotlib.rcParams) == before


def test_importing_figures_and_report_does_not_import_matplotlib() -> None:
    code = "import sys; from paribus.study.pages import plots, report; print('matplotlib' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
