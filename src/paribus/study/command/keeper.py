"""The keeper of one command: it runs the command, says how it ended, and leaves nothing of it behind.

Run as a script, `python -I -S keeper.py`, as the leader of its own process group. Its stdin gives one
line, the program and its arguments as a JSON list; it is a pipe that only the study holds, so it closes whenever
the study ends, killed or not, and then the group is asked to stop and, a moment later, killed. How the command
ended goes to stdout as one JSON object; what the command itself prints goes to stderr. Only the standard library
may be imported here, and little of it.
"""

import json
import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 0.75


def main() -> None:
    # A handler and not SIG_IGN, which the command would inherit: signals are for it, the keeper goes last.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return  # the study was gone before it had said what to run
    arguments = json.loads(line)
    try:
        command = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=2, stderr=2)
    except OSError as error:
        _say({"error": f"{error.strerror or error}: {arguments[0]}"})
        return
    ended = threading.Event()
    threading.Thread(target=_stop_when_alone, args=(ended,), daemon=True).start()
    _say({"code": command.wait()})
    ended.set()
    os.killpg(0, signal.SIGKILL)  # what the command left running, and the keeper itself


def _stop_when_alone(ended: threading.Event) -> None:
    os.read(0, 1)  # nothing more is ever written: this returns when the study is gone
    os.killpg(0, signal.SIGTERM)
    ended.wait(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _say(ending: dict[str, object]) -> None:
    try:
        os.write(1, json.dumps(ending).encode())
    except BrokenPipeError:
        pass


if __name__ == "__main__":
    main()
