"""The length probe scores the same bytes at every context, and says why where it cannot."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from paribus.errors import RequestError
from paribus.model.initialise import initialise
from paribus.parts.attention.mha import MultiHeadAttention
from paribus.registry import Registry, part
from paribus.text.data import Dataset, heldout_windows, prepare
from paribus.text.tokenizers import get_tokenizer
from paribus.train.config import TrainConfig
from paribus.train.evaluation import evaluate
from paribus.train.probes import make_probe
from paribus.train.program import Program

from .conftest import MODEL, TRAIN

TRAIN32 = dataclasses.replace(TRAIN, dtype="float32")
SEQ = TRAIN.seq_len


def trained(train: TrainConfig = TRAIN32, **changes: Any) -> Program:
    """A program whose weights are large enough for positions and contexts to matter."""
    program = Program(dataclasses.replace(MODEL, **changes), train)
    initialise(program.model, seed=0)
    with torch.no_grad():
        for block in program.model.blocks():
            for name in ("q", "k", "v", "o"):
                getattr(block.attention, name).weight.mul_(2.0)
    return program


def length(program: Program, data: Dataset, **options: Any) -> dict[str, Any]:
    options = {"factors": [1, 2, 4], "num_tokens": 512, **options}
    return make_probe("length", options).at_end(program, data, TRAIN32, seed=0)


def by_hand(program: Program, windows: np.ndarray, context: int) -> torch.Tensor:
    """Nats of every target, [N, L], one piece at a time."""
    rows = []
    for window in windows:
        for start in range(0, len(window) - 1, context):
            piece = torch.from_numpy(window[start : start + context + 1])
            with torch.no_grad():
                logits = program.model(piece[None, :-1])[0]
            rows.append(F.cross_entropy(logits, piece[1:], reduction="none"))
    return torch.cat(rows).reshape(len(windows), -1).double()


def test_every_context_scores_the_same_bytes(data: Dataset) -> None:
    program = trained()
    found = length(program, data, modes=["plain"])
    windows = heldout_windows(data.heldout, seq_len=4 * SEQ, num_tokens=512)
    targets = windows[:, 1:]
    assert found["contexts"] == [SEQ, 2 * SEQ, 4 * SEQ]
    assert (found["scored_tokens"], found["scored_bytes"]) == (targets.size, int((targets < 256).sum()))
    for context in found["contexts"]:
        nats = float(by_hand(program, windows, context).sum())
        assert found["plain"][str(context)]["nats"] == pytest.approx(nats, rel=1e-6)
        bits = nats / math.log(2) / found["scored_bytes"]
        assert found["plain"][str(context)]["bpb"] == pytest.approx(bits, rel=1e-6)
    values = [found["plain"][str(context)]["bpb"] for context in found["contexts"]]
    assert len({round(value, 4) for value in values}) == 3  # the contexts do differ here


def test_at_the_trained_length_it_is_the_score_of_the_run(data: Dataset) -> None:
    program = trained()
    found = length(program, data, factors=[1], num_tokens=TRAIN32.heldout_tokens)
    score = evaluate(program, data, TRAIN32)
    assert found["plain"][str(SEQ)]["bpb"] == pytest.approx(score.bits_per_byte, rel=1e-6)


def test_in_a_window_a_token_sees_the_last_tokens_only(data: Dataset) -> None:
    """In one layer over relative positions, that is a model that reads these tokens and no others."""
    program = trained(num_layers=1)
    found = length(program, data, num_tokens=4 * SEQ)
    window = heldout_windows(data.heldout, seq_len=4 * SEQ, num_tokens=4 * SEQ)[0]
    nats = []
    for end in range(1, 4 * SEQ + 1):
        seen = torch.from_numpy(window[max(0, end - SEQ) : end])
        with torch.no_grad():
            logits = program.model(seen[None])[0, -1]
        nats.append(F.cross_entropy(logits, torch.tensor(window[end])).item())
    assert found["window"][str(4 * SEQ)]["nats"] == pytest.approx(sum(nats), rel=1e-5)
    assert found["window"][str(SEQ)] == found["plain"][str(SEQ)]
    assert found["window"][str(4 * SEQ)] != found["plain"][str(4 * SEQ)]


def test_a_window_the_model_has_is_never_widened(data: Dataset) -> None:
    found = length(trained(attention={"name": "mha", "window": 5}), data)
    assert found["window"][str(4 * SEQ)]["nats"] == pytest.approx(
        found["plain"][str(4 * SEQ)]["nats"], rel=1e-6
    )


def test_the_loss_by_position_adds_up_to_the_loss(data: Dataset) -> None:
    program = trained()
    found = length(program, data, buckets=6)
    windows = heldout_windows(data.heldout, seq_len=4 * SEQ, num_tokens=512)
    for mode in ("plain", "window"):
        by_position = found["by_position"][mode]
        assert by_position["context"] == 4 * SEQ
        buckets = by_position["buckets"]
        assert [bucket["first"] for bucket in buckets[1:]] == [bucket["last"] + 1 for bucket in buckets[:-1]]
        assert (buckets[0]["first"], buckets[-1]["last"]) == (1, 4 * SEQ)
        sizes = [int((windows[:, b["first"] : b["last"] + 1] < 256).sum()) for b in buckets]
        bits = sum(bucket["bpb"] * size for bucket, size in zip(buckets, sizes, strict=True))
        total = found[mode][str(4 * SEQ)]["bpb"] * found["scored_bytes"]
        assert bits == pytest.approx(total, rel=1e-9)
    first = found["by_position"]["plain"]["buckets"][0]
    nats = by_hand(program, windows, 4 * SEQ)[:, first["first"] - 1 : first["last"]].sum()
    num_bytes = int((windows[:, first["first"] : first["last"] + 1] < 256).sum())
    assert first["bpb"] == pytest.approx(float(nats) / math.log(2) / num_bytes, rel=1e-6)


def test_the_bytes_are_those_of_the_targets(tmp_path: Path) -> None:
    """Ends of documents stand for no bytes, and here they stand at the ends of windows too."""
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(600):
        (texts / f"{number}.txt").write_text(f"{number * 7919}:{'ab' * (number % 9)}\n")
    many = prepare(str(texts), tokenizer=get_tokenizer("bytes"), cache=tmp_path / "cache")
    windows = heldout_windows(many.heldout, seq_len=SEQ, num_tokens=512)
    assert (windows[:, 0] == 256).sum() != (windows[:, -1] == 256).sum()
    found = length(trained(), many, factors=[1], num_tokens=512)
    assert found["scored_bytes"] == int((windows[:, 1:] < 256).sum())


def test_positions_that_end_give_none_and_their_reason(data: Dataset) -> None:
    found = length(trained(position="learned", max_seq_len=2 * SEQ), data)
    for mode in ("plain", "window"):
        assert [found[mode][str(context)] is None for context in found["contexts"]] == [False, False, True]
        assert "learned positions cover 32 tokens" in found["why_not"][mode][str(4 * SEQ)]
        assert found["by_position"][mode]["context"] == 2 * SEQ


@pytest.mark.parametrize("position", ["rope", "alibi", "t5", "shaw", "none", "sinusoidal"])
def test_positions_without_an_end_are_scored_at_every_context(position: str, data: Dataset) -> None:
    found = length(trained(position=position), data)
    assert all(found[mode][str(context)] for mode in ("plain", "window") for context in found["contexts"])


def test_batches_do_not_change_the_score(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    program = trained()
    whole = length(program, data)
    monkeypatch.setattr("paribus.train.probes.length._BATCH_BYTES", 1)
    one_by_one = length(program, data)
    for mode in ("plain", "window"):
        for context, score in whole[mode].items():
            assert one_by_one[mode][context]["nats"] == pytest.approx(score["nats"], rel=1e-6)


def test_a_row_that_needs_too_much_memory_is_left_out_and_says_so(data: Dataset) -> None:
    limit = 0.25e-3  # between what 16 tokens need and what 64 do
    found = length(trained(), data, memory_gib=limit)
    assert found["plain"][str(SEQ)] is not None and found["plain"][str(4 * SEQ)] is None
    assert "GiB, and memory_gib is 0.00025" in found["why_not"]["plain"][str(4 * SEQ)]


@pytest.mark.parametrize("scaling", ["rope_linear", "rope_ntk", "rope_yarn"])
def test_a_scaling_is_put_on_past_the_trained_length(scaling: str, data: Dataset) -> None:
    program = trained(position={"name": "rope", "base": 100.0})
    found = length(program, data, scalings=[scaling])
    scaled = found["scaled"][scaling]
    for mode in ("plain", "window"):
        assert scaled[mode][str(SEQ)] == found[mode][str(SEQ)]
        assert scaled[mode][str(4 * SEQ)] != found[mode][str(4 * SEQ)]
    other = trained(position={"name": scaling, "base": 100.0, "factor": 4.0, "original_length": SEQ})
    other.model.load_state_dict(program.model.state_dict())
    assert scaled["plain"][str(4 * SEQ)] == length(other, data)["plain"][str(4 * SEQ)]
    assert length(program, data) == {key: value for key, value in found.items() if key != "scaled"} | {
        "scaled": {}
    }


def test_a_scaling_by_length_is_not_scaled_twice(data: Dataset) -> None:
    """Dynamic NTK finds n / L by itself: over a whole context it is NTK with that factor."""
    program = trained(position={"name": "rope", "base": 100.0})
    scaled = length(program, data, scalings=["rope_ntk", "rope_dynamic"])["scaled"]
    assert scaled["rope_dynamic"]["plain"][str(4 * SEQ)] == scaled["rope_ntk"]["plain"][str(4 * SEQ)]
    other = trained(position={"name": "rope_dynamic", "base": 100.0, "factor": 1.0, "original_length": SEQ})
    other.model.load_state_dict(program.model.state_dict())
    assert scaled["rope_dynamic"]["plain"][str(4 * SEQ)] == length(other, data)["plain"][str(4 * SEQ)]


def test_layers_without_rope_keep_what_they_have_when_a_scaling_is_put_on(data: Dataset) -> None:
    program = trained(num_layers=2, position=["none", "rope"])
    scaled = length(program, data, scalings=["rope_ntk"])["scaled"]["rope_ntk"]
    other = trained(
        num_layers=2, position=["none", {"name": "rope_ntk", "factor": 4.0, "original_length": SEQ}]
    )
    assert scaled["plain"][str(4 * SEQ)] == length(other, data)["plain"][str(4 * SEQ)]


def test_pairs_that_keep_still_keep_still_when_rescaled(data: Dataset) -> None:
    most = {"turning": 2 / 3, "base": 100.0}
    scaled = length(trained(position={"name": "rope", **most}), data, scalings=["rope_linear"])["scaled"]
    other = trained(position={"name": "rope_linear", **most, "factor": 4.0, "original_length": SEQ})
    assert scaled["rope_linear"]["plain"][str(4 * SEQ)] == length(other, data)["plain"][str(4 * SEQ)]


def test_only_plain_rope_is_rescaled(data: Dataset) -> None:
    assert "scaled" not in length(trained(position="alibi"), data, scalings=["rope_ntk"])
    with pytest.raises(RequestError, match="no scaling of RoPE called 'rope_yarm'; did you mean rope_yarn"):
        make_probe("length", {"scalings": ["rope_yarm"]})


class _Inside(nn.Module):
    """Somebody's attention, which has no window of its own."""

    def __init__(self, *, d_model: int, num_heads: int, head_dim: int, cross: bool = False) -> None:
        super().__init__()
        self.inner = MultiHeadAttention(d_model=d_model, num_heads=num_heads, head_dim=head_dim, cross=cross)

    def forward(self, *given: Any) -> torch.Tensor:
        return self.inner(*given)


def test_attention_without_a_window_is_read_plainly_only(own_registry: Registry, data: Dataset) -> None:
    part("attention", "inside", formula="x", paper="here")(_Inside)
    program = Program(dataclasses.replace(MODEL, attention="inside"), TRAIN32)
    initialise(program.model, seed=0)
    found = length(program, data)
    assert all(found["plain"].values())
    assert [score is None for score in found["window"].values()] == [False, True, True]
    assert "no window" in found["why_not"]["window"][str(2 * SEQ)]


def test_a_text_shorter_than_the_longest_window_is_refused_at_the_start(data: Dataset) -> None:
    probe = make_probe("length", {"factors": [1, 4096]})
    with pytest.raises(RequestError, match="give more text or a smaller seq_len"):
        probe.at_start(trained(), data, TRAIN32, seed=0)
