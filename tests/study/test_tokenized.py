"""Studies of tokenizers: every arm reads the same documents in tokens of its own."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from paribus.errors import RequestError
from paribus.study import results, session
from paribus.study.engine import Ran
from paribus.study.plan import Plan
from paribus.study.session import Prepared
from paribus.study.settings import resolve
from paribus.study.worker import TrialRunner
from paribus.text.data import default_cache, load_dataset
from paribus.text.tokenizers import get_tokenizer
from paribus.text.tokenizers.methods import Corpus, train_tokenizer
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.training import write_tokenizer

from .conftest import TINY, outcome
from .test_results import SESSION


def make(corpus: Path, **options: Any) -> Prepared:
    asked = {"data": str(corpus), "arms": ["bytes", "byte_bpe:290"], "seeds": 2} | options
    return session.make(resolve("quick", asked, TINY, study="tokenizer"), study="tokenizer", threads=1)


def test_arms_read_the_same_bytes_with_the_same_body(corpus: Path) -> None:
    plan = make(corpus).plan
    base, other = plan.arm("bytes"), plan.arm("byte_bpe:290")
    own = plan.data["tokenizers"]
    a_token = own["byte_bpe:290"]["bytes_per_token"]
    assert (own["byte_bpe:290"]["vocab_size"], other.model.vocab_size) == (290, 290) and a_token > 1.2
    assert other.train.seq_len == round(16 / a_token)
    assert other.train.steps == base.train.steps and other.train.batch_size == base.train.batch_size
    assert other.model.d_ff == base.model.d_ff and other.mismatch == 0
    assert base.data != other.data and plan.arm("handicap").data == base.data
    data = [load_dataset(default_cache() / "datasets" / str(arm.data)) for arm in (base, other)]
    assert data[0].heldout.num_bytes == data[1].heldout.num_bytes
    assert data[1].open_tokenizer().name == own["byte_bpe:290"]["name"]
    assert Plan.from_dict(plan.to_dict()).sha256 == plan.sha256


def test_a_study_for_other_machines_is_planned_alike(corpus: Path) -> None:
    asked = {"data": str(corpus), "arms": ["bytes", "byte_bpe:290"], "seeds": 2}
    settings = resolve("quick", asked, TINY, study="tokenizer")
    sent = session.make(settings, study="tokenizer", here=False).plan
    assert sent.sha256 == make(corpus).plan.sha256
    assert {str(arm.data) for arm in sent.arms} == {own["sha256"] for own in sent.data["tokenizers"].values()}


def test_equal_flops_move_the_steps(corpus: Path) -> None:
    plan = make(corpus, match="flops").plan
    assert plan.arm("byte_bpe:290").train.steps > plan.arm("bytes").train.steps
    assert abs(plan.arm("byte_bpe:290").compute_mismatch) < 0.05


def test_a_trial_is_trained_and_scored_on_all_text_of_its_own_arm(corpus: Path, tmp_path: Path) -> None:
    prepared = make(corpus)
    plan = prepared.plan
    assert prepared.data is not None
    trial = plan.trial(plan.arm("byte_bpe:290"), 4e-2, 0)
    trial = dataclasses.replace(trial, probes={})
    runner = TrialRunner(prepared.data, checkpoints=tmp_path)
    found = runner.run(trial, progress=lambda done, total: None)
    own = default_cache() / "datasets" / str(trial.data)
    heldout = load_dataset(own).heldout
    nats = sum(found["heldout_nats"])
    # All of the held-out text but a rest shorter than a window is scored.
    assert nats / 0.6931471805599453 / found["val_bpb"] == pytest.approx(heldout.num_bytes, rel=0.1)
    shutil.rmtree(own)
    with pytest.raises(RequestError, match="not a whole prepared dataset"):
        TrialRunner(prepared.data, checkpoints=tmp_path).run(trial, progress=lambda done, total: None)


def test_the_result_says_what_each_vocabulary_costs(corpus: Path) -> None:
    plan = make(corpus).plan
    found = {trial.key: outcome(2.0) for trial in plan.trials(plan.rates)}
    built = results.build(plan, Ran(rates=plan.rates, seeds=plan.seeds), found, sessions=[SESSION])
    base, other = built["tokenizers"]["arms"]
    assert base["body_params"] == other["body_params"]
    assert other["embedding_params"] - base["embedding_params"] == 2 * 12 * (290 - 257)
    assert other["training_bytes"] == pytest.approx(base["training_bytes"], rel=0.1)
    assert built["question"].startswith("Which tokenizer")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"match": "params"}, "matched by bytes or by flops"),
        ({"arms": ["bytes"]}, "two or more"),
        ({"arms": ["bytes", "byte_bpe:5"]}, "vocab_size 5"),
        ({"arms": ["bytes", "lossy"]}, "loses capital letters"),
        ({"arms": ["bytes", "no/where"]}, "there is no tokenizer"),
    ],
)
def test_what_cannot_be_compared(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Any, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = Recipe(method="byte_bpe", vocab_size=270, normaliser="lowercase")
    write_tokenizer(train_tokenizer(recipe, Corpus(lambda: ["abab"])), tmp_path / "lossy")
    assert get_tokenizer("lossy").loses
    with pytest.raises(RequestError, match=said):
        make(corpus, **options)


def test_text_that_is_prepared_already_and_other_studies_are_refused(corpus: Path) -> None:
    prepared = make(corpus)
    assert prepared.data is not None
    with pytest.raises(RequestError, match="give the text itself"):
        make(prepared.data.folder)
    asked = {"data": str(corpus), "vary": {"tokenizer": ["bytes", "byte_bpe:290"]}}
    with pytest.raises(RequestError, match="paribus study tokenizer"):
        session.make(resolve("quick", asked, TINY))
