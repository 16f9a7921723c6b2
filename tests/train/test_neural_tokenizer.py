"""Tokenizers whose pieces are the words of a network: kept with its weights, opened like any other, lossless."""

import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from paribus.errors import RequestError
from paribus.families.saving import save as save_model
from paribus.model.config import ModelConfig
from paribus.model.initialise import build
from paribus.text.data import prepare
from paribus.text.tokenizers import get_tokenizer
from paribus.text.tokenizers.explaining.encoding import explain_encoding
from paribus.text.tokenizers.methods import METHODS, Corpus, get_method, method_names, train_tokenizer
from paribus.text.tokenizers.recipe import Recipe
from paribus.text.tokenizers.trained import FILE, WEIGHTS, TrainedTokenizer
from paribus.text.tokenizers.training import write_tokenizer

ODD = (
    "",
    " ",
    "张李\n\n  王",
    "\u2581 \x00\x1f <|endoftext|>",
    "\U0001f468\u200d\U0001f469 e\u0301",
    "喜欢" * 300,
)


def sentences(number: int) -> list[str]:
    rng = random.Random(7)
    given = [chr(code) for code in range(0x5000, 0x5014)]
    names = [
        "".join((rng.choice("张李王"), *rng.choices(given, k=rng.choice([1, 2])))) for _ in range(2 * number)
    ]
    return [f"{one} 喜欢 {other} 。" for one, other in zip(names[::2], names[1::2], strict=True)]


