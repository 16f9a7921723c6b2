"""Ctrl-C while a run trains: an end after the step in flight, so that a checkpoint can be written."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_ONE_CTRL_C = 1.0  # seconds


@dataclass
class Stop:
    """Whether to stop, and whether a Ctrl-C waits for the step in flight to end."""

    asked: float | None = None  # when
    gently: bool = False


@contextmanager
def stopping() -> Iterator[Stop]:
    """Ctrl-C asks once for an end after the step in flight.

    Before the first step, after the last, and a second time, it ends the run at once. Two within a second are one: a
    program around ours may pass on what the terminal sends to both.
    """
    stop = Stop()
    unheard = threading.current_thread() is not threading.main_thread()
    if unheard or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job
        yield stop
        return

    def interrupted(number: int, frame: object) -> None:
        now = time.monotonic()
        if not stop.gently or (stop.asked is not None and now - stop.asked > _ONE_CTRL_C):
            raise KeyboardInterrupt
        stop.asked = now

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
