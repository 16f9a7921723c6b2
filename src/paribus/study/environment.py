"""The machine and the software a study ran on."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from paribus.cores import cores
from paribus.source import digest

__all__ = ["cores", "describe", "trials_at_a_time"]


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


def source() -> str:
    """Hash of the lines of this package that the numbers of a trial come from."""
    return digest("ops", "parts", "model", "train", "text")


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
