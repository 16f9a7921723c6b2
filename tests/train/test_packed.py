"""Training on packed conversations: what it computes is what each document gives alone."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from paribus.errors import RequestError
from paribus.model.config import ModelConfig
from paribus.model.initialise import build
from paribus.text.data.sft import PADDING, PackedDataset, Rows, batch_rows, pack, spread_rows
from paribus.text.tokenizers import get_tokenizer
from paribus.train.config import TrainConfig
from paribus.train.evaluation import evaluate
from paribus.train.examples import check_packed, packed_examples, scored_per_row
from paribus.train.objectives import IGNORE, Examples, get_objective
from paribus.train.program import Batch, Program
from paribus.train.run import run

SEQ_LEN = 40
TRAIN = TrainConfig(
    tokens=SEQ_LEN * 4 * 30, batch_size=4, seq_len=SEQ_LEN, compile="off", dtype="float32", heldout_tokens=600
)
POSITIONS = ["rope", "alibi", "learned", "sinusoidal", "t5", "none"]


def _model(position: Any = "rope", **more: Any) -> ModelConfig:
    sizes = {"vocab_size": 257, "d_model": 16, "d_ff": 24, "num_layers": 2, "num_heads": 2}
    return ModelConfig(**sizes, max_seq_len=SEQ_LEN, position=position, **more)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    folder = tmp_path_factory.mktemp("conversations")
    rows = [{"prompt": f"{n}+1="[:6], "answer": f"{n + 1} of {n % 5 * 'x'}"} for n in range(160)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options: dict[str, Any] = {"tokenizer": get_tokenizer("bytes"), "seq_len": SEQ_LEN, "held_out": 0.2}
    return pack(folder / "rows.jsonl", folder / "packed", **options).dataset


def _alone(rows: Rows) -> Examples:
    """Each document in a row of its own, at its beginning, with padding that nothing sees."""
    found = []
    for ids, scored, document in zip(rows.ids, rows.scored, rows.document, strict=True):
        found += [(ids[document == n], scored[document == n]) for n in range(document.max() + 1)]
    inputs = np.zeros((len(found), SEQ_LEN), dtype=np.int64)
    targets = np.full_like(inputs, IGNORE)
    valid = np.zeros(inputs.shape, dtype=np.bool_)
    for row, (ids, scored) in enumerate(found):
        inputs[row, : len(ids)], valid[row, : len(ids)] = ids, True
        for place in range(1, len(ids)):
            if scored[place]:
                targets[row, place - 1] = ids[place]
    return Examples(inputs=inputs, targets=targets, inputs_valid=valid)


def _loss_and_gradients(program: Program, examples: Examples) -> tuple[float, list[torch.Tensor]]:
    program.model.zero_grad()
    loss = program.loss(Batch.of(examples, program.device))
    loss.mean.backward()
    return loss.mean.item(), [parameter.grad.clone() for parameter in program.model.parameters()]


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("attention", ["mha", {"name": "mha", "window": 5}])
def test_packed_and_unpacked_documents_give_the_same_loss_and_gradients(
    position: str, attention: Any, data: PackedDataset
) -> None:
    program = Program(_model(position, attention=attention), TRAIN, scored_per_row=scored_per_row(data))
    program.model.load_state_dict(build(program.config, seed=1).state_dict())
    rows = data.train.rows(spread_rows(data.train, num_tokens=6 * SEQ_LEN))
    assert rows.document.max() >= 1 and (rows.document == PADDING).any()
    packed, alone = packed_examples(rows), _alone(rows)
    assert sorted(packed.scored()) == sorted(alone.scored())
    loss, gradients = _loss_and_gradients(program, packed)
    expected, expected_gradients = _loss_and_gradients(program, alone)
    assert loss == pytest.approx(expected, rel=2e-6)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("position", POSITIONS)
def test_no_document_sees_another(position: str, data: PackedDataset) -> None:
    model = build(_model(position), seed=2)
    rows = data.train.rows(spread_rows(data.train, num_tokens=6 * SEQ_LEN))
    other = rows.ids.copy()
    changed = rows.document == 0
    other[changed] = (other[changed] + 7) % 250

    def logits(ids: np.ndarray) -> torch.Tensor:
        read = {"position_T": torch.from_numpy(rows.position), "document_BT": torch.from_numpy(rows.document)}
        return model(torch.from_numpy(ids), **read)

    with torch.no_grad():
        before, after = logits(rows.ids), logits(other)
    kept = torch.from_numpy(~changed)
    assert torch.equal(before[kept], after[kept])
    assert not torch.equal(before[~kept], after[~kept])


def test_only_what_is_scored_has_a_target_and_never_across_documents(data: PackedDataset) -> None:
    rows = data.train.rows(np.arange(data.train.num_rows))
    examples = packed_examples(rows)
    places = np.argwhere(examples.targets != IGNORE)
    assert len(places) == data.train.num_scored == rows.scored.sum()
    for row, place in places:
        assert rows.document[row, place] == rows.document[row, place + 1] != PADDING
        assert rows.scored[row, place + 1] and rows.ids[row, place + 1] == examples.targets[row, place]


def test_a_run_learns_to_answer_and_its_curve_is_in_bits_per_byte_of_answers(data: PackedDataset) -> None:
    program = Program(_model(), TRAIN, scored_per_row=scored_per_row(data))
    result = run(program, data, TRAIN, seed=0, rate=1e-2)
    assert result.status == "done" and result.val_bpb is not None
    assert result.val_bpb < 0.7 * result.first_bpb
    program.model.load_state_dict(build(program.config, seed=0).state_dict())
    first = packed_examples(batch_rows(data.train, seed=0, step=0, batch_size=4))
    nats = float(program.loss(Batch.of(first, program.device)).nats_BT.sum()) / len(first.scored())
    bits = nats / math.log(2) * data.train.num_scored / data.train.scored_bytes
    assert result.first_bpb == pytest.approx(bits, rel=1e-5)
    score = evaluate(program, data, TRAIN)
    held = data.heldout
    assert (score.targets, score.num_bytes) == (held.num_scored, held.scored_bytes)
    assert len(score.nats) == held.num_rows


def test_what_cannot_be_trained_on_is_said(data: PackedDataset) -> None:
    with pytest.raises(RequestError, match="rows of 40 tokens, and train.seq_len is 8"):
        check_packed(data, get_objective("next_token"), TrainConfig(seq_len=8))
    with pytest.raises(RequestError, match="fewer than train.batch_size"):
        check_packed(data, get_objective("next_token"), TrainConfig(seq_len=40, batch_size=2000))
    with pytest.raises(RequestError, match="take a decoder"):
        check_packed(data, get_objective("masked_token"), TrainConfig(seq_len=40))


@pytest.mark.slow
def test_compiled_it_gives_the_loss_and_gradients_of_eager(data: PackedDataset) -> None:
    rows = data.train.rows(spread_rows(data.train, num_tokens=4 * SEQ_LEN))
    found = []
    for mode in ("off", "on"):
        train = dataclasses.replace(TRAIN, compile=mode)
        program = Program(_model("learned"), train, scored_per_row=scored_per_row(data))
        program.model.load_state_dict(build(program.config, seed=1).state_dict())
        found.append(_loss_and_gradients(program, packed_examples(rows)))
    (loss, gradients), (compiled, compiled_gradients) = found
    assert compiled == pytest.approx(loss, rel=1e-5)
    for gradient, other in zip(gradients, compiled_gradients, strict=True):
        torch.testing.assert_close(other, gradient, rtol=1e-4, atol=2e-6)
