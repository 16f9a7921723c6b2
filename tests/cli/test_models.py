"""`paribus catalog models`, over a table that was kept."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paribus.cli import main
from paribus.families.survey.claims import Claim
from paribus.families.survey.table import Row, Survey, keep

transformers = pytest.importorskip("transformers")
ROWS = (
    Row(type="one", kind="causal", claims={"ffn": Claim("swiglu", "graph"), "tied": Claim("no", "modules")}),
    Row(type="two", kind="causal", claims={"ffn": Claim("gelu", "graph")}),
    Row(type="three", kind="encoder", built=False, problem="ValueError: no | size"),
)


@pytest.fixture
def models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    keep(tmp_path, Survey(version=transformers.__version__, rows=ROWS))

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["paribus", "catalog", "models", *arguments])
        with pytest.raises(SystemExit):
            main()
            sys.exit(0)
        said = capsys.readouterr()
        return said.out + said.err

    return call


def test_conditions_choose_rows(models: Callable[..., str]) -> None:
    shown = models("--where", "ffn=swiglu")
    assert "one" in shown and "two" not in shown


def test_conditions_that_no_row_fits_are_told(models: Callable[..., str]) -> None:
    assert "no model type is like that" in models("--where", "ffn=swiglux")
    assert "no model type is like that" not in models("--where", "ffn=swiglu")


def test_json_says_how_each_claim_is_known(models: Callable[..., str]) -> None:
    document = json.loads(models("--json", "--kind", "causal"))
    assert document["transformers"] == transformers.__version__
    assert [row["type"] for row in document["models"]] == ["one", "two"]
    assert document["models"][0]["claims"]["ffn"] == {"value": "swiglu", "known": "graph"}
    assert {"kind": "causal", "column": "ffn", "value": "gelu", "count": 1, "of": 2} in document["counts"]


def test_counts_come_without_the_table(models: Callable[..., str]) -> None:
    shown = models("--counts")
    assert "causal, ffn (of 2): swiglu 1; gelu 1" in shown and "one" not in shown


def test_page_has_counts_types_and_reasons(models: Callable[..., str]) -> None:
    page = models("--markdown", "--evidence", "--columns", "type,ffn,tied")
    assert f"transformers {transformers.__version__}" in page
    assert "| one | swiglu (g) | no (m) |" in page and "| two | gelu (g) | ? |" in page
    assert "- three (encoder): `ValueError: no | size`" in page


def test_a_wrong_column_is_one_sentence(models: Callable[..., str]) -> None:
    assert "did you mean norm" in models("--where", "nrom=rmsnorm")
