"""`paribus plot` and `paribus explain --plot` as a person runs them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paribus.cli import app
from paribus.errors import RequestError
from paribus.figures.catalogue import FIGURES

RUNNER = CliRunner()


def test_no_name_lists_every_figure() -> None:
    result = RUNNER.invoke(app, ["plot"])
    assert result.exit_code == 0 and all(name in result.stdout for name in FIGURES)
    assert json.loads(RUNNER.invoke(app, ["plot", "--json"]).stdout).keys() == FIGURES.keys()


def test_a_figure_is_written_here_by_default_and_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert RUNNER.invoke(app, ["plot", "t5"]).exit_code == 0
    assert RUNNER.invoke(app, ["plot", "alibi", "--heads", "12", "--out", "a.png"]).exit_code == 0
    assert (tmp_path / "t5.svg").is_file() and (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_json_gives_the_numbers() -> None:
    result = RUNNER.invoke(app, ["plot", "alibi", "--heads", "6", "--json"])
    assert json.loads(result.stdout)["slopes"][:3] == [0.25, 0.0625, 0.015625]
    chosen = json.loads(RUNNER.invoke(app, ["plot", "activations", "--names", "silu, mish", "--json"]).stdout)
    assert set(chosen) == {"silu", "mish"}
    assert {"0", "7"} <= set(
        json.loads(RUNNER.invoke(app, ["plot", "swish", "--betas", "0,7", "--json"]).stdout)
    )


@pytest.mark.parametrize(
    "request_",
    [
        ["plot", "ropes"],
        ["plot", "t5", "--heads", "3"],
        ["plot", "swish", "--betas", "one"],
        ["plot", "activations", "--names", "gleu"],
        ["plot", "t5", "--out", "t5.gif"],
        ["explain", "mha", "--plot", "x.svg"],
    ],
)
def test_a_wrong_request_is_refused(
    request_: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(RUNNER.invoke(app, request_).exception, RequestError)
    assert not list(tmp_path.iterdir())


def test_explain_draws_the_part_and_shows_its_curve(tmp_path: Path) -> None:
    out = tmp_path / "gelu.svg"
    result = RUNNER.invoke(app, ["explain", "gelu", "--plot", str(out)])
    assert result.exit_code == 0 and out.is_file()
    assert "activation" in result.stdout and "ffn" in result.stdout  # both parts of that name
    assert any("\u2801" <= character <= "\u28ff" for character in result.stdout)


def test_explain_says_options_and_cost_of_attention() -> None:
    result = RUNNER.invoke(app, ["explain", "gqa"])
    assert "qk_norm = None" in result.stdout and "1,572,864 parameters" in result.stdout
    document = json.loads(RUNNER.invoke(app, ["explain", "rope_yarn", "--json"]).stdout)
    assert document["settings"]["truncate"] is True and "head_dim" not in document["settings"]
