"""The command line: help, one sentence for each mistake, exit codes, JSON alone on stdout."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from paribus import __main__ as entry
from paribus import registry
from paribus.cli import main
from paribus.cli.explain import _document
from paribus.study.settings import ModelSection, StudySettings
from paribus.text.data import prepare
from paribus.text.tokenizers import get_tokenizer
from paribus.train.config import TrainConfig
from tests.study.conftest import LONGER, TINY, write_corpus

FIELDS = {"name", "parts", "d_ff", "slot_params", "params", "flops_per_token"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus.txt")


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a command left: its exit code and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


Paribus = Callable[..., Done]


@pytest.fixture
def paribus(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paribus:
    """The command line in this process, through the entry point that the installed program has."""

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["paribus", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
            sys.exit(0)
        said = capsys.readouterr()
        return Done(returncode=int(exit_.value.code or 0), stdout=said.out, stderr=said.err)

    return call


def _sentence(done: Done, *, code: int = 2) -> str:
    """The one sentence on stderr of a command that must have failed with this exit code."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("command", [[], ["study"], ["explain"], ["catalog"], ["inspect"], ["diff"]])
def test_help_has_an_example(paribus: Paribus, command: list[str]) -> None:
    done = paribus(*command, "--help")
    assert done.returncode == 0
    assert "Example: paribus " in done.stdout


def test_catalog_lists_every_part(paribus: Paribus) -> None:
    listed = json.loads(paribus("catalog", "--json").stdout)
    parts = registry.catalog()
    assert {slot: [row["name"] for row in rows] for slot, rows in listed.items()} == {
        slot: list(cards) for slot, cards in parts.items()
    }
    shown = paribus("catalog", "ffn").stdout
    assert all(name in shown for name in parts["ffn"])


@pytest.mark.parametrize("name", ["swiglu", "swish", "rmsnorm", "rope", "pre", "mha"])
def test_explain_tells_formula_source_and_traps(paribus: Paribus, name: str) -> None:
    card = registry.search(name)[0]
    shown = paribus("explain", name).stdout
    assert card.formula in shown
    assert card.paper in shown
    assert all(trap in shown for trap in card.traps)


def test_explain_counts_are_those_of_the_glu_paper(paribus: Paribus) -> None:
    shown = paribus("explain", "swiglu").stdout
    assert "d_ff 2048" in shown
    assert f"{3 * 768 * 2048:,} parameters" in shown


@pytest.mark.parametrize("slot", sorted(registry.catalog()))
def test_every_part_can_be_explained(slot: str) -> None:
    for card in registry.catalog()[slot].values():
        assert _document(card)["formula"] == card.formula


def test_explain_says_how_large_the_hidden_vector_starts_out(paribus: Paribus) -> None:
    """Under fan-in a ReLU of N(0, 1) has a mean square of 1/2, and a bilinear product one of 1."""
    assert "0.707 under fan_in" in paribus("explain", "reglu").stdout  # 1/2 * 1
    assert "1.000 under fan_in" in paribus("explain", "bilinear").stdout
    without = paribus("explain", "self_gate_gelu").stdout
    assert "no d_ff to choose" in without and "hidden RMS" not in without


def test_help_names_every_setting(paribus: Paribus) -> None:
    words = set(re.findall(r"\w+", paribus("study", "--help").stdout.replace("-", "_")))
    settings = {field.name for field in dataclasses.fields(TrainConfig)} | ModelSection.model_fields.keys()
    assert settings <= words
    without_option = {"handicap", "kind", "slot", "probes"}
    options = StudySettings.model_fields.keys() - {"model", "train", "tokenizer"} - without_option
    assert {*without_option, *(f"__{option}" for option in options)} <= words


def test_unknown_names_offer_the_nearest(paribus: Paribus) -> None:
    assert "did you mean swiglu" in _sentence(paribus("explain", "swigl"))
    assert "did you mean ffn" in _sentence(paribus("catalog", "ffm"))
    assert "did you mean models" in _sentence(paribus("catalog", "modles"))
    assert "there is no study of 'norms'" in _sentence(paribus("study", "norms"))
    assert "did you mean swiglu" in _sentence(paribus("study", "ffn", "--arms", "relu,swigluu"))
    assert "did you mean model.d_model" in _sentence(paribus("study", "ffn", "model.dmodel=8"))
    assert "--arms" in paribus("study", "ffn", "--arm", "relu").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", 0], "seeds"),
        (["--rates", "fast"], "--rates takes numbers"),
        (["--rates", "1e-3,2e-3"], "at least 3"),
        (["--data", "/no/such/file.txt"], "/no/such/file.txt"),
        (["model.d_model=3000000"], "GiB"),
        (["model.d_model=100", "model.num_heads=3"], "num_heads"),
        (["model.d_model=6", "model.num_heads=2"], "head_dim must be even"),
        (["model.position=nowhere"], "no position called 'nowhere'"),
        (["--baseline", "rellu"], "did you mean relu"),
        (["--preset", "paperr"], "did you mean paper"),
    ],
)
def test_a_wrong_request_is_one_sentence(paribus: Paribus, arguments: list[object], said: str) -> None:
    assert said in _sentence(paribus("study", "ffn", *arguments))


