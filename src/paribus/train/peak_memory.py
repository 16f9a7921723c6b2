"""Peak memory of a run: of the whole process on a CPU, of what torch allocated on a GPU."""

from __future__ import annotations

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
