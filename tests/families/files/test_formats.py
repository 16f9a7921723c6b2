"""Weights in other formats are known by their names, and the reader is told what to do."""

import pytest

from paribus.families.files.formats import first_foreign, what_it_is


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "pytorch_model-00001-of-00002.bin",
        "model.pt",
        "a.pth",
        "a.ckpt",
        "a.pkl",
        "A.PTH",
        "a.pickle",
    ],
)
def test_pickles_are_named_with_the_safe_way(name: str) -> None:
    said = what_it_is(name)
    assert said is not None
    assert said.startswith("a pickle file")
    assert "save_pretrained(folder, safe_serialization=True)" in said
    assert "ask the author for safetensors" in said


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("llama-q4.gguf", "a GGUF file"),
        ("tf_model.h5", "an HDF5 file"),
        ("flax_model.msgpack", "a msgpack file of Flax"),
        ("tf_model.index", "a checkpoint of TensorFlow"),
        ("model.onnx", "an ONNX graph"),
        ("model.keras", "an archive of Keras"),
    ],
)
def test_other_formats_are_named(name: str, kind: str) -> None:
    said = what_it_is(name)
    assert said is not None
    assert said.startswith(kind)
    assert "which is not read" in said


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.bin", "README.md", ""])
def test_other_files_are_not_foreign_weights(name: str) -> None:
    assert what_it_is(name) is None


def test_the_first_by_name_is_given() -> None:
    assert first_foreign(["z.gguf", "config.json", "a.pt", "b.pt"]) == "a.pt"


def test_what_a_trainer_leaves_is_no_weights() -> None:
    assert first_foreign(["optimizer.pt", "rng_state_3.pth", "training_args.bin", "scheduler.pt"]) is None
