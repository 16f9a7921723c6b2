"""`paribus inspect` and `paribus diff` as a person runs them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paribus.cli import app
from paribus.cli.inspection_tables import layers_text
from paribus.errors import RequestError
from tests.families.inspecting.checkpoints import config_of, write, write_config

RUNNER = CliRunner(env={"COLUMNS": "240"})  # one line a row


def _row(output: str, name: str) -> str:
    (line,) = [line for line in output.splitlines() if name in line.split()[:2]]
    return line


def test_the_table_has_every_part_with_what_it_rests_on(tmp_path: Path) -> None:
    write_config(tmp_path, config_of(odd_key=1))
    result = RUNNER.invoke(app, ["inspect", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert _row(result.stdout, "activation").split()[2:4] == ["silu", "config"]
    assert "hidden_act = 'silu'" in _row(result.stdout, "activation")
    assert _row(result.stdout, "gated").split()[1:3] == ["yes", "family"]
    assert "keys not understood: odd_key" in result.stdout
    assert "transformers" not in result.stdout


def test_normed_queries_are_told_and_the_fraction_of_what_is_not_rotated_is_not(tmp_path: Path) -> None:
    write_config(tmp_path, config_of(model_type="gpt2", n_embd=32, n_layer=2, n_head=4))
    output = RUNNER.invoke(app, ["inspect", str(tmp_path)]).stdout
    assert _row(output, "qk_norm").split()[1:3] == ["none", "family"]
    assert "fraction" not in output


def test_a_key_that_is_null_is_told_as_null(tmp_path: Path) -> None:
    write_config(tmp_path, {**config_of(model_type="new_type"), "sliding_window": None})
    assert "sliding_window = null" in _row(RUNNER.invoke(app, ["inspect", str(tmp_path)]).stdout, "window")


def test_json_is_one_document(tmp_path: Path) -> None:
    write_config(tmp_path, config_of(rms_norm_eps=float("inf"), model_type="new_type"))
    result = RUNNER.invoke(app, ["inspect", str(tmp_path), "--json", "--context", "8"])
    document = json.loads(result.stdout)
    assert (document["model_type"], document["family"], document["context"]) == ("new_type", None, 8)
    assert any(claim["sure"] == "unknown" and claim["value"] is None for claim in document["claims"])


def test_verify_adds_checks_and_an_exit_code(tmp_path: Path) -> None:
    folder, _ = write("llama", tmp_path)
    result = RUNNER.invoke(app, ["inspect", str(folder), "--verify", "--json"])
    checks = json.loads(result.stdout)["verification"]
    assert result.exit_code == 0 and [check["passed"] for check in checks] == [True] * 3
    table = RUNNER.invoke(app, ["inspect", str(folder), "--verify"]).stdout
    assert "16 random tokens" in table and "pass" in table


def test_a_failed_verification_ends_with_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from paribus.families import verifying

    folder, _ = write("llama", tmp_path)
    monkeypatch.setattr(verifying, "BOUND", 0.0)
    result = RUNNER.invoke(app, ["inspect", str(folder), "--verify"])
    assert result.exit_code == 1
    assert "FAIL" in result.stdout


def test_names_from_files_are_printed_without_control_characters(tmp_path: Path) -> None:
    write_config(tmp_path, config_of(model_type="evil\x1b[2J", hidden_act="\x1b[31mred"))
    result = RUNNER.invoke(app, ["inspect", str(tmp_path)])
    assert result.exit_code == 0
    assert "\x1b[2J" not in result.stdout and "\x1b[31mred" not in result.stdout


@pytest.mark.parametrize("command", [["inspect", "nowhere"], ["diff", "nowhere", "nowhere"]])
def test_a_path_that_is_not_there_is_a_wrong_request(command: list[str]) -> None:
    result = RUNNER.invoke(app, command)
    assert isinstance(result.exception, RequestError)
    assert "there is no file or folder nowhere" in str(result.exception)


def test_diff_shows_both_sides_and_folds_what_is_the_same(tmp_path: Path) -> None:
    a = write_config(tmp_path / "a", config_of())
    b = write_config(tmp_path / "b", config_of(hidden_act="gelu"))
    result = RUNNER.invoke(app, ["diff", str(a), str(b)])
    assert result.exit_code == 0
    assert _row(result.stdout, "activation").split() == ["ffn", "activation", "silu", "gelu"]
    assert "same: model, norm, placement, position, attention, head, sizes" in result.stdout


def test_diff_as_json(tmp_path: Path) -> None:
    a = write_config(tmp_path / "a", config_of())
    b = write_config(tmp_path / "b", config_of(hidden_act="gelu"))
    document = json.loads(RUNNER.invoke(app, ["diff", str(a), str(b), "--json"]).stdout)
    assert document["differences"] == [
        {
            "section": "ffn",
            "name": "activation",
            "a": [{"value": "silu", "layers": None}],
            "b": [{"value": "gelu", "layers": None}],
            "known": True,
        }
    ]


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ((0, 1, 2, 3), "0 to 3"),
        ((0, 2, 4, 6, 8), "0, 2, 4, …, 8"),
        ((3,), "3"),
        ((0, 1, 5), "0, 1, 5"),
        ((0, 1, 2, 4, 8, 9, 11), "0, 1, 2, 4, 8, 9, … (7 in all)"),
    ],
)
def test_layers_in_few_words(layers: tuple[int, ...], text: str) -> None:
    assert layers_text(layers) == text
