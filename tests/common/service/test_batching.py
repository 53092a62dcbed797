"""Order, batch sizes, bounds and isolation of the micro-batcher."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.service.batching import Batcher
from common.service.errors import ItemError, ServiceError


def decode(data: bytes) -> int:
    if data == b"bad":
        raise ItemError("unreadable", "bad")
    return int(data)


def double(numbers: Sequence[int]) -> list[int]:
    return [2 * n for n in numbers]


def run(
    use: Callable[[Batcher[int, int]], Awaitable[None]], predict=double, *, max_batch=4, queue_size=100, n_workers=2
) -> list[int]:
    """Run `use` with a started batcher; returns the sizes of the batches."""
    sizes: list[int] = []

    async def main() -> None:
        batcher = Batcher(
            decode, predict, max_batch=max_batch, queue_size=queue_size, n_workers=n_workers, on_batch=sizes.append
        )
        batcher.start()
        try:
            await use(batcher)
        finally:
            await batcher.stop()

    asyncio.run(main())
    return sizes


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.one_of(st.integers(0, 999), st.just(None)), min_size=1, max_size=9), max_size=8))
def test_every_request_gets_its_own_answers_in_order(requests: list[list[int | None]]):
    async def use(batcher: Batcher[int, int]) -> None:
        bodies = [[b"bad" if n is None else str(n).encode() for n in numbers] for numbers in requests]
        found = await asyncio.gather(*(batcher.answer(body) for body in bodies))
        plain = [[None if isinstance(a, ItemError) else a for a in answers] for answers in found]
        assert plain == [[None if n is None else 2 * n for n in numbers] for numbers in requests]

    sizes = run(use, queue_size=1000)
    assert sum(sizes) == sum(n is not None for numbers in requests for n in numbers)
    assert all(size <= 4 for size in sizes)


def test_idle_workers_share_what_is_there():
    together = threading.Barrier(2, timeout=10)  # passes only if both workers have a part at one time

    def predict(numbers: Sequence[int]) -> list[int]:
        together.wait()
        return double(numbers)

    async def use(batcher: Batcher[int, int]) -> None:
        await asyncio.sleep(0)  # both workers wait
        assert await batcher.answer([b"1", b"2", b"3", b"4"]) == [2, 4, 6, 8]

    assert run(use, predict) == [2, 2]


def test_requests_that_wait_are_answered_in_one_batch():
    gate = threading.Event()

    def predict(numbers: Sequence[int]) -> list[int]:
        gate.wait(10)
        return double(numbers)

    async def use(batcher: Batcher[int, int]) -> None:
        first = asyncio.create_task(batcher.answer([b"0"]))
        await asyncio.sleep(0)  # the request is in the queue
        while batcher.depth:
            await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.answer([str(n).encode()])) for n in (1, 2, 3)]
        while batcher.depth < 3:
            await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(first, *others) == [[0], [2], [4], [6]]

    assert run(use, predict, n_workers=1) == [1, 3]


def test_a_full_queue_refuses_whole_requests_and_recovers():
    gate = threading.Event()

    def predict(numbers: Sequence[int]) -> list[int]:
        gate.wait(10)
        return double(numbers)

    async def use(batcher: Batcher[int, int]) -> None:
        first = asyncio.create_task(batcher.answer([b"0"]))
        await asyncio.sleep(0)
        while batcher.depth:
            await asyncio.sleep(0)
        second = asyncio.create_task(batcher.answer([b"1", b"2"]))
        await asyncio.sleep(0)
        with pytest.raises(ServiceError) as refused:
            await batcher.answer([b"3", b"4"])
        assert refused.value.status == 503
        assert batcher.depth == 2
        third = asyncio.create_task(batcher.answer([b"5"]))
        await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(first, second, third) == [[0], [2, 4], [10]]

    run(use, predict, queue_size=3, n_workers=1)


def test_a_cancelled_request_leaves_the_queue_and_is_not_computed():
    gate = threading.Event()
    seen: list[int] = []

    def predict(numbers: Sequence[int]) -> list[int]:
        gate.wait(10)
        seen.extend(numbers)
        return double(numbers)

    async def use(batcher: Batcher[int, int]) -> None:
        first = asyncio.create_task(batcher.answer([b"0"]))
        await asyncio.sleep(0)
        while batcher.depth:
            await asyncio.sleep(0)
        second = asyncio.create_task(batcher.answer([b"1", b"2"]))
        third = asyncio.create_task(batcher.answer([b"3"]))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait({second})
        assert batcher.depth == 1
        first.cancel()  # under way: its answer is thrown away
        gate.set()
        assert await third == [6]

    run(use, predict, n_workers=1)
    assert seen == [0, 3]


def test_what_breaks_one_item_does_not_break_its_neighbours():
    def predict(numbers: Sequence[int]) -> list[int]:
        if 13 in numbers:
            raise ZeroDivisionError
        return double(numbers)

    async def use(batcher: Batcher[int, int]) -> None:
        tasks = [asyncio.create_task(batcher.answer([str(n).encode()])) for n in (12, 13, 14)]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert (found[0], found[2]) == ([24], [28])
        assert isinstance(found[1], ZeroDivisionError)

    run(use, predict, n_workers=1)


def test_a_model_that_returns_too_few_answers_is_a_bug_and_not_a_mix_up():
    async def use(batcher: Batcher[int, int]) -> None:
        with pytest.raises(RuntimeError, match="0 answers to 1 items"):
            await batcher.answer([b"1"])

    run(use, lambda numbers: [])


def test_the_event_loop_runs_while_workers_compute():
    def slow(numbers: Sequence[int]) -> list[int]:
        time.sleep(0.3)
        return double(numbers)

    async def use(batcher: Batcher[int, int]) -> None:
        task = asyncio.create_task(batcher.answer([b"1"]))
        gaps = []
        while not task.done():
            started = time.perf_counter()
            await asyncio.sleep(0.005)
            gaps.append(time.perf_counter() - started)
        assert len(gaps) > 10
        assert sorted(gaps)[len(gaps) // 2] < 0.1

    run(use, slow)


def test_an_error_that_no_future_takes_kills_no_worker():
    def stops(numbers: Sequence[int]) -> list[int]:
        if 0 in numbers:
            raise StopIteration
        return double(numbers)

    async def use(batcher: Batcher[int, int]) -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(batcher.answer([b"0"]), 5)
        assert await asyncio.wait_for(batcher.answer([b"1"]), 5) == [2]

    run(use, stops, n_workers=1)
