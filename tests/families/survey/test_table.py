"""The table of model types: choosing, counting, keeping."""

from pathlib import Path

import pytest

from paribus.errors import RequestError
from paribus.families.survey.claims import Claim
from paribus.families.survey.table import Row, Survey, cached, chosen, columns, counts, keep

ROWS = tuple(
    Row(type=name, kind=kind, claims={"ffn": Claim(ffn, "graph"), "norm": Claim(norm, "modules")})
    for name, kind, ffn, norm in (
        ("b", "causal", "swiglu", "rmsnorm"),
        ("a", "causal", "swiglu + relu2", "layernorm"),
        ("c", "encoder", "gelu", "layernorm"),
    )
)


def names(where: list[str], kind: str | None = None, sort: str = "name") -> list[str]:
    return [row.type for row in chosen(ROWS, where, kind=kind, sort=sort)]


def test_every_condition_must_hold() -> None:
    assert names([]) == ["a", "b", "c"]
    assert names(["ffn=swiglu"]) == ["a", "b"]
    assert names(["ffn=swiglu", "norm=rmsnorm"]) == ["b"]
    assert names(["ffn=glu"]) == []
    assert names([], kind="encoder") == ["c"]


def test_rows_come_in_the_order_of_a_column() -> None:
    assert names([], sort="ffn") == ["c", "b", "a"]


@pytest.mark.parametrize("where", ["ffn", "fnn=swiglu"])
def test_what_is_no_condition_is_refused(where: str) -> None:
    with pytest.raises(RequestError, match="column"):
        chosen(ROWS, [where], kind=None, sort="name")


def test_unknown_kinds_and_columns_are_refused() -> None:
    with pytest.raises(RequestError, match="did you mean causal"):
        chosen(ROWS, [], kind="casual", sort="name")
    with pytest.raises(RequestError, match="did you mean norm"):
        columns("type,nrom")


def test_counts_are_of_the_rows_of_a_kind() -> None:
    counted = counts(ROWS)
    assert ("causal", "ffn", "swiglu", 1, 2) in counted
    assert ("encoder", "norm", "layernorm", 1, 1) in counted


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    version = pytest.importorskip("transformers").__version__
    keep(tmp_path, Survey(version=version, rows=ROWS))
    assert cached(tmp_path) == Survey(version=version, rows=ROWS)
