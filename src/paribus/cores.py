"""How many cores there are to work on."""

from __future__ import annotations

import os
from pathlib import Path


def cores() -> int:
    """Cores this process may use: its affinity, or less where a control group limits it."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(here, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # no control group, or "max" for no limit
        return here
