"""The machine and the software a study ran on."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from pathlib import Path
from typing import Any

import paribus

_COMPUTING = ("ops", "parts", "model", "train", "text")  # what the numbers of a trial come from


def cores() -> int:
    """Cores this process may use: its affinity, or less where a control group limits it."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(here, max(1, int(quota) // int(period)))
    except (OSError, ValueError):  # no control group, or "max" for no limit
        return here


def trials_at_a_time(threads: int) -> int:
    """One on each GPU that trials can use (one), else as many as the cores hold."""
    import torch

    return 1 if torch.cuda.is_available() else max(1, cores() // threads)


def describe() -> dict[str, Any]:
    """Versions and hardware as plain data."""
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "cpu": _cpu(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": cores(),
    }


@functools.cache
def source() -> str:
    """Hash of the files of this package that compute a trial: a version says which release it is, and nothing about a
    line changed since."""
    root = Path(paribus.__file__).parent
    files = [root / "registry.py", *(file for room in _COMPUTING for file in (root / room).rglob("*.py"))]
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()} {file.relative_to(root)}" for file in files]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
