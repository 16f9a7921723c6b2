"""How much memory there is, and the peak of a run: of the process on a CPU, of what torch allocated on a GPU."""

from __future__ import annotations

import os
from pathlib import Path

import torch


def reset_peak_memory(device: torch.device) -> None:
    """Let the peak start again from now, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak resident size starts again from now
    except OSError:
        pass


def peak_memory(device: torch.device) -> int | None:
    """Peak resident memory of this process since the run began (GPU: peak allocated); None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def machine_bytes() -> int:
    """Memory trials may use: the GPU's, else the machine's, or less where a control group says so."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[1]
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        return min(total, int(limit)) if limit.isdigit() else total
    except OSError:
        return total
