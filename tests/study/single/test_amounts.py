"""What more fine-tuning data would be worth: shares, seeds, and what is read again."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.study.single.amounts import PLOT, RESULTS, Amounts, run
from paribus.study.single.preparing import make
from paribus.study.single.session import train
from paribus.study.single.settings import resolve
from paribus.text.data.sft import pack
from paribus.text.tokenizers import get_tokenizer

from .conftest import Heard

SMALL = ("d_model=16", "num_layers=1", "num_heads=2", "batch_size=2", "compile=off", "rate=0.01")


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    rows = [
        {"prompt": f"{n * 7919 % 1000}+1=", "answer": f"{n * 7919 % 1000 + 1} of {n % 5 * 'x'}"}
        for n in range(100)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options: dict[str, Any] = {"tokenizer": get_tokenizer("bytes"), "seq_len": 40}
    return pack(tmp_path / "rows.jsonl", tmp_path / "packed", **options).dataset.folder


def _asked(packed: Path, **options: Any) -> Amounts:
    more = {"shares": (Fraction(1, 4), Fraction(1)), "seeds": 2, "passes": 2, "overrides": SMALL, **options}
    return Amounts(options={"data": str(packed), **more.pop("options", {})}, **more)


@pytest.mark.slow
def test_every_share_is_trained_on_from_every_seed_and_read_again(packed: Path, tmp_path: Path) -> None:
    first = train(
        make(resolve({"data": str(packed)}, [*SMALL, "tokens=400"])),
        tmp_path / "model",
        listener=Heard().listener(),
    )
    asked = _asked(
        packed,
        options={"finetune": first.result["saved"]["path"]},
        overrides=("batch_size=2", "compile=off", "rate=0.01"),
    )
    said: list[str] = []
    results = run(asked, tmp_path / "study", listener=Heard().listener(), say=said.append, threads=1)
    quarter, whole = results["points"]
    assert [len(point["runs"]) for point in (quarter, whole)] == [2, 2] and len(said) == 4
    assert 3.5 < whole["loss_bearing"] / quarter["loss_bearing"] < 4.7
    assert whole["steps"] == pytest.approx(4 * quarter["steps"], rel=0.15)
    gains = [
        few["val_bpb"] - more["val_bpb"] for few, more in zip(quarter["runs"], whole["runs"], strict=True)
    ]
    assert whole["gain"]["mean"] == pytest.approx(sum(gains) / 2) and quarter["gain"] is None
    assert whole["gain"]["ci95"][0] < whole["gain"]["mean"] < whole["gain"]["ci95"][1]
    assert results["before"] > quarter["val_bpb"]["mean"] > whole["val_bpb"]["mean"]
    assert json.loads((tmp_path / "study" / RESULTS).read_text()) == results
    assert "before fine-tuning" in (tmp_path / "study" / PLOT).read_text()
    assert not list((tmp_path / "study").glob("*/model"))
    again = Heard()
    assert run(asked, tmp_path / "study", listener=again.listener(), say=said.append, threads=1) == results
    assert again.done == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": (Fraction(1, 2), Fraction(1, 4))}, "at least two rising shares"),
        ({"shares": (Fraction(1),)}, "at least two rising shares"),
        ({"seeds": 0}, "start at 1"),
        ({"overrides": ("train.tokens=5",)}, "train.tokens=5 cannot be set here"),
        ({"options": {"data": "stdlib"}}, "stdlib holds no packed conversations"),
    ],
)
def test_what_cannot_be_studied_is_said(options: dict[str, Any], message: str, packed: Path) -> None:
    with pytest.raises(RequestError, match=message):
        _asked(packed, **options)


def test_a_share_under_two_steps_is_refused_before_anything_runs(packed: Path, tmp_path: Path) -> None:
    asked = _asked(packed, shares=(Fraction(1, 1000), Fraction(1)))
    with pytest.raises(RequestError, match="1/1000 of .* rows is too little"):
        run(asked, tmp_path / "study", listener=Heard().listener(), say=print)
    assert not (tmp_path / "study").exists()


def test_packed_data_decide_length_and_tokenizer(packed: Path) -> None:
    settings = resolve({"data": str(packed)}, SMALL)
    assert settings.train.seq_len == 40 and settings.tokenizer == "bytes"
    rows = settings.train.tokens / 40
    assert rows == 3 * make(settings).data.train.num_rows  # type: ignore[union-attr]
    with pytest.raises(RequestError, match="seq_len is 64, .* rows of 40 tokens"):
        resolve({"data": str(packed)}, [*SMALL, "seq_len=64"])
