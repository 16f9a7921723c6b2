"""Work for several threads whose results come back in the order of the work, a few of them at a time.

Threads and not processes: what is worth sharing out here happens inside numpy or a tokenizer, outside of Python's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_order(
    work: Callable[[Given], Made], items: Iterable[Given], *, workers: int, ahead: int = 2
) -> Iterator[Made]:
    """`work` of each item, in the order of `items`; at most `ahead` items a worker wait or are done too early.

    What `work` raises is raised here. On leaving early nobody is waited for: what has not begun is dropped.
    """
    if workers == 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            if len(waiting) >= ahead * workers:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, item))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
