"""`paribus generate` and `paribus convert` as a person runs them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import paribus
from paribus.cli import app
from paribus.errors import RequestError, WorkError
from paribus.model.generate import generate
from paribus.text.tokenizers import ByteTokenizer

RUNNER = CliRunner()
#: LLaMA's parts, reading bytes.
CONFIG = paribus.ModelConfig(
    vocab_size=257, d_model=32, d_ff=48, num_layers=2, num_heads=2, ffn="swiglu", position="rope"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    paribus.save(paribus.build(CONFIG, seed=1), tmp_path / "model")
    return tmp_path / "model"


def run(*arguments: object, stdin: str | None = None) -> str:
    """What the command prints; an error is raised."""
    result = RUNNER.invoke(app, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.stdout


def texts(*arguments: object, stdin: str | None = None) -> list[dict[str, object]]:
    return json.loads(run(*arguments, "--json", stdin=stdin))["texts"]


def test_the_text_is_what_the_model_goes_on_with(folder: Path) -> None:
    ids = torch.tensor([list(b"Once")])
    expected = generate(paribus.build(CONFIG, seed=1), ids, max_new_tokens=9, stop=256)[0, 4:]
    shown = run("generate", folder, "Once", "-n", 9)
    assert shown == ByteTokenizer().decode(expected.tolist()) + "\n"
    (made,) = texts("generate", folder, "-", "-n", 9, stdin="Once")
    assert made["text"] + "\n" == shown and made["tokens"] == 9 and made["ended"] == "length"


def test_a_file_of_prompts_gives_each_what_it_gives_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("\ufeffone\n\nanother one\n3\n")  # as some editors begin a file
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "one"}\n{"prompt": "another one"}\n{"prompt": "3"}\n')
    drawn = ("-n", 6, "--temperature", 0.9, "--seed", 4)
    in_batches = [
        texts("generate", folder, "--prompts", tmp_path / name, "--batch-size", size, *drawn)
        for name in ("prompts.txt", "prompts.jsonl")
        for size in (1, 3)
    ]
    assert [row["prompt"] for row in in_batches[0]] == ["one", "another one", "3"]
    assert all(each == in_batches[0] for each in in_batches)
    assert texts("generate", folder, "one", *drawn)[0] == in_batches[0][0]
    assert texts("generate", folder, "one", "-n", 6, "--temperature", 0.9, "--seed", 5)[0] != in_batches[0][0]


def test_a_jsonl_prompt_may_hold_any_letter_and_a_file_blank_lines(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('\n{"prompt": "a\u2028b"}\n\n{"prompt": "c"}\r\n', "utf-8")
    made = texts("generate", folder, "--prompts", tmp_path / "prompts.jsonl", "-n", 1)
    assert [row["prompt"] for row in made] == ["a\u2028b", "c"]


@pytest.mark.parametrize(("new", "timed"), [(1, False), (3, True)])
def test_the_first_token_of_a_prompt_has_no_rate(folder: Path, new: int, timed: bool) -> None:
    document = json.loads(run("generate", folder, "Once", "-n", new, "--json"))
    assert document["texts"][0]["tokens"] == new
    assert (document["tokens_per_second"] is not None) == timed


def test_a_text_ends_before_a_stop_string(folder: Path) -> None:
    whole = texts("generate", folder, "Once", "-n", 12)[0]["text"]
    assert isinstance(whole, str) and len(whole) > 4
    stop = whole[2:4]
    (made,) = texts("generate", folder, "Once", "-n", 12, "--stop", stop)
    assert made["text"] == whole[: whole.index(stop)] and made["ended"] == "stop"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "give one prompt"),
        (("a", "--prompts", "b"), "give one prompt"),
        (("",), "at least one token"),
        (("a", "--chat"), "no chat template"),
        (("a", "--dtype", "int8"), "--dtype is one of"),
        (("a", "--top-p", "2"), "top_p"),
        (("--prompts", "missing.txt"), "there is no file missing.txt"),
        (("--prompts", "/dev/zero"), "is not a file but a pipe, a socket or a device"),
    ],
)
def test_what_cannot_be_is_one_sentence(folder: Path, arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        run("generate", folder, *arguments)


def test_prompts_that_are_no_objects_are_named_by_line(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    for wrong in ('{"text": "two"}', "[1]", "[" * 100_000):
        path.write_text(f'\n{{"prompt": "one"}}\n{wrong}\n')
        with pytest.raises(RequestError, match="line 3 is no object"):
            run("generate", folder, "--prompts", path)


def test_prompts_that_are_no_text_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_bytes(b"one\xff")
    with pytest.raises(RequestError, match=r"prompts\.txt is not UTF-8 text: byte 3 is wrong"):
        run("generate", folder, "--prompts", tmp_path / "prompts.txt")
    with pytest.raises(RequestError, match="what stdin gives is not text in utf-8"):
        RUNNER.invoke(app, ["generate", str(folder), "-"], input=b"one\xff", catch_exceptions=False)


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    config = paribus.ModelConfig(vocab_size=300, d_model=32, d_ff=48, num_layers=1, num_heads=2)
    paribus.save(paribus.build(config, seed=1), tmp_path / "model")
    with pytest.raises(RequestError, match=r"no tokenizer\.json"):
        run("generate", tmp_path / "model", "a")


def test_a_model_is_converted_and_says_the_same(folder: Path, tmp_path: Path) -> None:
    said = run("convert", folder, tmp_path / "ours", "--to", "paribus")
    assert "our own format" in said
    found = json.loads(
        run(
            "convert",
            tmp_path / "ours",
            tmp_path / "mistral",
            "--to",
            "mistral",
            "--shard-size",
            1e-5,
            "--json",
        )
    )
    assert found["family"] == "mistral" and "model.safetensors.index.json" in found["files"]
    spoken = [
        texts("generate", path, "Once", "-n", 5) for path in (folder, tmp_path / "ours", tmp_path / "mistral")
    ]
    assert spoken[0] == spoken[1] == spoken[2]


def test_weights_are_written_in_the_dtype_asked_for(folder: Path, tmp_path: Path) -> None:
    run("convert", folder, tmp_path / "small", "--dtype", "bfloat16")
    written = load_file(tmp_path / "small" / "model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("stored", "fast", "computed"),
    [
        ("bfloat16", True, "bfloat16"),
        ("float16", True, "bfloat16"),
        ("bfloat16", False, "float32"),
        ("float16", False, "float32"),
        ("float32", True, "float32"),
    ],
)
def test_half_precision_is_computed_in_where_the_machine_multiplies_in_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str, fast: bool, computed: str
) -> None:
    run("convert", folder, tmp_path / "stored", "--dtype", stored)
    monkeypatch.setattr("paribus.ops.precision.multiplies_in_bfloat16", lambda device_type: fast)
    assert json.loads(run("generate", tmp_path / "stored", "Once", "-n", 2, "--json"))["dtype"] == computed
    asked = ("--dtype", "bfloat16", "--json")
    assert json.loads(run("generate", tmp_path / "stored", "Once", "-n", 2, *asked))["dtype"] == "bfloat16"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--to", "gpt2"), "gpt2 has no such model: .*swiglu"),
        (("--to", "lama"), "--to is transformers, paribus or a family; it is 'lama': did you mean llama"),
        (("--dtype", "int8"), "--dtype is one of"),
        (("--shard-size", "0"), "--shard-size is a number of GB above zero; it is 0"),
        (("--shard-size", "inf"), "--shard-size is a number of GB above zero; it is inf"),
    ],
)
def test_what_cannot_be_converted_is_one_sentence(
    folder: Path, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(RequestError, match=sentence):
        run("convert", folder, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_left_alone(folder: Path) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises((RequestError, WorkError), match="there already"):
        run("convert", folder, folder)
    assert sorted(folder.iterdir()) == before


def test_a_folder_that_is_there_is_told_before_the_weights_are_read(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    with pytest.raises(RequestError, match="there already"):
        run("convert", tmp_path / "no-checkpoint", tmp_path / "there")
