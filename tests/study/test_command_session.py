import sys
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.study import session
from paribus.study.command import session as command_session

from .conftest import Heard

PROGRAM = """
import json, math, pathlib, sys
width, lr, seed, tokens, out = sys.argv[1:]
noise = 0.002 * ((int(seed) * 5 + len(width)) % 7)
loss = 2 + 0.1 * math.log(float(lr) / 2e-3) ** 2 + noise - 0.2 * (width == "wide") + 0.3 * (int(tokens) < 1000)
(pathlib.Path(out) / "metrics.jsonl").write_text(json.dumps({"tokens": int(tokens), "train_bpb": 3.0}) + "\\n" + json.dumps({"val_bpb": loss}) + "\\n")
"""


def _command(tmp_path: Path) -> str:
    program = tmp_path / "train.py"
    program.write_text(PROGRAM)
    return f"{sys.executable} {program} {{width}} {{lr}} {{seed}} {{tokens}} {{out}}"


def test_a_program_of_ones_own_gets_verdicts_controls_and_a_report(tmp_path: Path) -> None:
    prepared = command_session.make(
        _command(tmp_path), ["width=narrow,wide"], {"rates": [1e-3, 2e-3, 4e-3]}, ["tokens=1000"], workers=2
    )
    results, files = session.run(
        prepared,
        tmp_path / "out",
        command="x",
        listener=Heard().listener(),
        launching=command_session.launcher,
    )
    assert {arm["name"]: arm["verdict"] for arm in results["arms"]} == {
        "narrow": "baseline",
        "wide": "better",
    }
    assert {control["name"]: control["ok"] for control in results["controls"]} == {
        "placebo": True,
        "handicap": True,
    }
    assert {trial["status"] for trial in results["trials"]} == {"done"}
    assert files["report.html"].stat().st_size > 10_000


def test_a_second_run_takes_everything_from_the_ledger(tmp_path: Path) -> None:
    command = _command(tmp_path)
    for _ in range(2):
        prepared = command_session.make(
            command, ["width=narrow,wide"], {"rates": [1e-3, 2e-3, 4e-3], "seeds": 1}, ["tokens=1000"]
        )
        heard = Heard()
        session.run(
            prepared,
            tmp_path / "out",
            command="x",
            listener=heard.listener(),
            launching=command_session.launcher,
        )
    assert heard.finished == []


@pytest.mark.parametrize("text", ["2000", "2_000", "2e3", " 2000 "])
def test_a_number_of_tokens_can_be_written_in_several_ways(tmp_path: Path, text: str) -> None:
    prepared = command_session.make(_command(tmp_path), ["width=a,b"], {}, [f"tokens={text}"])
    assert prepared.plan.arm("a").tokens == 2000


@pytest.mark.parametrize(
    ("options", "overrides", "said"),
    [
        ({"arms": ["relu"]}, [], "--arms is for studies of our own trainer"),
        ({"match": "flops"}, [], "--match is for studies of our own trainer"),
        ({}, ["tokns=5"], "did you mean tokens"),
        *(
            ({}, [f"tokens={text}"], rf"tokens is a whole number, written without commas; it is '{text}'")
            for text in ("lots", "1.5", "100,000", ".inf", "#", "", "1e99999", "9" * 5000)
        ),
        *(
            ({}, [f"handicap={text}"], rf"handicap is a share between 0 and 1; it is '{text}'")
            for text in ("x", "nan", "inf", "0,5", "1", "0", "-0.5")
        ),
    ],
)
def test_what_a_command_cannot_have_is_one_sentence(
    tmp_path: Path, options: dict[str, Any], overrides: list[str], said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        command_session.make(_command(tmp_path), ["width=a,b"], options, overrides)
