"""Pure computations over processes: the same results, in the same order, however many processes there are.

For work that holds no state and needs no device; trials, which need both, have launchers (`launch.py`).
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Self, TypeVar

from paribus.errors import RequestError, WorkError

Job = TypeVar("Job")
Result = TypeVar("Result")


class Processes:
    """`workers` processes that live until the context is left; with one worker, this process itself.

    Leaving it, by Ctrl-C too, drops what was not begun and waits for the jobs that were, so jobs should be
    short. Raises `RequestError` for fewer than one worker.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise RequestError(f"at least one worker is needed, not {workers}")
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.workers > 1:
            # Not a fork: the parent has threads (of BLAS, of a progress bar) that a fork would leave behind.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, mp_context=context)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(
        self, function: Callable[[Job], Result], jobs: Sequence[Job], *, progress: Callable[[int], None]
    ) -> list[Result]:
        """`function` of every job, in the order of `jobs`; `progress` gets 1 for each that is done.

        `function` and jobs must be picklable. What `function` raises is raised here; `WorkError` if a
        process died.
        """
        if self._pool is None:
            return [_told(function(job), progress) for job in jobs]
        with _deaf_to_ctrl_c():
            futures: list[Future[Result]] = [self._pool.submit(function, job) for job in jobs]
        try:
            for future in as_completed(futures):
                _told(future.result(), progress)
        except BrokenProcessPool:
            raise WorkError(
                "a worker process died, perhaps for want of memory; fewer workers may help"
            ) from None
        return [future.result() for future in futures]


def _told(result: Result, progress: Callable[[int], None]) -> Result:
    progress(1)
    return result


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Ctrl-C waits until this is left, and processes started here never hear of it: whoever started them does.

    The mask is what they inherit; the handler is for our own threads, of which any may take the signal and
    so interrupt the start of a process half-way.
    """
    ours = threading.current_thread() is threading.main_thread()
    pressed: list[int] = []
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number)) if ours else None
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)  # one that was held back arrives now
        if ours:
            signal.signal(signal.SIGINT, handler or signal.SIG_DFL)
    if pressed:
        signal.raise_signal(signal.SIGINT)