def test_ctrl_c_while_the_commands_load_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pressed:
        """Stands for Ctrl-C at the first module of the command line."""

        @staticmethod
        def find_spec(name: str, *others: object) -> None:
            if name == "paribus.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "paribus.cli")
    monkeypatch.setattr(sys, "meta_path", [Pressed, *sys.meta_path])
    with pytest.raises(SystemExit) as exit_:
        entry.main()
    assert exit_.value.code == 130


def test_what_torchrun_starts_is_refused_but_for_train(
    paribus: Paribus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert "paribus study works in one" in _sentence(paribus("study", "ffn"))
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert paribus("explain", "relu").returncode == 0


def test_too_little_text_says_how_much_is_needed(paribus: Paribus, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("too short\n\n" * 10)
    assert "bytes" in _sentence(paribus("study", "ffn", "--data", tmp_path / "short.txt", *TINY))


def test_dry_run_gives_the_arms_under_the_keys_of_results(
    paribus: Paribus, corpus: Path, tmp_path: Path
) -> None:
    done = paribus("study", "ffn", "--data", corpus, "--dry-run", "--json", "--workers", 1, *TINY)
    assert done.returncode == 0, done.stderr
    planned = json.loads(done.stdout)
    assert [arm["name"] for arm in planned["arms"]] == ["relu", "gelu", "swiglu", "geglu"]
    assert all(arm.keys() >= FIELDS for arm in planned["arms"])
    assert planned["trials"] == 72
    assert planned["expected_minutes"] > 0


def test_one_seed_runs_and_cannot_tell(paribus: Paribus, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [
        "study",
        "ffn",
        "--arms",
        "relu,swiglu",
        "--seeds",
        1,
        "--data",
        corpus,
        "--out",
        out,
        *LONGER,
    ]
    done = paribus(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert {arm["name"]: arm["verdict"] for arm in results["arms"]} == {
        "relu": "baseline",
        "swiglu": "cannot tell",
    }
    assert "one seed cannot tell" in results["arms"][1]["reason"]
    assert json.loads((out / "results.json").read_text()) == results
    for name in ("report.html", "report.md", "results.csv"):
        assert (out / name).stat().st_size > 0
    assert "holds a different study" in _sentence(paribus(*arguments, "--seeds", 2))


@pytest.mark.slow
def test_a_user_part_from_a_file_is_an_arm(paribus: Paribus, corpus: Path, tmp_path: Path) -> None:
    part = tmp_path / "mine.py"
    part.write_text(
        "from paribus import GatedFeedForward\n"
        "class Mine(GatedFeedForward):\n"
        "    def __init__(self, *, d_model, d_ff):\n"
        "        super().__init__(d_model=d_model, d_ff=d_ff, gate='tanh')\n"
    )
    out = tmp_path / "out"
    done = paribus(
        *(
            "study",
            "ffn",
            "--arms",
            f"relu,{part}:Mine",
            "--seeds",
            1,
            "--data",
            corpus,
            "--out",
            out,
            "--json",
        ),
        *LONGER,
    )
    assert done.returncode == 0, done.stderr
    assert [arm["name"] for arm in json.loads(done.stdout)["arms"]] == ["relu", "Mine"]


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_loses_nothing(
    paribus: Paribus, corpus: Path, tmp_path: Path
) -> None:
    """A limit on file size stands for a disk that fills up: the ledger cannot grow."""
    out = tmp_path / "out"
    arguments = [
        "study",
        "ffn",
        "--arms",
        "relu,swiglu",
        "--seeds",
        1,
        "--data",
        corpus,
        "--out",
        out,
        *LONGER,
    ]
    limited = (
        "import resource, signal, runpy, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "sys.argv = ['paribus', *sys.argv[1:]]\n"
        "runpy.run_module('paribus', run_name='__main__')\n"
    )
    prepare(str(corpus), tokenizer=get_tokenizer("bytes"), cache=tmp_path / "cache")
    short = subprocess.run(
        [sys.executable, "-c", limited, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert short.returncode == 1, short.stderr
    assert "Traceback" not in short.stderr
    again = paribus(*arguments, "--json")
    assert again.returncode == 0, again.stderr
    assert all(trial["status"] == "done" for trial in json.loads(again.stdout)["trials"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "prepare", "corpus.txt", "--out", "x" * 300),
        ("data", "sft", "x" * 300, "--out", "packed", "--seq-len", "64"),
        ("plot", "rope", "--out", "corpus.txt/rope.svg"),
    ],
)
def test_a_name_that_no_file_can_have_is_one_sentence(
    paribus: Paribus,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    done = paribus(*arguments)
    assert done.returncode in (1, 2) and done.stderr.count("paribus: ") == 1
    assert "File name too long" in done.stderr or "Not a directory" in done.stderr


def test_a_terminal_that_is_not_unicode_is_written_to() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "paribus", "explain", "swiglu"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "?" in done.stdout and done.stdout.isascii()
