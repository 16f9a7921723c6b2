"""Whole models assembled by hand from the oracles of their parts."""

from typing import Any

import numpy as np
import pytest

from paribus.oracles import FFN_LAYER, NORM, Array, Weights, mha, rope, sinusoidal_table, transformer, under

V, D, F, H = 7, 8, 6, 2
IDS, SOURCE = np.array([[1, 4, 2, 2], [0, 6, 5, 3]]), np.array([[3, 1, 0], [2, 2, 6]])
PARTS = {"attention": "mha", "ffn": "swiglu", "norm": "rmsnorm", "position": "rope", "residual": "pre"}


def weights(stacks: dict[str, tuple[str, ...]], seed: int = 0) -> dict[str, Array]:
    """One block a stack; sublayers by stack."""
    draw = np.random.default_rng(seed)
    w = {"embedding.weight": draw.standard_normal((V, D))}
    for stack, sublayers in stacks.items():
        block = f"{stack}.blocks.0"
        for sublayer in sublayers:
            w[f"{block}.residual.norms.{sublayer}.weight"] = draw.standard_normal(D)
            w[f"{block}.residual.output_norms.{sublayer}.weight"] = draw.standard_normal(D)
            shapes = {name: (D, D) for name in "qkvo"}
            if sublayer == "ffn":
                shapes = {"gate": (F, D), "value": (F, D), "down": (D, F)}
            for name, shape in shapes.items():
                w[f"{block}.{sublayer}.{name}.weight"] = draw.standard_normal(shape)
        for name in ("final_norm", "embedding_norm"):
            w[f"{stack}.{name}.weight"] = draw.standard_normal(D)
    return w


def norm(w: Weights, name: str, x: Array) -> Array:
    return NORM["rmsnorm"](under(w, f"{name}."), x)


def turn(x: Array) -> Array:
    return rope(x, np.arange(x.shape[-2]))


def pre(w: Weights, x: Array, memory: Array | None = None, **attention: Any) -> Array:
    """One block of Pre-LN."""
    x = x + mha(
        under(w, "attention."), norm(w, "residual.norms.attention", x), num_heads=H, rotate=turn, **attention
    )
    if memory is not None:
        read = norm(w, "residual.norms.cross_attention", x)
        x = x + mha(under(w, "cross_attention."), read, num_heads=H, memory=memory)
    return x + FFN_LAYER["swiglu"](under(w, "ffn."), norm(w, "residual.norms.ffn", x))


def run(w: Weights, **options: Any) -> Array:
    return transformer(w, IDS, num_heads=H, num_layers=1, **{"parts": PARTS, **options})


@pytest.mark.parametrize("architecture", ["decoder", "encoder"])
def test_a_single_stack_is_its_block_between_embedding_and_head(architecture: str) -> None:
    w = weights({architecture: ("attention", "ffn")})
    stack = under(w, f"{architecture}.")
    x = pre(under(stack, "blocks.0."), w["embedding.weight"][IDS], causal=architecture == "decoder")
    expected = norm(stack, "final_norm", x)
    np.testing.assert_allclose(
        run(w, architecture=architecture), expected @ w["embedding.weight"].T, rtol=1e-12
    )
    head = np.random.default_rng(1).standard_normal((V, D))
    untied = run({**w, "head.weight": head}, architecture=architecture)
    np.testing.assert_allclose(untied, expected @ head.T, rtol=1e-12)


