"""The keeper of one command: it runs the command, says how it ended, and leaves nothing of it behind.

Run as a script, `python -I -S keeper.py`, as the leader of its own process group. Its stdin gives one
line, the program and its arguments as a JSON list; it is a pipe that only the study holds, so it closes whenever
the study ends, killed or not, and then the group is asked to stop and, a moment later, killed. On Linux so is whatever else
the command started, in sessions of its own too: the keeper adopts what loses its parent. How the command
ended goes to stdout as one JSON object; what the command itself prints goes to stderr. Only the standard library
may be imported here, and little of it.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time

GRACE_SECONDS = 0.75
_KILL_SECONDS = 0.25  # for what has left the group; less than the launcher waits beyond the grace
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    # A handler and not SIG_IGN, which the command would inherit: signals are for it, the keeper goes last.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        return  # the study was gone before it had said what to run
    arguments = json.loads(line)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        command = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=2, stderr=2)
    except OSError as error:
        _say({"error": f"{error.strerror or error}: {arguments[0]}"})
        return
    ended = threading.Event()
    threading.Thread(target=_stop_when_alone, args=(ended,), daemon=True).start()
    _say({"code": _ending_of(command.pid)})
    ended.set()
    _kill_everything()


def _stop_when_alone(ended: threading.Event) -> None:
    os.read(0, 1)  # nothing more is ever written: this returns when the study is gone
    os.killpg(0, signal.SIGTERM)
    ended.wait(GRACE_SECONDS)
    _kill_everything()


def _ending_of(command: int) -> int:
    """The exit code of the command; the adopted ones that end before it are laid to rest."""
    while True:
        process, status = os.waitpid(-1, 0)
        if process == command:
            return os.waitstatus_to_exitcode(status)


def _kill_everything() -> None:
    """Kill what the command left running, and the keeper itself. The children of a killed child come here next."""
    give_up = time.monotonic() + _KILL_SECONDS
    while (children := _children()) and time.monotonic() < give_up:
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        time.sleep(0.002)
    os.killpg(0, signal.SIGKILL)


def _children() -> list[int]:
    """Children of this process that are alive; none where there is no /proc."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc") if sys.platform == "linux" else ()):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
        except OSError:  # it has ended
            continue
        if int(parent) == os.getpid() and state != b"Z":
            found.append(int(name))
    return found


def _say(ending: dict[str, object]) -> None:
    try:
        os.write(1, json.dumps(ending).encode())
    except BrokenPipeError:
        pass


if __name__ == "__main__":
    main()
