"""A config is read as it was written, or refused in one sentence."""

import json
import math
import os
from pathlib import Path

import pytest

from paribus.families.files.config import MAX_BYTES, read_config, warnings_of

from .checkpoints import peak_growth, refusal


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def test_a_config_is_read_as_written(config: Path) -> None:
    config.write_text('{"hidden_size": 64, "rope_scaling": {"factor": 8.0}, "name": "世"}', encoding="utf-8")
    assert read_config(config) == {"hidden_size": 64, "rope_scaling": {"factor": 8.0}, "name": "世"}


def test_infinity_as_transformers_writes_it_is_read(config: Path) -> None:
    config.write_text(json.dumps({"time_step_limit": [0.0, math.inf]}))
    assert read_config(config) == {"time_step_limit": [0.0, math.inf]}


def test_a_missing_config_is_refused(config: Path) -> None:
    assert f"there is no file {config}" in refusal(read_config, config)


def test_an_empty_config_is_refused(config: Path) -> None:
    config.touch()
    assert f"{config} is empty" in refusal(read_config, config)


def test_a_truncated_config_is_refused(config: Path) -> None:
    config.write_text('{"hidden_size": 64, "rope_sc')
    assert f"{config} breaks off in the middle" in refusal(read_config, config)


def test_a_binary_config_is_refused(config: Path) -> None:
    config.write_bytes(bytes(range(256)))
    assert f"{config} is not UTF-8 text: byte 128 is wrong" in refusal(read_config, config)


def test_a_folder_as_config_is_refused(config: Path) -> None:
    config.mkdir()
    assert f"{config} is a folder where a file is expected" in refusal(read_config, config)


def test_a_pipe_as_config_is_refused_without_waiting(config: Path) -> None:
    os.mkfifo(config)
    assert "is not a file but a pipe" in refusal(read_config, config)


def test_a_key_given_twice_is_refused(config: Path) -> None:
    config.write_text('{"hidden_size": 64, "hidden_size": 65}')
    assert f"{config} gives the key 'hidden_size' twice" in refusal(read_config, config)


def test_a_config_of_16_mib_is_read(config: Path) -> None:
    config.write_bytes(b'{"a": "' + b"x" * (MAX_BYTES - 9) + b'"}')
    assert len(read_config(config)["a"]) == MAX_BYTES - 9


def test_a_larger_config_is_refused(config: Path) -> None:
    config.write_bytes(b'{"a": "' + b"x" * (MAX_BYTES - 8) + b'"}')
    assert f"has {MAX_BYTES + 1:,} bytes: a config of at most {MAX_BYTES:,} is read" in refusal(
        read_config, config
    )


def test_a_config_of_a_gigabyte_costs_no_memory(config: Path) -> None:
    config.touch()
    os.truncate(config, 2**30)
    grown = peak_growth(
        "from pathlib import Path\nfrom paribus.families.files.config import read_config",
        "try: read_config(Path(sys.argv[1]))\nexcept ValueError as error: assert '1,073,741,824' in str(error)\nelse: 1 / 0",
        str(config),
    )
    assert grown < 4 * 2**20


def test_code_that_came_with_a_checkpoint_is_named_and_not_run(config: Path) -> None:
    config.write_text('{"auto_map": {"AutoModel": "modeling_mine.MyModel"}}')
    (config.parent / "modeling_mine.py").write_text("raise SystemExit")
    (warning,) = warnings_of(read_config(config))
    assert "modeling_mine.MyModel" in warning
    assert "not run" in warning


@pytest.mark.parametrize("auto_map", ["a.b", ["a.b"], {"AutoModel": ["a.b", None]}, 7])
def test_any_auto_map_is_one_printable_sentence(auto_map: object) -> None:
    (warning,) = warnings_of({"auto_map": auto_map})
    assert warning.isprintable()


@pytest.mark.parametrize("config", [{}, {"auto_map": None}, {"auto_map": {}}])
def test_a_config_without_code_has_no_warnings(config: dict[str, object]) -> None:
    assert warnings_of(config) == []