def test_segments_stand_before_and_transform_and_bias_after_the_blocks() -> None:
    w, draw = weights({"decoder": ("attention", "ffn")}), np.random.default_rng(2)
    w |= {
        "segment_embedding.weight": draw.standard_normal((3, D)),
        "head.bias": draw.standard_normal(V),
        "head.transform.dense.weight": draw.standard_normal((D, D)),
        "head.transform.dense.bias": draw.standard_normal(D),
        "head.transform.norm.weight": draw.standard_normal(D),
    }
    segment, stack = np.array([[0, 0, 2, 2], [1, 1, 1, 0]]), under(w, "decoder.")

    def expected(segment: Array) -> Array:
        x = w["embedding.weight"][IDS] + w["segment_embedding.weight"][segment]
        x = norm(stack, "final_norm", pre(under(stack, "blocks.0."), x))
        x = np.maximum(x @ w["head.transform.dense.weight"].T + w["head.transform.dense.bias"], 0)
        return norm(w, "head.transform.norm", x) @ w["embedding.weight"].T + w["head.bias"]

    found = run(w, segment=segment, head_transform="relu")
    np.testing.assert_allclose(found, expected(segment), rtol=1e-11)
    np.testing.assert_allclose(run(w, head_transform="relu"), expected(0 * segment), rtol=1e-11)


def test_a_decoder_reads_the_normed_encoding_of_the_source() -> None:
    w = weights({"encoder": ("attention", "ffn"), "decoder": ("attention", "cross_attention", "ffn")})
    encoder, decoder = under(w, "encoder."), under(w, "decoder.")
    memory = pre(under(encoder, "blocks.0."), w["embedding.weight"][SOURCE], causal=False)
    memory = norm(encoder, "final_norm", memory)
    x = pre(under(decoder, "blocks.0."), w["embedding.weight"][IDS], memory)
    expected = norm(decoder, "final_norm", x) @ w["embedding.weight"].T
    y = run(w, architecture="encoder_decoder", source_ids=SOURCE, encoder_layers=1)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    with pytest.raises(ValueError, match="source_ids"):
        run(w, architecture="encoder_decoder")


def test_peri_norms_the_embedding_with_its_positions() -> None:
    w = weights({"decoder": ("attention", "ffn")})
    stack = under(w, "decoder.")
    block = under(stack, "blocks.0.")
    x = norm(stack, "embedding_norm", w["embedding.weight"][IDS] + sinusoidal_table(4, D))
    y = mha(under(block, "attention."), norm(block, "residual.norms.attention", x), num_heads=H)
    x = x + norm(block, "residual.output_norms.attention", y)
    y = FFN_LAYER["swiglu"](under(block, "ffn."), norm(block, "residual.norms.ffn", x))
    x = x + norm(block, "residual.output_norms.ffn", y)
    expected = norm(stack, "final_norm", x) @ w["embedding.weight"].T
    found = run(w, parts={**PARTS, "residual": "peri", "position": "sinusoidal"})
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_deepnorm_counts_the_layers_of_both_stacks() -> None:
    w = weights({"encoder": ("attention", "ffn"), "decoder": ("attention", "cross_attention", "ffn")})
    w |= {key.replace("blocks.0", "blocks.1"): array for key, array in w.items() if key.startswith("decoder")}
    w |= {
        key.replace("blocks.0", f"blocks.{n}"): w[key]
        for key in list(w)
        if "encoder.blocks.0" in key
        for n in (1, 2)
    }

    def stack(name: str, layers: int, alpha: float, x: Array, memory: Array | None = None) -> Array:
        for layer in range(layers):
            block = under(w, f"{name}.blocks.{layer}.")
            y = mha(under(block, "attention."), x, num_heads=H, rotate=turn, causal=name == "decoder")
            x = norm(block, "residual.norms.attention", alpha * x + y)
            if memory is not None:
                y = mha(under(block, "cross_attention."), x, num_heads=H, memory=memory)
                x = norm(block, "residual.norms.cross_attention", alpha * x + y)
            y = FFN_LAYER["swiglu"](under(block, "ffn."), x)
            x = norm(block, "residual.norms.ffn", alpha * x + y)
        return x

    memory = stack("encoder", 3, 0.81 * (3**4 * 2) ** (1 / 16), w["embedding.weight"][SOURCE])
    x = stack("decoder", 2, 6**0.25, w["embedding.weight"][IDS], memory)
    found = transformer(
        w,
        IDS,
        num_heads=H,
        num_layers=2,
        encoder_layers=3,
        parts={**PARTS, "residual": "deepnorm"},
        architecture="encoder_decoder",
        source_ids=SOURCE,
    )
    np.testing.assert_allclose(found, x @ w["embedding.weight"].T, rtol=1e-11)


