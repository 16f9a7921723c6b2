import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from paribus.errors import WorkError
from paribus.study.launchers.remote import RemoteRunner, open_dataset, pack, remote_environment, terms, unpack
from paribus.text.data import default_cache, prepare
from paribus.text.tokenizers.methods import Corpus, train_tokenizer
from paribus.text.tokenizers.recipe import Recipe

from .conftest import PartMaker, Study, here, trial


@pytest.fixture(autouse=True)
def _one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a launcher sets in a worker's environment, and what a worker then sets for good."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Go on as a machine with an empty cache."""
    monkeypatch.setenv("PARIBUS_CACHE", str(tmp_path / "elsewhere"))


def test_data_are_opened_by_their_hash_without_their_source(study: Study) -> None:
    study.source.unlink()
    assert open_dataset(study.described) == study.data


def test_data_that_are_not_in_the_cache_are_prepared_again(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _elsewhere(monkeypatch, tmp_path)
    opened = open_dataset(study.described)
    assert opened.sha256 == study.data.sha256
    assert opened.folder == default_cache() / "datasets" / study.data.sha256


def test_a_broken_dataset_in_the_cache_is_made_again(study: Study) -> None:
    next(study.data.folder.glob("train*")).unlink()
    assert open_dataset(study.described) == study.data


def test_without_data_and_source_the_sentence_says_what_to_do(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _elsewhere(monkeypatch, tmp_path)
    study.source.unlink()
    with pytest.raises(
        WorkError, match=r"does not have the text 'text.txt'.*set PARIBUS_CACHE to a folder that"
    ):
        open_dataset(study.described)


def test_a_source_that_says_something_else_there_is_refused(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _elsewhere(monkeypatch, tmp_path)
    study.source.write_text(study.source.read_text().replace("equal", "unequal"))
    with pytest.raises(WorkError, match=r"text.txt holds another text there: copy .*datasets/"):
        open_dataset(study.described)


def test_the_texts_of_all_arms_of_a_study_of_tokenizers_are_there_or_are_asked_for(study: Study) -> None:
    words = train_tokenizer(
        Recipe(method="byte_bpe", vocab_size=270), Corpus(lambda: ["all else being equal"])
    )
    own = prepare(study.source, tokenizer=words, cache=default_cache())
    arms = {name: {"sha256": data.sha256} for name, data in (("bytes", study.data), ("bpe", own))}
    described = {**study.described, "tokenizers": arms}
    assert open_dataset(described) == study.data
    sent = trial()
    sent = dataclasses.replace(
        sent, data=own.sha256, model=dataclasses.replace(sent.model, vocab_size=words.vocab_size)
    )
    runner = RemoteRunner(terms=terms(described, folder=study.folder))
    assert runner.run(pack(sent), progress=lambda tokens: None)["status"] == "done"
    shutil.rmtree(own.folder)
    result = RemoteRunner(terms=terms(described, folder=study.folder)).run(
        pack(sent), progress=lambda tokens: None
    )
    assert result["unfit"] and "PARIBUS_CACHE to a folder that all machines share" in result["reason"]


def test_a_relative_source_is_found_from_any_folder(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.source.parent)
    sent = terms({**study.described, "source": study.source.name}, folder=study.folder)
    monkeypatch.chdir("/")
    assert sent["data"]["source"] == str(study.source)
    assert terms({**study.described, "source": "stdlib"}, folder=study.folder)["data"]["source"] == "stdlib"


def test_a_packed_trial_comes_out_equal() -> None:
    assert unpack(pack(trial())) == trial()


def test_a_part_file_travels_by_its_content(study: Study, part: PartMaker, tmp_path: Path) -> None:
    sent = trial("mine", ffn=part("return x"))
    package = pack(sent)
    shutil.move(tmp_path / "part.py", tmp_path / "gone.py")
    moved = unpack(package)
    path, _, name = str(moved.model.ffn).rpartition(":")
    assert name == "Part"
    assert Path(path).read_bytes() == (tmp_path / "gone.py").read_bytes()
    assert dataclasses.replace(moved, model=sent.model) == sent
    part("return 2 * x")
    assert unpack(pack(sent)).model.ffn != moved.model.ffn  # another content, another module
    runner = RemoteRunner(terms=terms(study.described, folder=study.folder))
    assert runner.run(package, progress=lambda tokens: None)["status"] == "done"


def test_a_remote_runner_gives_what_this_process_would_and_tells_how_far_it_is(study: Study) -> None:
    runner = RemoteRunner(terms=terms(study.described, folder=study.folder))
    told: list[int] = []
    result = runner.run(pack(trial()), progress=told.append)
    assert result["val_bpb"] == here([trial()], study.data, study.folder)[trial().key]
    assert told[-1] == trial().tokens
    assert result["host"] and result["machine"]["cores"] >= 1


def test_a_part_that_raises_fails_its_trial_and_the_next_one_runs(study: Study, part: PartMaker) -> None:
    runner = RemoteRunner(terms=terms(study.described, folder=study.folder))
    broken = trial("mine", ffn=part("raise ZeroDivisionError('by design')"))
    result = runner.run(pack(broken), progress=lambda tokens: None)
    assert (result["status"], result["reason"]) == ("failed", "ZeroDivisionError: by design")
    assert "unfit" not in result
    assert runner.run(pack(trial()), progress=lambda tokens: None)["status"] == "done"


def test_a_machine_with_another_torch_is_unfit_and_says_what_to_install(study: Study) -> None:
    agreed = terms(study.described, folder=study.folder)
    runner = RemoteRunner(terms={**agreed, "versions": {**agreed["versions"], "torch": "1.0"}})
    result = runner.run(pack(trial()), progress=lambda tokens: None)
    assert result["unfit"]
    assert "the study began with 1.0: install torch 1.0 there" in result["reason"]


def test_a_machine_with_other_lines_of_the_same_version_is_unfit(study: Study) -> None:
    runner = RemoteRunner(terms={**terms(study.described, folder=study.folder), "source": "0" * 64})
    result = runner.run(pack(trial()), progress=lambda tokens: None)
    assert result["unfit"] and "with other lines than the study began with" in result["reason"]


def test_a_remote_worker_keeps_its_own_caches() -> None:
    assert remote_environment(3)["OMP_NUM_THREADS"] == "3"
    assert not any("CACHE" in name for name in remote_environment(1))
