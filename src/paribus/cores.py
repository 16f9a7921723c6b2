"""How many cores there are to work on, and how threads wait on them."""

from __future__ import annotations

import os
from pathlib import Path

#: How a thread waits for its next task: awake for so many turns, 0.1 to 0.5 ms, then asleep. Waking one takes longer
#: than many a kernel. Left alone, libgomp keeps it awake for milliseconds, on a core that others may want.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}


def cores() -> int:
    """Cores this process may use: its affinity, or less where a control group limits it."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(here, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # no control group, or "max" for no limit
        return here


def settle_waiting() -> None:
    """Let the threads of this process wait as `WAITING` says, unless its user has settled it; before torch is imported."""
    if not any(name in os.environ for name in WAITING):
        os.environ.update(WAITING)
