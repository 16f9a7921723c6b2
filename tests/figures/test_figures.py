"""Each figure draws what its numbers say, and its numbers are those of the parts."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from paribus import oracles, registry
from paribus.errors import RequestError
from paribus.figures import activations, positions, stability
from paribus.figures.catalogue import FIGURES, drawing, figure_of
from paribus.figures.style import save
from paribus.figures.terminal import curve_of, plot


@pytest.fixture(scope="module")
def drawn() -> dict[str, tuple]:
    return {name: each.draw() for name, each in FIGURES.items()}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_written_and_its_numbers_are_plain(
    name: str, drawn: dict[str, tuple], tmp_path: Path
) -> None:
    figure, data = drawn[name]
    json.dumps(data)
    for kind in ("svg", "png", "pdf"):
        save(figure, tmp_path / f"{name}.{kind}")
        assert (tmp_path / f"{name}.{kind}").stat().st_size > 3000
    assert FIGURES[name].caption.endswith(".") and FIGURES[name].slot in registry.catalog()


@pytest.mark.parametrize("name", FIGURES)
def test_words_do_not_leave_the_figure(name: str, drawn: dict[str, tuple]) -> None:
    figure, _ = drawn[name]
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    for axis in figure.axes:
        for text in (axis.title, axis.xaxis.label, axis.yaxis.label):
            if text.get_text():
                box = text.get_window_extent()
                assert box.x0 > -1 and box.x1 < width + 1 and box.y0 > -1 and box.y1 < height + 1, text


def test_svg_is_the_same_every_time(tmp_path: Path) -> None:
    for number in (1, 2):
        save(activations.swish()[0], tmp_path / f"{number}.svg")
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()


def test_activation_curves_are_those_of_the_oracle() -> None:
    curve = activations.curves("mish")
    x = np.array(curve["x"])
    np.testing.assert_allclose(curve["value"], oracles.POINTWISE["mish"].value(x), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        curve["derivative"], oracles.POINTWISE["mish"].first(x), rtol=1e-12, atol=1e-14
    )


def test_swish_family_runs_from_a_line_to_relu(drawn: dict[str, tuple]) -> None:
    data = drawn["swish"][1]
    x = np.array(data["x"])
    np.testing.assert_allclose(data["0"], x / 2)
    np.testing.assert_allclose(data["50"], np.maximum(x, 0), atol=0.01)


def test_logits_of_the_rope_figure_are_alike_along_diagonals(drawn: dict[str, tuple]) -> None:
    logits = np.array(drawn["rope"][1]["logits"])
    for offset in range(-6, 7):
        np.testing.assert_allclose(np.diff(logits.diagonal(offset)), 0, atol=1e-4)


def test_wavelengths_and_buckets_are_those_of_the_oracles(drawn: dict[str, tuple]) -> None:
    for name, waves in drawn["rope-scalings"][1].items():
        theta, _ = oracles.frequencies(name, 64, length=16384, original_length=4096, factor=4.0)
        np.testing.assert_allclose(waves, 2 * math.pi / theta, rtol=1e-5)
    t5 = drawn["t5"][1]
    assert t5["causal"] == [oracles.t5_bucket(offset, causal=True) for offset in t5["offset"]]


def test_gradients_by_depth_are_flat_for_pre_norm_and_none_for_rezero() -> None:
    pre, rezero = (stability.gradient_by_layer(name, layers=8) for name in ("pre", "rezero"))
    assert len(pre) == 8 and max(pre) < 5 * min(pre)
    assert not any(rezero)


def test_relative_logits_are_sums_of_cosines_that_fade_under_xpos() -> None:
    distances = torch.arange(0, 301, 50)
    pair = np.arange(0, 64, 2)
    cosines = np.cos(distances.numpy()[:, None] * 10000.0 ** (-pair / 64))
    fading = ((pair / 64 + 0.4) / 1.4) ** (distances.numpy()[:, None] / 512)
    for name, exact in (("rope", cosines), ("xpos", cosines * fading)):
        np.testing.assert_allclose(positions.relative_logits(name, distances), exact.mean(-1), atol=1e-4)


@pytest.mark.parametrize("name", ["softmax", "maxout", "polynorm"])
def test_an_activation_across_features_has_no_curve(name: str) -> None:
    with pytest.raises(RequestError, match="across features"):
        activations.curves(name)


def test_unknown_figures_and_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="rope"):
        drawing("ropes")
    figure, _ = activations.glu()
    for path, said in (
        (tmp_path / "a.gif", "svg"),
        (tmp_path / "a", "svg"),
        (tmp_path / "no" / "a.svg", "no folder"),
    ):
        with pytest.raises(RequestError, match=said):
            save(figure, path)


def test_every_part_has_a_figure_or_is_known_to_have_none() -> None:
    without = {
        f"{slot} {name}"
        for slot, cards in registry.catalog().items()
        for name, card in cards.items()
        if figure_of(card) is None
    }
    assert without == {
        *(f"{slot} {name}" for slot in ("activation", "ffn") for name in ("softmax", "maxout", "polynorm")),
        *(f"position {name}" for name in ("none", "learned", "shaw")),
        *(f"attention {name}" for name in ("mha", "gqa", "mqa")),
    }


def test_terminal_plot_puts_dots_where_the_values_are() -> None:
    lines = plot([0.0, 1.0], {"up": [0.0, 1.0]}, title="a line").splitlines()
    body = [line.split("│")[1] for line in lines if "│" in line]
    assert "a line" in lines[0] and len(body) == 12 and {len(row) for row in body} == {56}
    assert body[0][-1] != "\u2800" and body[-1][0] != "\u2800"
    assert body[0][0] == body[-1][-1] == "\u2800"
    assert lines[1].startswith("1 ") and lines[12].startswith("0 ")


@pytest.mark.parametrize(
    ("slot", "name", "shown"),
    [
        ("activation", "gelu", True),
        ("ffn", "swiglu", True),
        ("ffn", "relu2", True),
        ("position", "rope_yarn", True),
        ("position", "alibi", True),
        ("position", "none", False),
        ("norm", "rmsnorm", False),
        ("activation", "softmax", False),
    ],
)
def test_parts_with_a_curve_show_it(slot: str, name: str, shown: bool) -> None:
    assert (curve_of(registry.get(slot, name)) is not None) is shown
