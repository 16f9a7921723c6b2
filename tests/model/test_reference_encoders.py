"""The same weights in transformers' encoders and encoder-decoders give the same hidden states and logits."""

from typing import Any

import pytest
import torch
import transformers as tf
from torch import Tensor, nn

from .reference import (
    LONGEST,
    THEIRS,
    D,
    F,
    H,
    K,
    L,
    Peer,
    T,
    V,
    sublayers_by_number,
    tokens,
)
from .reference_names import BART, BERT, BERT_MASKED, ROBERTA_MASKED, T5

POST_NORM: dict[str, Any] = {
    "ffn": {"name": "gelu", "bias": True},
    "attention": {"name": "mha", "bias": True},
    "norm": {"name": "layernorm", "eps": 1e-12},
    "residual": "post",
    "embedding_norm": True,
    "tie_embeddings": True,
}
MASKED = {**POST_NORM, "architecture": "encoder", "head_bias": True, "head_transform": "gelu"}
OF_ROPE = ("rope_parameters", "num_key_value_heads", "head_dim")
IN_BERT = {key: value for key, value in THEIRS.items() if key not in OF_ROPE}

ENCODERS = {
    "bert": Peer(
        ours={**POST_NORM, "architecture": "encoder", "position": "learned", "segments": 2},
        theirs=lambda: tf.BertModel(tf.BertConfig(**IN_BERT), add_pooling_layer=False),
        names=BERT,
    ),
    "bert, masked tokens": Peer(
        ours={**MASKED, "position": "learned", "segments": 3},
        theirs=lambda: tf.BertForMaskedLM(
            tf.BertConfig(**{**IN_BERT, "type_vocab_size": 3, "tie_word_embeddings": True})
        ),
        names=BERT_MASKED,
    ),
    "roberta, masked tokens: the first position is row 1": Peer(
        ours={**MASKED, "position": {"name": "learned", "offset": 1}, "segments": 2},
        theirs=lambda: tf.RobertaForMaskedLM(
            tf.RobertaConfig(
                **{
                    **IN_BERT,
                    "layer_norm_eps": 1e-12,
                    "max_position_embeddings": LONGEST + 1,
                    "tie_word_embeddings": True,
                }
            )
        ),
        names=ROBERTA_MASKED,
    ),
    "roformer: rotations that see both ways": Peer(
        ours={**POST_NORM, "architecture": "encoder", "position": "rope_interleaved", "segments": 2},
        theirs=lambda: tf.RoFormerModel(tf.RoFormerConfig(**IN_BERT)),
        names=BERT,
    ),
}


def t5(**changes: Any) -> nn.Module:
    config = tf.T5Config(
        vocab_size=V,
        d_model=D,
        d_kv=K,
        d_ff=F,
        num_heads=H,
        num_layers=L,
        num_decoder_layers=1,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=6,
        pad_token_id=0,
        attn_implementation="eager",
        **changes,
    )
    model = tf.T5ForConditionalGeneration(config)
    if changes.get("tie_word_embeddings") is False:
        model.lm_head = nn.Linear(D, V, bias=False)  # the config ties it all the same
    return model


def bart() -> nn.Module:
    sizes = {"encoder_layers": L, "decoder_layers": 1}
    for stack in ("encoder", "decoder"):
        sizes |= {f"{stack}_attention_heads": H, f"{stack}_ffn_dim": F}
    return tf.BartModel(
        tf.BartConfig(
            vocab_size=V, d_model=D, max_position_embeddings=LONGEST, attn_implementation="eager", **sizes
        )
    )


IN_T5: dict[str, Any] = {
    "architecture": "encoder_decoder",
    "encoder_layers": L,
    "num_layers": 1,
    "attention": {"name": "mha", "scale": 1.0},
    "position": {"name": "t5", "num_buckets": 8, "max_distance": 6},
}
ENCODER_DECODERS = {
    "t5": Peer(
        ours={**IN_T5, "ffn": "relu", "tie_embeddings": True, "logit_scale": D**-0.5},
        theirs=lambda: t5(feed_forward_proj="relu"),
        names=T5,
        steps=((sublayers_by_number, ""),),
    ),
    "t5 1.1: gated, untied": Peer(
        ours={**IN_T5, "ffn": "geglu_tanh"},
        theirs=lambda: t5(feed_forward_proj="gated-gelu", tie_word_embeddings=False),
        names=T5,
        steps=((sublayers_by_number, ""),),
    ),
    "bart": Peer(
        ours={
            **POST_NORM,
            "norm": "layernorm",
            "position": {"name": "learned", "offset": 2},
            "architecture": "encoder_decoder",
            "encoder_layers": L,
            "num_layers": 1,
        },
        theirs=bart,
        names=BART,
    ),
}


def assert_same(actual: Tensor, expected: Tensor) -> None:
    assert expected.std() > 0.1
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def logits(theirs: nn.Module, **given: Tensor) -> Tensor:
    """Their logits; of a model without a head, its hidden states times the embedding."""
    out = theirs(**given)
    if hasattr(out, "logits"):
        return out.logits
    return out.last_hidden_state @ theirs.get_input_embeddings().weight.T


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("family", ENCODERS)
def test_encoder_has_the_states_of_transformers(family: str, padded: bool) -> None:
    ours, theirs = ENCODERS[family].build()
    valid = torch.arange(T) < torch.tensor([[T], [4 if padded else T]])
    expected = logits(theirs, input_ids=tokens(), attention_mask=valid.long())
    actual = ours(tokens(), dtype=torch.float64, valid_BT=valid if padded else None)
    assert_same(actual[valid], expected[valid])


@pytest.mark.parametrize("family", ["bert", "bert, masked tokens"])
def test_segments_are_the_token_types_of_transformers(family: str) -> None:
    ours, theirs = ENCODERS[family].build()
    segment = torch.tensor([[0] * 4 + [1] * (T - 4), [1] * T])
    expected = logits(theirs, input_ids=tokens(), token_type_ids=segment)
    assert_same(ours(tokens(), dtype=torch.float64, segment_BT=segment), expected)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_encoder_decoder_has_the_logits_of_transformers(family: str, padded: bool) -> None:
    ours, theirs = ENCODER_DECODERS[family].build()
    source, ids = tokens(9, seed=6), tokens()
    valid = torch.arange(9) < torch.tensor([[9], [4 if padded else 9]])
    expected = logits(theirs, input_ids=source, attention_mask=valid.long(), decoder_input_ids=ids)
    actual = ours(ids, dtype=torch.float64, source_BS=source, source_valid_BS=valid if padded else None)
    assert_same(actual, expected)


def test_encoder_decoder_has_the_gradients_of_t5() -> None:
    peer = ENCODER_DECODERS["t5 1.1: gated, untied"]
    ours, theirs = peer.build()
    source, ids = tokens(9, seed=6), tokens()
    ours(ids, dtype=torch.float64, source_BS=source).square().sum().backward()
    logits(theirs, input_ids=source, decoder_input_ids=ids).square().sum().backward()
    gradients = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    assert len(gradients) == len(list(ours.parameters()))
    sublayers_by_number(gradients, "")
    for name, actual in gradients.items():
        expected = theirs.get_parameter(peer.renamed(name)).grad
        assert expected is not None
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())
