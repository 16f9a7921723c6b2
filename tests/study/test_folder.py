import os
import subprocess
import sys
from pathlib import Path

import pytest

from paribus.errors import RequestError, WorkError
from paribus.study import folder


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RequestError, match=r"not empty and holds no study \(it has thesis.tex\)"):
        folder.open_folder(tmp_path)


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot be written to"):
        folder.open_folder(tmp_path / "file")


def test_a_folder_on_a_read_only_place_is_refused() -> None:
    with pytest.raises(RequestError, match="cannot be written to"):
        folder.open_folder(Path("/proc/paribus-study"))


def test_a_held_study_tells_who_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_WAIT_SECONDS", 0.0)
    with (
        folder.hold(tmp_path),
        pytest.raises(WorkError, match=f"process {os.getpid()} is working on what is in"),
        folder.hold(tmp_path),
    ):
        pass


def test_the_lock_outlives_its_process_while_a_worker_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "_WAIT_SECONDS", 0.0)
    with folder.hold(tmp_path) as descriptor:
        worker = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,)
        )
    with pytest.raises(WorkError), folder.hold(tmp_path):
        pass
    worker.communicate(b"\n")
    with folder.hold(tmp_path):
        assert worker.returncode == 0
