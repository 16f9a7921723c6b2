"""Training on two processes: what each case gives is what one process gives, to rounding."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from paribus import registry
from paribus.errors import RequestError, WorkError
from paribus.model.count import on_meta
from paribus.model.initialise import allocate, build
from paribus.text.data.sft import pack
from paribus.text.tokenizers import get_tokenizer
from paribus.train.objectives import Examples
from paribus.train.program import Program
from paribus.train.ranks import ALONE, Ranks, joined

from .. import two
from . import two_ranks
from .conftest import MODEL, TRAIN
from .test_every_part import config_with

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch without torch.distributed")

TWO = Ranks(rank=1, size=2, local_rank=1, local_size=2)


def on_two(folder: Path, cases: list[str]) -> dict[str, Any]:
    return two.on_two("tests.train.two_ranks", folder, cases)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text, and packed conversations whose rows have unequally many scored tokens."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "text.txt").write_text(
        "".join(f"line {n} of a text that counts {n * n}\n" + "\n" * (n % 7 == 0) for n in range(400))
    )
    rows = [{"prompt": f"{n}+1="[:6], "answer": f"{n % 9}{n % 5 * 'x'}"} for n in range(200)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pack(
        folder / "rows.jsonl",
        folder / "packed",
        tokenizer=get_tokenizer("bytes"),
        seq_len=two_ranks.SEQ_LEN,
        held_out=0.2,
    )
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    return on_two(folder, [*two_ranks.DAILY, "numbers", "again", "elsewhere", "stopped", "damaged", "hidden"])


def assert_same(together: dict[str, Any], alone: dict[str, Any], *, rel: float = 2e-5) -> None:
    assert together.keys() == alone.keys()
    for name, value in alone.items():
        assert together[name] == pytest.approx(value, rel=rel), name


@pytest.mark.parametrize("case", two_ranks.DAILY)
def test_two_processes_train_as_one_does(case: str, folder: Path, found: dict[str, Any]) -> None:
    result, weights = two_ranks.trained(two_ranks.DAILY[case], folder)
    assert weights is not None
    of_muon = case == "muon"  # it orthogonalises in bfloat16
    assert_same(found[case], two_ranks.facts(result), rel=5e-4 if of_muon else 2e-5)
    if case != "unclipped":
        assert result.clipped_fraction > 0.2  # so that the scale of gradients counts
    together = torch.load(folder / f"{case}.pt", weights_only=True)
    assert together.keys() == weights.keys()
    for name, alone in weights.items():
        error = (together[name] - alone).norm() / alone.norm()
        assert error < (5e-3 if of_muon else 1e-5), name


def test_numbers_are_shared(found: dict[str, Any]) -> None:
    assert found["numbers"] == {
        "most": [1, 5],
        "total": [10.0, 12.0],
        "gather": [[0.0, 10.0], [1.0, 11.0]],
        "same": [
            None,
            None,
            "the 2 processes have not the same text: take a disk that all machines share",
        ],
    }


def test_processes_that_do_not_see_the_same_checkpoint_are_refused(found: dict[str, Any]) -> None:
    assert found["elsewhere"].startswith("the 2 processes have not the same checkpoint")


def test_one_that_is_told_to_stop_stops_all_and_they_go_on_to_the_same_bits(
    folder: Path, found: dict[str, Any]
) -> None:
    gave = found["stopped"]
    assert (gave.pop("began"), gave.pop("left")) == (11, False)
    assert [step for step, _ in gave["scores"]] == [6, 18]
    assert gave | {"scores": []} == found["tied"]
    kept = torch.load(folder / "kept.pt", weights_only=True)
    whole = Program(*two_ranks.made(two_ranks.DAILY["tied"], folder)[:2]).model.state_dict()
    assert {name: tensor.shape for name, tensor in kept["model"].items()} == {
        name: tensor.shape for name, tensor in whole.items()
    }
    assert {type(tensor) for tensor in kept["model"].values()} == {torch.Tensor}
    assert kept["optimiser"]["state"][0]["exp_avg"].shape == whole["embedding.weight"].shape


def test_a_program_runs_again_to_the_same_bits(found: dict[str, Any]) -> None:
    assert found["again"] == found["tied"]


@pytest.mark.parametrize("how", ["damaged", "hidden"])
def test_a_checkpoint_that_one_cannot_read_means_a_fresh_start_on_all(
    how: str, found: dict[str, Any]
) -> None:
    gave = found[how]
    assert (gave.pop("began"), gave.pop("left")) == (1, False)
    assert gave | {"scores": []} == found["tied"]


@pytest.mark.slow
def test_two_processes_train_compiled_by_block(folder: Path) -> None:
    case = json.dumps({"compile": "on", "ffn": "swiglu", "norm": "rmsnorm"})
    result, _ = two_ranks.trained(json.loads(case), folder)
    assert_same(on_two(folder, [case])[case], two_ranks.facts(result))


#: The first draws at random, on each process for itself; the other needs the whole batch.
_OTHERWISE = {"rrelu", "batchnorm"}
#: By one of 16 features it is so unstable that rounding decides; this is the same norm by more of them.
_STABLE = {"prmsnorm": {"name": "rmsnorm", "fraction": 0.5}}


@pytest.mark.slow
@pytest.mark.parametrize("slot", ["activation", "attention", "ffn", "norm", "position", "residual"])
def test_every_part_trains_on_two_processes_as_on_one(slot: str, folder: Path) -> None:
    short = {"d_model": 16, "num_heads": 4, "tokens": two_ranks.TRAIN["tokens"] // 3}
    of = "ffn" if slot == "activation" else slot
    cases = {}
    for name in set(registry.catalog()[slot]) - _OTHERWISE:
        config = config_with(slot, name)
        changes = {of: _STABLE.get(name, getattr(config, of)), "num_kv_heads": config.num_kv_heads}
        cases[name] = json.dumps({**short, **changes})
    both = on_two(folder, list(cases.values()))
    for name, case in cases.items():
        result, _ = two_ranks.trained(json.loads(case), folder)
        assert_same(both[case], two_ranks.facts(result), rel=1e-4)


def test_a_batch_is_shared_out_by_rows() -> None:
    ids = np.arange(8).reshape(4, 2)
    examples = Examples(inputs=ids, targets=ids + 1, source=ids + 2)
    part = TWO.rows(examples)
    assert (part.inputs.tolist(), part.targets[0, 0], part.source is not None) == (ids[2:].tolist(), 5, True)
    assert part.position is None and np.array_equal(ALONE.rows(examples).inputs, ids)
    with pytest.raises(RequestError, match=r"train.batch_size is 3, which 2 processes cannot share evenly"):
        TWO.check_batch(3)


def test_what_needs_the_whole_batch_is_refused() -> None:
    model = build(dataclasses.replace(MODEL, norm="batchnorm"), seed=0)
    ALONE.check_model(model)
    with pytest.raises(RequestError, match=r"BatchNorm takes statistics over the whole batch"):
        TWO.check_model(model)


def test_a_buffer_that_is_computed_from_undrawn_parameters_is_refused() -> None:
    with TWO.building():
        model = allocate(MODEL)
    TWO.check_model(model)
    model.register_buffer("total", next(model.parameters()).detach().sum(0))
    with pytest.raises(RequestError, match="total is computed from a parameter before that is drawn"):
        TWO.check_model(model)


def test_a_parameter_that_cannot_be_shared_is_refused() -> None:
    model = on_meta(dataclasses.replace(MODEL, ffn=f"{two_ranks.__file__}:Single"))
    ALONE.check_model(model)
    with pytest.raises(
        RequestError, match=r"ffn.beta cannot be shared by 2 processes.*float32 of shape \[\]"
    ):
        TWO.check_model(model)


def test_one_process_alone_needs_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")  # some batch systems set it for every job
    with joined() as ranks:
        assert ranks is ALONE
    assert Program(MODEL, TRAIN).ranks.size == 1


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer"), WorkError),
        (RuntimeError("shapes differ"), RuntimeError),
        (WorkError("writing to igloo failed"), WorkError),
    ],
)
def test_the_end_of_another_process_is_a_sentence(
    error: Exception, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dist, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(dist, "init_process_group", lambda *args, **options: None)
    monkeypatch.setattr(dist, "new_group", lambda **options: None)
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(raised) as caught, joined() as ranks:
        assert ranks == TWO
        raise error
    assert type(caught.value) is raised
    assert ("another one has ended" in str(caught.value)) == ("closed" in str(error))
