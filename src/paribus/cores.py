"""How many cores there are to work on, and how threads wait on them."""

from __future__ import annotations

import os
from pathlib import Path

from paribus.errors import RequestError

#: More threads than any machine has cores for; libgomp crashes where it is asked for very many.
MOST_THREADS = 1024
_PROCESSES_A_CORE = 8

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


def usable_processes(wanted: int | None) -> int:
    """So many processes, or one a core. Raises `RequestError` for more than eight a core, which would only wait."""
    here = cores()
    if wanted is not None and wanted > _PROCESSES_A_CORE * here:
        raise RequestError(
            f"{wanted:,} processes are more than this machine's {here} core{'s' if here > 1 else ''} can work with; "
            f"at most {_PROCESSES_A_CORE * here} are started"
        )
    return wanted or here


def settle_waiting() -> None:
    """Let the threads of this process wait as `WAITING` says, unless its user has settled it; before torch is imported."""
    if not any(name in os.environ for name in WAITING):
        os.environ.update(WAITING)
