"""Figures of the kinds of study: exact values under the pointer, honest edges, legible in number."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from paribus.study.pages import plots
from paribus.study.pages.plots.chart import compact, spaced

from .studies import complete, depth, ladder, position, repetition, study, thirty, usual

SVG = "{http://www.w3.org/2000/svg}"


def tips(svg: str) -> list[str]:
    return re.findall(r"<circle [^>]*><title>(.*?)</title></circle>", svg)


def words(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def every(drawn: Any) -> list[str]:
    """All figures in nested dicts."""
    return [svg for some in drawn.values() for svg in every(some)] if isinstance(drawn, dict) else [drawn]


def forest(results: dict[str, Any], *, narrow: bool = False) -> str:
    svg = plots.forest(results, digits=3, narrow=narrow)
    assert svg is not None
    return svg


@pytest.fixture(scope="module")
def everything() -> list[str]:
    full = complete()
    drawn: list[Any] = [plots.rates(full), plots.curves(full), plots.health(full), plots.length(position())]
    drawn += [plots.length(position(12)), plots.stability(depth()), plots.repetition(repetition())]
    return [svg for some in [*drawn, plots.ladder(ladder())] for svg in every(some)] + [forest(full)]


def test_every_figure_is_whole_and_takes_its_colours_from_the_page(everything: list[str]) -> None:
    for svg in everything:
        root = ElementTree.fromstring(svg)
        assert root.find(f"{SVG}title") is not None and root.find(f"{SVG}desc") is not None
        assert not re.findall(r"#[0-9a-f]{6}\b", re.sub(r"var\(--\w+, #[0-9a-f]{6}\)", "", svg))


def test_every_figure_tells_exact_values_under_the_pointer(everything: list[str]) -> None:
    for svg in everything:
        swatch = "Line in the figure." in svg
        assert bool(tips(svg)) != swatch, svg[:200]


def test_no_tick_is_written_as_mathematics(everything: list[str]) -> None:
    assert not [word for svg in everything for word in words(svg) if "$" in word or "\\" in word]


def test_a_tip_lies_on_its_mark() -> None:
    results = study()
    results["arms"][0]["by_rate"] = [
        {"lr": lr, "mean": mean, "values": [mean]} for lr, mean in ((0.001, 3.0), (0.002, 2.5), (0.004, 3.0))
    ]
    svg = plots.rates(results)["relu"]
    targets = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>([^<]*one seed[^<]*)<', svg)
    marks = re.findall(r'<use href="#[^"]*" x="([\d.]+)" y="([\d.]+)" style="fill: var\(--blue', svg)
    assert len(targets) == len(marks) == 3 and "rate 0.002, one seed: 2.5" in targets[1][2]
    for (x, y, _), (at_x, at_y) in zip(targets, marks, strict=True):
        assert abs(float(x) - float(at_x)) < 0.2 and abs(float(y) - float(at_y)) < 0.2


def test_tips_are_escaped() -> None:
    results = study()
    results["arms"][0]["name"] = results["baseline"] = "<b>&"
    svg = plots.curves(results)["tokens"]
    assert tips(svg)[0].startswith("&lt;b&gt;&amp;: ")


def test_the_forest_shows_the_margin_and_the_interval_it_is_judged_by() -> None:
    results = complete()
    plain = forest(results | {"margin": None})
    assert forest(results).count("var(--rule") == plain.count("var(--rule") + 1
    thick = "stroke-opacity: 0.45"
    assert thick in forest(results) and thick not in plain


def test_a_margin_wider_than_all_intervals_is_seen_whole() -> None:
    svg = forest(usual() | {"margin": 2.0})
    assert {"−2", "2"} <= {word.removesuffix(".0") for word in words(svg)}


def test_the_name_of_a_verdict_fits_beside_the_forest() -> None:
    svg = forest(complete())
    width = float(ElementTree.fromstring(svg).attrib["viewBox"].split()[2])
    (x,) = re.findall(r'<text [^>]*x="([\d.]+)"[^>]*>± depends on initialisation<', svg)
    assert float(x) + 27 * 6.2 < width  # 27 signs of 12.5 px


def test_cost_has_four_axes_and_flops_are_tokens_times_flops_per_token() -> None:
    results = study()
    results["arms"][0] |= {"flops_per_token": 1e6}
    figures = plots.curves(results)
    assert list(figures) == ["tokens", "FLOPs", "seconds", "peak memory"]
    last = [tips(figures[key])[-1] for key in ("tokens", "FLOPs")]
    assert last[0].endswith("at 400,000 training tokens")
    assert last[1].endswith("at 400,000,000,000 training FLOPs")


def test_without_curves_an_arm_is_a_point_at_its_held_out_loss() -> None:
    results = complete()
    for row in results["arms"]:
        row["curve"] = None
    figures = plots.curves(results)
    assert list(figures) == ["FLOPs", "seconds", "peak memory"]
    assert len(tips(figures["FLOPs"])) == 5 and "held-out loss, bits per byte" in words(figures["FLOPs"])


def test_up_to_eight_arms_share_a_chart_and_more_get_panels() -> None:
    few, many = plots.length(position(8)), plots.length(position(9))
    assert list(few["relative"]) == [""] and len(few["legend"]) == 8
    assert len(many["relative"]) == len(many["position"]) == 9 and not many["legend"]
    looks = plots.length(position(8))["legend"].values()
    assert len({re.sub(r"length-swatch-\d+|swatch|>[^<]+<", "", svg) for svg in looks}) == 8


def test_length_is_told_in_per_cent_of_the_arms_own_loss() -> None:
    said = tips(plots.length(position())["relative"][""])
    assert "rope, plain, at 128: 2.41379 %" in said
    assert "rope, window, at 1,024: 1.72414 %" in said
    assert not [tip for tip in said if tip.startswith("learned") and "at 128" in tip]


def test_a_loss_beyond_the_scale_is_marked_with_its_true_value() -> None:
    drawn = plots.length(position())["relative"][""]
    (beyond,) = [tip for tip in tips(drawn) if tip.startswith("t5-0, plain, at 1,024")]
    assert float(beyond.split(": ")[1].removesuffix(" %")) > 60
    assert "60" in words(drawn) and "80" not in words(drawn) and "100" not in words(drawn)


def test_layers_are_compared_on_one_scale_and_a_zero_gradient_is_left_out() -> None:
    results = depth()
    panels = plots.stability(results)["layers"]
    assert len(panels) == 2 * 3 * 2  # quantities, depths, warm-ups
    ticks = {tuple(w for w in words(svg) if "." in w) for name, svg in panels.items() if "gradients" in name}
    assert len(ticks) == 1
    for row in results["stability"]["layers"]:
        row["gradient_rms"] = [0.0] * len(row["gradient_rms"])
    assert len(plots.stability(results)["layers"]) == 6


def test_the_baseline_of_a_repetition_study_exceeds_itself_by_nothing() -> None:
    said = tips(plots.repetition(repetition())["excess"]["svg"])
    assert "measured at 1: 0" in said
    assert "measured at 4: 0.0389881, 0.0189881 to 0.0589881" in said
    assert [tip for tip in said if tip.startswith("data-constrained law at 40")]


def test_a_trend_goes_through_the_middle_with_its_slope() -> None:
    def trend(slope: float) -> float:
        results = ladder()
        results["ladder"]["trends"][0]["slope"] = slope
        svg = plots.ladder(results)["swiglu"]
        (path,) = re.findall(r'<path d="M ([\d.]+) ([\d.]+) L ([\d.]+) ([\d.]+)[^"]*"[^>]*var\(--ink', svg)
        return float(path[1]) - float(path[3])

    assert trend(0.0) == pytest.approx(0, abs=0.1)
    assert trend(0.03) > 20 and trend(-0.03) == pytest.approx(-trend(0.03), abs=0.5)


def test_health_leaves_out_what_was_not_seen() -> None:
    results = complete()
    assert len(plots.health(results)) == 4
    for row in results["arms"]:
        row["health"]["layers"] = [layer | {"gate_saturation": None} for layer in row["health"]["layers"]]
    assert len(plots.health(results)) == 3
    assert plots.health(usual()) == {}


def test_no_kind_draws_anything_without_its_data() -> None:
    for draw in (plots.length, plots.stability, plots.repetition, plots.ladder, plots.health):
        assert draw(usual()) == {}, draw


def test_one_layer_one_size_or_one_context_is_a_point_and_no_failure() -> None:
    one = ladder()
    one["ladder"]["sizes"] = one["ladder"]["sizes"][:1]
    assert tips(plots.ladder(one)["gelu"]) == ["gelu, cannot tell, at 60,000: −0.01, −0.05 to 0.03"]
    short = position()
    short["length"]["contexts"] = [64]
    for row in short["length"]["arms"]:
        row |= {way: {"64": row[way]["64"]} for way in ("plain", "window")} | {"by_position": []}
    assert plots.length(short)["relative"]


def test_thirty_arms_stay_legible() -> None:
    results = complete(thirty())
    assert len([word for word in words(forest(results)) if word.startswith("power-")]) == 29
    assert len(plots.rates(results)) == 31
    assert len(plots.legend(results)) == 7 and len(plots.curves(results)) == 4


def test_labels_of_ticks_never_touch() -> None:
    assert spaced([64, 128, 256, 512], 6, log=2) == [64, 128, 256, 512]
    assert spaced(range(1, 49), 5) == [1, 11, 21, 31, 41]
    assert spaced([1000.0, 1001.0, 2000.0], 4, log=10) == [1000.0, 2000.0]


def test_numbers_of_ticks_are_short() -> None:
    given = [64, 1024, 16384, 250_000, 1_900_000, 6.2e11, 0.0005]
    assert [compact(value) for value in given] == [
        "64",
        "1,024",
        "16.4 k",
        "250 k",
        "1.9 M",
        "620 G",
        "0.0005",
    ]
