"""A process that holds contenders: requests come in as JSON lines on stdin, answers go out on stdout.

    python -m paribus.bench.worker SUITE OPTIONS

Its allocator and threads are settled by its environment before it starts. When stdin closes it ends.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch._dynamo
from torch import Tensor

from paribus.bench.contender import Case, Missing
from paribus.bench.suites import SUITES
from paribus.train.peak_memory import peak_memory, reset_peak_memory

_WARM_UP = 3


class Worker:
    """The contenders of one suite at one shape, and what can be asked of them."""

    def __init__(self, suite: str, options: Mapping[str, Any]) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(0)
        self.contenders = {each.name: each for each in SUITES[suite].contenders(options)}
        self.tokens = SUITES[suite].tokens(options)
        self.built: dict[str, Case] = {}

    def names(self) -> dict[str, Any]:
        """Who takes part, and the tokens of a step."""
        lines = [
            {"name": each.name, "kind": each.kind, "note": each.note} for each in self.contenders.values()
        ]
        return {"contenders": lines, "tokens": self.tokens}

    def build(self, name: str) -> dict[str, Any]:
        """Make a contender and warm it up; `missing` says which library it would need."""
        began = time.perf_counter()
        try:
            case = self.contenders[name].make()
        except ImportError as error:
            return {"missing": f"{error.name or error} is not installed"}
        except Missing as error:
            return {"missing": str(error)}
        case.step()
        first = time.perf_counter() - began
        for _ in range(_WARM_UP):
            case.step()
        self.built[name] = case
        return {"seconds": first, "step": self.time(name, 1)["seconds"]}

    def time(self, name: str, repeats: int) -> dict[str, Any]:
        """Seconds of a step by the clock and of all cores together, means of `repeats` in a row."""
        step = self.built[name].step
        self._wait()
        began, began_cpu = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            step()
        self._wait()
        seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        return {"seconds": seconds / repeats, "cpu_seconds": cpu / repeats}

    def kept(self, name: str) -> dict[str, Any]:
        """Bytes that the forward pass keeps for backward, without what exists anyway."""
        case = self.built[name]
        return {"bytes": None if case.forward is None else kept_bytes(case.forward, owned=case.owned)}

    def peak(self, name: str) -> dict[str, Any]:
        """Bytes above rest at the worst moment of a step."""
        step = self.built[name].step
        step()
        _give_back()
        reset_peak_memory(self.device)
        rest = peak_memory(self.device)
        step()
        self._wait()
        worst = peak_memory(self.device)
        return {"bytes": None if rest is None or worst is None else worst - rest}

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def kept_bytes(forward: Callable[[], Tensor], *, owned: Any = ()) -> int:
    """Bytes of all storages that autograd holds after `forward`, but those of the `owned` tensors.

    Tensors are seen as they are saved, in eager and in compiled code alike.
    """
    storages: dict[int, Tensor] = {}  # holds the tensors, so that no address is used twice

    def pack(saved: Tensor) -> Tensor:
        storages[saved.untyped_storage().data_ptr()] = saved
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        out = forward()
    ours = {tensor.untyped_storage().data_ptr() for tensor in owned}
    kept = sum(saved.untyped_storage().nbytes() for place, saved in storages.items() if place not in ours)
    del out
    return kept


def _give_back() -> None:
    """Hand freed pages back to the system, so that rest is rest."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        pass  # another C library: the peak is then above what was ever held


def main() -> None:
    """Answer requests until stdin closes."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not mix with the answers
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    # Contenders share code objects, each of which torch would compile eight times and then run eager.
    torch._dynamo.config.recompile_limit = 64
    suite, options = sys.argv[1:]
    worker = Worker(suite, json.loads(options))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # noqa: BLE001 - whatever a library raises is this contender's result
            traceback.print_exc()
            last = (str(error).strip().splitlines() or [""])[0]
            answer = {"failed": f"{type(error).__name__}: {last}"}
        out.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
