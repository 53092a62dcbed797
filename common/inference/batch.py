"""Run a function over many items on this machine, in order, with flat memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """Cores this process may use (fewer than the machine has, in a container or under taskset)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_chunks(
    function: Callable[[list[Item]], Result], items: Iterable[Item], chunk_size: int, n_workers: int | None = None
) -> Iterator[Result]:
    """Yield `function(chunk)` for consecutive chunks of `items`, in order.

    Every worker does a whole chunk: reading, decoding, the network. While one decodes another computes, no
    core waits for a queue, and no stage has to be balanced against another. The workers are threads, which
    suits functions that spend their time in OpenCV, ONNX Runtime or zlib: these release Python's lock. At
    most two chunks a worker are under way or waiting to be taken, so memory does not grow with the items.

    Args:
        function: takes 1 to `chunk_size` items; what it raises is raised here.
        items: may be endless; it is read as the work goes on.
        chunk_size: items in a call.
        n_workers: threads; by default one for each available core.
    """
    iterator = iter(items)
    n_workers = n_workers or available_cores()
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(n_workers)
    try:
        while chunk := list(islice(iterator, chunk_size)):
            pending.append(pool.submit(function, chunk))
            if len(pending) >= 2 * n_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # Reached early when a chunk failed or the caller stopped: what has not begun never will.
        pool.shutdown(wait=True, cancel_futures=True)