def test_options_reach_their_parts_and_mqa_has_one_head_of_keys() -> None:
    w = weights({"decoder": ("attention", "ffn")})
    plain = run(w)
    for options in (
        {"norm": {"eps": 1.0}},
        {"position": {"base": 10.0}},
        {"attention": {"window": 1}},
        {"ffn": {"gate": "relu"}},
    ):
        parts = {**PARTS, "ffn": "gated"}
        assert np.abs(run(w, options=options, parts=parts) - plain).max() > 1e-3
    for name in "kv":
        w[f"decoder.blocks.0.attention.{name}.weight"] = w[f"decoder.blocks.0.attention.{name}.weight"][:4]
    shared = dict(w)
    for name in "kv":
        key = f"decoder.blocks.0.attention.{name}.weight"
        shared[key] = np.concatenate([w[key], w[key]])
    expected = run(shared)
    np.testing.assert_allclose(run(w, num_kv_heads=1), expected, rtol=1e-12)
    np.testing.assert_allclose(run(w, parts={**PARTS, "attention": "mqa"}), expected, rtol=1e-12)


@pytest.mark.parametrize("architecture", ["decoder", "encoder"])
def test_padding_is_read_by_nobody(architecture: str) -> None:
    w = weights({architecture: ("attention", "ffn")})
    valid = np.array([[True, True, True, False]] * 2)
    padded = run(w, architecture=architecture, valid=valid)
    alone = transformer(w, IDS[:, :3], num_heads=H, num_layers=1, parts=PARTS, architecture=architecture)
    np.testing.assert_allclose(padded[:, :3], alone, rtol=1e-10)


def test_padding_of_the_source_is_read_by_neither_stack() -> None:
    w = weights({"encoder": ("attention", "ffn"), "decoder": ("attention", "cross_attention", "ffn")})
    valid = np.array([[True, True, False]] * 2)
    padded = run(w, architecture="encoder_decoder", source_ids=SOURCE, source_valid=valid)
    alone = run(w, architecture="encoder_decoder", source_ids=SOURCE[:, :2])
    np.testing.assert_allclose(padded, alone, rtol=1e-10)


@pytest.mark.parametrize("architecture", ["decoder", "encoder"])
def test_packed_documents_come_out_as_they_do_alone(architecture: str) -> None:
    w = weights({architecture: ("attention", "ffn")})
    packed = run(w, architecture=architecture, document=np.array([[0, 0, 0, 1], [3, 7, 7, 7]]))

    def alone(ids: Array) -> Array:
        return transformer(w, ids, num_heads=H, num_layers=1, parts=PARTS, architecture=architecture)

    # Rotations by other positions are of no matter: logits depend on distances.
    np.testing.assert_allclose(packed[0, :3], alone(IDS[:1, :3])[0], rtol=1e-9)
    np.testing.assert_allclose(packed[0, 3:], alone(IDS[:1, 3:])[0], rtol=1e-9)
    np.testing.assert_allclose(packed[1, 1:], alone(IDS[1:, 1:])[0], rtol=1e-9)


def test_documents_of_a_decoder_are_not_those_of_its_source() -> None:
    w = weights({"encoder": ("attention", "ffn"), "decoder": ("attention", "cross_attention", "ffn")})
    apart = run(
        w, architecture="encoder_decoder", source_ids=SOURCE, document=np.array([[0, 0, 1, 1], [0, 0, 0, 0]])
    )
    plain = run(w, architecture="encoder_decoder", source_ids=SOURCE)
    np.testing.assert_array_equal(apart[0, :2], plain[0, :2])
    np.testing.assert_array_equal(apart[1], plain[1])
    assert np.abs(apart[0, 2:] - plain[0, 2:]).max() > 1e-3
