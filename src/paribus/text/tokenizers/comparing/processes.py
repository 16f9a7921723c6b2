"""One process a tokenizer, one after the other: started, listened to, and ended with whatever it was doing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from paribus.errors import ParibusError, RequestError, WorkError

#: stage, done, total
Told = Callable[[str, int, int], None]
_ERRORS: dict[str, type[ParibusError]] = {kind.__name__: kind for kind in (RequestError, WorkError)}


def run_apart(job: Mapping[str, Any], *, progress: Told) -> dict[str, Any]:
    """The row of `job` from a process of its own; see `worker.work`.

    Raises the error that it raised, and `WorkError` if it died.
    """
    command = [sys.executable, "-m", "paribus.text.tokenizers.comparing.worker"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            with suppress(BrokenPipeError):  # one that died is found below
                process.stdin.write(json.dumps(job).encode() + b"\n")
                process.stdin.flush()
            for line in process.stdout:
                message = json.loads(line)
                if "row" in message:
                    row: dict[str, Any] = message["row"]
                    return row
                if "error" in message:
                    raise _ERRORS[message["error"]](message["message"])
                progress(message["stage"], message["done"], message["total"])
            code = process.wait()
        finally:
            process.kill()
            with suppress(OSError):
                process.stdin.close()
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    memory = ", perhaps because memory ran out: give less --train-bytes" if code == -signal.SIGKILL else ""
    raise WorkError(f"the process that made {job['contender']['label']} {how}{memory}")
