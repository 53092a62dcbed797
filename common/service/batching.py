"""Items of many requests, answered together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from common.service.errors import ItemError, ServiceError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[Answer]):
    data: bytes
    answer: asyncio.Future[Answer]

    def set(self, outcome: Answer | Exception) -> None:
        if self.answer.done():  # cancelled: the request is over
            return
        if isinstance(outcome, StopIteration):  # no future takes one
            outcome = RuntimeError(repr(outcome))
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class Batcher(Generic[Item, Answer]):
    """A bounded queue and a few threads, each of which decodes and predicts a whole batch.

    Nobody waits for a batch to fill: a free worker takes what is there, at most `max_batch`, and leaves the
    other free workers their share. While all are busy the queue grows, and so do the batches.

    Args:
        decode: bytes to an item; raises ItemError. Called from the threads, as is `predict`.
        predict: items to answers, in order.
        max_batch: items in one call of `predict`.
        queue_size: items that may wait.
        n_workers: threads.
        on_batch: told the size of every batch.
    """

    def __init__(
        self,
        decode: Callable[[bytes], Item],
        predict: Callable[[list[Item]], Sequence[Answer]],
        *,
        max_batch: int,
        queue_size: int,
        n_workers: int,
        on_batch: Callable[[int], None],
    ) -> None:
        self._decode = decode
        self._predict = predict
        self._max_batch = max_batch
        self._queue_size = queue_size
        self._n_workers = n_workers
        self._on_batch = on_batch
        self._queue: deque[_Waiting[Answer]] = deque()
        self._n_idle = 0

    @property
    def depth(self) -> int:
        """Items waiting for a worker."""
        return len(self._queue)

    def start(self) -> None:
        """Start the workers, in the running event loop."""
        self._arrived = asyncio.Event()
        self._pool = ThreadPoolExecutor(self._n_workers, thread_name_prefix="batch")
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._n_workers)]

    async def stop(self) -> None:
        """Stop the workers; a batch under way is finished first."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    async def answer(self, items: Sequence[bytes]) -> list[Answer | ItemError]:
        """Answer the items of one request, in order; an item that `decode` refuses has its error instead.

        Cancelling this takes the items out of the queue.

        Raises:
            ServiceError: the queue has no room for all of them (kind overloaded).
        """
        if len(self._queue) + len(items) > self._queue_size:
            raise ServiceError("overloaded")
        loop = asyncio.get_running_loop()
        waiting = [_Waiting[Answer](data, loop.create_future()) for data in items]
        self._queue.extend(waiting)
        self._arrived.set()
        try:
            found = await asyncio.gather(*(w.answer for w in waiting), return_exceptions=True)
        except asyncio.CancelledError:  # gather has cancelled the futures
            self._queue = deque(w for w in self._queue if not w.answer.cancelled())
            raise
        answers: list[Answer | ItemError] = []
        for outcome in found:
            if isinstance(outcome, BaseException) and not isinstance(outcome, ItemError):
                raise outcome
            answers.append(outcome)
        return answers

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._take()
            outcomes = await loop.run_in_executor(self._pool, self._run, batch)
            for waiting, outcome in zip(batch, outcomes, strict=True):
                waiting.set(outcome)
            del batch, outcomes, waiting, outcome  # an idle worker holds nobody's photo

    async def _take(self) -> list[_Waiting[Answer]]:
        self._n_idle += 1
        try:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            share = -(-len(self._queue) // self._n_idle)
            return [self._queue.popleft() for _ in range(min(share, self._max_batch))]
        finally:
            self._n_idle -= 1

    def _run(self, batch: Sequence[_Waiting[Answer]]) -> list[Answer | Exception]:
        """In a thread: one outcome for each of the batch."""
        outcomes: dict[int, Answer | Exception] = {}
        items: dict[int, Item] = {}
        for i, waiting in enumerate(batch):
            if waiting.answer.cancelled():
                outcomes[i] = ServiceError("client_gone")  # nobody reads it
                continue
            try:
                items[i] = self._decode(waiting.data)
            except Exception as error:  # noqa: BLE001 - the request's own, whatever it is
                outcomes[i] = error
        if items:
            self._on_batch(len(items))
            outcomes |= zip(items, self._predict_apart(list(items.values())), strict=True)
        return [outcomes[i] for i in range(len(batch))]

    def _predict_apart(self, items: list[Item]) -> Sequence[Answer | Exception]:
        """If a batch fails, each item is tried alone: what is wrong with one is not the others' business."""
        try:
            answers = self._predict(items)
            if len(answers) != len(items):
                raise RuntimeError(f"predict returned {len(answers)} answers to {len(items)} items")
        except Exception as error:  # noqa: BLE001 - as above
            if len(items) == 1:
                return [error]
            return [outcome for item in items for outcome in self._predict_apart([item])]
        return answers
