"""Imports go down the floors only, and importing stays cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "paribus"
#: floor by first word under `paribus`; the wing `text` may use the ground only, and every floor may use it
FLOORS = {
    "cores": 0,
    "errors": 0,
    "files": 0,
    "registry": 0,
    "source": 0,
    "oracles": 0,
    "ops": 1,
    "parts": 2,
    "model": 3,
    "families": 4,
    "train": 5,
    "study": 6,
    "verify": 6,
    "figures": 6,
    "bench": 7,
    "cli": 8,
    "text": 1,
}
WING = "text"


def _imports(path: Path) -> set[str]:
    """First words under `paribus` that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("paribus.")}
    return found & FLOORS.keys()


def _room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = [path for path in sorted(SOURCE.rglob("*.py")) if _room(path) in FLOORS]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down_the_floors_only(path: Path) -> None:
    room = _room(path)
    for other in _imports(path) - {room}:
        if WING in (room, other):
            allowed = FLOORS[other] == 0 if room == WING else FLOORS[room] > FLOORS["model"]
        else:
            allowed = FLOORS[other] < FLOORS[room] or FLOORS[room] == FLOORS[other] == 0
        assert allowed, f"{path.relative_to(SOURCE)} looks up at {other}"


def test_every_source_folder_has_a_floor() -> None:
    rooms = {_room(path) for path in SOURCE.rglob("*.py")} - {"__init__", "__main__"}
    assert rooms <= FLOORS.keys()


def test_text_wing_holds_no_torch() -> None:
    for path in (SOURCE / WING).rglob("*.py"):
        assert "import torch" not in path.read_text(), path


def _modules_after(code: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.splitlines())


@pytest.mark.parametrize(
    "code",
    [
        "import paribus",
        "from paribus import ModelConfig, Transformer, GatedFeedForward, build, num_params",
    ],
)
def test_importing_paribus_loads_no_heavy_library(code: str) -> None:
    heavy = {
        "matplotlib",
        "transformers",
        "pyarrow",
        "ray",
        "tokenizers",
        "sentencepiece",
        "pandas",
        "triton",
    }
    assert not heavy & _modules_after(code)


def test_shapes_alone_load_no_compiler(tmp_path: Path) -> None:
    # Learned positions, Shaw's, segments and a head of its own: all that parts draw normally.
    code = f"""
import json, pathlib
import paribus

config = {{"model_type": "bert", "vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 1, "max_position_embeddings": 8}}
folder = pathlib.Path({str(tmp_path)!r})
(folder / "config.json").write_text(json.dumps(config))
assert paribus.inspect(folder).value("sizes", "parameters")

sizes = dict(vocab_size=8, d_model=8, d_ff=8, num_layers=1, num_heads=1, segments=2, tie_embeddings=False)
for position in ("learned", "shaw"):
    model = paribus.ModelConfig(**sizes, position=position)
    assert paribus.num_params(model)
    paribus.save(paribus.Transformer(model), folder / position, layout="paribus")
    paribus.load(folder / position)
"""
    assert not {"torch._dynamo", "torch._inductor"} & _modules_after(code)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "study",
        "explain",
        "catalog models",
        "inspect",
        "diff",
        "generate",
        "convert",
        "train",
        "data prepare",
    ],
)
def test_help_loads_no_torch(command: str) -> None:
    code = (
        f"import sys\nsys.argv = ['paribus', *{command.split()!r}, '--help']\nfrom paribus.cli import app\n"
    )
    loaded = _modules_after(code + "try:\n    app()\nexcept SystemExit:\n    pass")
    assert not {"torch", "numpy", "scipy", "matplotlib", "transformers"} & loaded