def trained(folder: Path, **options: object) -> TrainedTokenizer:
    lines = sentences(24)
    (folder / "segmented.txt").write_text("\n".join(lines), "utf-8")
    kept = {"segmented": str(folder / "segmented.txt"), "epochs": 8, **options}
    recipe = Recipe(method="neural", vocab_size=400, options=kept)
    return train_tokenizer(recipe, Corpus(lambda: [line.replace(" ", "") for line in lines]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("neural")


@pytest.fixture(scope="module")
def ours(folder: Path) -> TrainedTokenizer:
    made = trained(folder)
    write_tokenizer(made, folder / "it")
    return made


@pytest.fixture
def copy(ours: TrainedTokenizer, tmp_path: Path) -> Path:
    write_tokenizer(ours, tmp_path / "it")
    return tmp_path / "it"


def changed(folder: Path, **fields: object) -> None:
    content = json.loads((folder / FILE).read_text("utf-8"))
    for key, value in fields.items():
        content = (
            content | {key: value} if value is not None else {k: v for k, v in content.items() if k != key}
        )
    (folder / FILE).write_text(json.dumps(content), "utf-8")


def test_training_offers_it_to_the_text_wing() -> None:
    assert "neural" in method_names() and "neural" not in METHODS
    assert get_method("neural").options == {
        "net": "lstm",
        "encoder": None,
        "seed": 0,
        "epochs": 20,
        "batch_size": 16,
        "rate": 4e-3,
        "weight_decay": 0.01,
        "warmup": 0.1,
        "clip": 1.0,
        "hide": 0.5,
        "segmented": None,
        "coverage": 0.9995,
    }
    with pytest.raises(RequestError, match="did you mean neural"):
        get_method("neurl")


def test_its_words_are_pieces(ours: TrainedTokenizer) -> None:
    words = [ours.decode([number]) for number in ours.encode("张倁倂喜欢李倅。")]
    assert words[-3:] == ["喜欢", "李倅", "。"] and ours.recipe.method == "neural"


@pytest.mark.parametrize("text", ODD)
def test_decoding_gives_the_text_back(ours: TrainedTokenizer, text: str) -> None:
    assert ours.loses == () and ours.decode(ours.encode(text)) == text


@settings(max_examples=30, deadline=None)
@given(
    text=st.text(
        st.characters(exclude_categories=["Cs"]) | st.sampled_from("张李喜欢。 \n\u200d"), max_size=40
    )
)
def test_decoding_gives_any_text_back(ours: TrainedTokenizer, text: str) -> None:
    assert ours.decode(ours.encode(text)) == text


def test_a_folder_keeps_it_to_the_bit(ours: TrainedTokenizer, folder: Path) -> None:
    again = get_tokenizer(str(folder / "it"))
    assert sorted(path.name for path in (folder / "it").iterdir()) == [FILE, WEIGHTS]
    assert again.name == ours.name and dict(again.files()) == ours.files()
    for text in (*ODD, "".join(sentences(60)).replace(" ", "")):
        assert np.array_equal(again.encode(text), ours.encode(text))


def test_the_same_seed_gives_the_same_tokenizer_and_another_one_another(
    ours: TrainedTokenizer, folder: Path
) -> None:
    assert trained(folder).files() == ours.files()
    other, another = (trained(folder, epochs=1, seed=seed).to_dict() for seed in (0, 1))
    assert other["weights"] != another["weights"]


def test_other_weights_have_another_name(ours: TrainedTokenizer, copy: Path) -> None:
    tensors = load((copy / WEIGHTS).read_bytes())
    weights = save({name: tensor + 0.5 for name, tensor in tensors.items()})
    (copy / WEIGHTS).write_bytes(weights)
    with pytest.raises(RequestError, match="its weights are not those that it was written with"):
        get_tokenizer(str(copy))
    changed(copy, weights=hashlib.sha256(weights).hexdigest())
    assert get_tokenizer(str(copy)).name != ours.name


def test_prepared_data_carry_it_with_them(ours: TrainedTokenizer, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n".join(sentences(400)).replace(" ", ""), "utf-8")
    data = prepare(
        tmp_path / "text.txt",
        tokenizer=get_tokenizer(str(folder / "it")),
        cache=tmp_path / "cache",
        held_out=0.2,
    )
    again = data.open_tokenizer()
    assert again.name == ours.name and np.array_equal(again.encode("张倁喜欢"), ours.encode("张倁喜欢"))


def test_it_starts_from_the_weights_of_a_loaded_encoder(folder: Path, tmp_path: Path) -> None:
    sizes = {"vocab_size": 257, "d_model": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2, "max_seq_len": 64}
    encoder = build(ModelConfig(architecture="encoder", **sizes), seed=5)
    save_model(encoder, tmp_path / "encoder", layout="paribus")
    made = trained(folder, encoder=str(tmp_path / "encoder"), epochs=1, rate=1e-9, weight_decay=0.0)
    write_tokenizer(made, tmp_path / "it")
    kept = load((tmp_path / "it" / WEIGHTS).read_bytes())
    for name, tensor in encoder.state_dict().items():
        assert torch.allclose(kept[f"encoder.{name}"], tensor, atol=1e-6), name
    assert np.array_equal(
        get_tokenizer(str(tmp_path / "it")).encode("张李喜欢。x"), made.encode("张李喜欢。x")
    )


def test_its_steps_are_told(ours: TrainedTokenizer) -> None:
    assert explain_encoding(ours, "张倁喜欢x").ids == ours.encode("张倁喜欢x").tolist()


def test_weights_do_not_come_from_elsewhere(copy: Path, tmp_path: Path) -> None:
    (copy / WEIGHTS).rename(tmp_path / "elsewhere")
    with pytest.raises(RequestError, match="paribus-tokenizer.safetensors"):
        get_tokenizer(str(copy))
    (copy / WEIGHTS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RequestError, match="a link out of the folder"):
        get_tokenizer(str(copy))


def test_what_is_not_whole_is_refused(copy: Path) -> None:
    (copy / WEIGHTS).write_bytes(b"no tensors")
    changed(copy, weights=hashlib.sha256(b"no tensors").hexdigest())
    with pytest.raises(RequestError, match="the file of weights of the segmenter is no safetensors"):
        get_tokenizer(str(copy))
    fewer = save({"out.weight": torch.zeros(4, 2)})
    (copy / WEIGHTS).write_bytes(fewer)
    changed(copy, weights=hashlib.sha256(fewer).hexdigest())
    with pytest.raises(
        RequestError, match="the file of weights of the segmenter does not hold the net of its description"
    ):
        get_tokenizer(str(copy))
    changed(copy, weights=None)
    with pytest.raises(RequestError, match="it has no weights, and its segmenter is a network"):
        get_tokenizer(str(copy))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": "many"}, "neural takes a number such as 20 as epochs, not 'many'"),
        ({"epochs": 1.5}, "neural takes a number such as 20 as epochs, not 1.5"),
        ({"encoder": 5}, "neural takes the path of a file or folder as encoder, not 5"),
        ({"net": 3}, "there is no net 3 for a segmenter"),
        ({"seed": 2**70}, "a seed is a whole number from 0 to"),
        ({"seed": -1}, "a seed is a whole number from 0 to"),
        ({"segmented": None}, "neural learns from segmented text.*: give the option segmented"),
    ],
)
def test_bad_options_get_one_sentence(folder: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        trained(folder, **options)
