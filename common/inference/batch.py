"""Run a function over many items: on this machine, in order, with flat memory; or by either engine."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from enum import StrEnum
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.cli import progress

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
        chunk_size: items in a call, at least 1.
        n_workers: threads; by default one for each available core.

    Raises:
        ValueError: chunk_size below 1.
    """
    if chunk_size < 1:  # of 0 items a chunk is empty, which looks like the end
        raise ValueError(f"chunk_size is {chunk_size}, and must be at least 1")
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


def stack_alike(arrays: Sequence[NDArray[Any]], batch_size: int) -> Iterator[tuple[list[int], NDArray[Any]]]:
    """Yield stacks of up to `batch_size` of the arrays, all of one shape in a stack, and where each of them stood."""
    rows: dict[tuple[int, ...], list[int]] = {}
    for row, array in enumerate(arrays):
        rows.setdefault(array.shape, []).append(row)
    for alike in rows.values():
        for start in range(0, len(alike), batch_size):
            part = alike[start : start + batch_size]
            yield part, np.stack([arrays[row] for row in part])


class Engine(StrEnum):
    """Where work is done; the answer is the same."""

    LOCAL = "local"  # threads of this process
    RAY = "ray"  # actors on a Ray cluster


def map_blocks(
    function: Callable[[Item], Result], blocks: Sequence[Item], engine: Engine = Engine.LOCAL, *, description: str
) -> list[Result]:
    """Return `[function(block) for block in blocks]`, worked on side by side.

    Args:
        function: pure; called from many threads, or, with Ray, in other processes.
        blocks: a good part of a second's work each, as the arrays of a few thousand rows, or
            `common.inference.cluster.Shard`s, whose rows are read where they are needed. With Ray they and the
            results travel between processes.
        engine: where to work.
        description: of the progress bar, which counts blocks.

    Raises:
        UserError: the function raised it, or there is no Ray. Any other error of the function stays as it is with
            the local engine, and is wrapped by Ray.
    """
    results: dict[int, Result] = {}
    with progress(description, total=len(blocks)) as advance:
        if engine is Engine.RAY:
            from common.inference.cluster import map_on_ray

            finished = map_on_ray(lambda: function, blocks)
        else:
            finished = enumerate(map_chunks(lambda chunk: function(chunk[0]), blocks, 1))
        for position, result in finished:
            results[position] = result
            advance()
    return [results[position] for position in range(len(blocks))]
