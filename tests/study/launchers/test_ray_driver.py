"""The process that speaks to Ray ends where Ray does not, whatever it waits in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = (
    "import paribus.study.launchers.ray_driver as it; it._CONNECT_SECONDS = it._GRACE_SECONDS = 1; it.main()"
)


@pytest.mark.parametrize(
    ("waits", "said"),
    [
        ("time.sleep(300)", "no answer in 1 seconds"),
        ("ctypes.PyDLL(None).sleep(300)", None),  # with Python's lock, so no thread can say anything
    ],
)
def test_a_ray_that_never_answers_is_given_up(waits: str, said: str | None, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text(f"import ctypes, time\ndef init(**settings): {waits}\n")
    driver = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps({"address": "auto"})],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert driver.returncode == 1
    told = [json.loads(line) for line in driver.stdout.splitlines()]
    assert told == ([] if said is None else [{"event": "fatal", "reason": said}])
