"""Chunks come back in order, memory holds few of them, and failures reach the caller."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.inference.batch import available_cores, map_blocks, map_chunks, stack_alike


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(), max_size=60), st.integers(1, 9), st.integers(1, 5))
def test_is_map_in_order(items: list[int], chunk_size: int, n_workers: int):
    chunks = list(map_chunks(lambda chunk: [x * 2 for x in chunk], items, chunk_size, n_workers))
    assert [x for chunk in chunks for x in chunk] == [x * 2 for x in items]
    assert all(len(chunk) == chunk_size for chunk in chunks[:-1])


@pytest.mark.parametrize("chunk_size", [0, -1])
def test_chunks_of_no_items_are_refused(chunk_size: int):
    with pytest.raises(ValueError, match=f"chunk_size is {chunk_size}"):
        list(map_chunks(len, range(3), chunk_size))


def test_order_holds_when_early_chunks_are_slow():
    def work(chunk: list[int]) -> int:
        time.sleep(0.02 if chunk[0] % 2 == 0 else 0)
        return chunk[0]

    assert list(map_chunks(work, range(20), 1, 4)) == list(range(20))


def test_reads_no_further_ahead_than_two_chunks_a_worker():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = map_chunks(len, endless(), 10, 3)
    for done in range(1, 6):
        next(results)
        assert taken <= (done + 2 * 3) * 10
    results.close()


def test_runs_on_several_threads():
    barrier = threading.Barrier(2, timeout=10)  # broken, and so an error, unless two chunks run at once
    assert list(map_chunks(lambda chunk: barrier.wait() >= 0, range(4), 1, 2)) == [True] * 4


def test_failure_reaches_the_caller_and_stops_the_rest():
    started = []

    def work(chunk: list[int]) -> int:
        started.append(chunk[0])
        if chunk[0] == 2:
            raise ValueError("third")
        return chunk[0]

    with pytest.raises(ValueError, match="third"):
        list(map_chunks(work, range(1000), 1, 2))
    assert len(started) < 20


def test_available_cores_is_at_least_one():
    assert available_cores() >= 1


def test_blocks_are_mapped_one_by_one_in_order():
    blocks = [list(range(n)) for n in (3, 0, 5, 1)]
    assert map_blocks(sum, blocks, description="adding") == [3, 0, 10, 0]
    assert map_blocks(sum, [], description="adding") == []


def test_what_a_block_raises_stays_as_it_is():
    with pytest.raises(ZeroDivisionError):
        map_blocks(lambda block: 1 // block, [1, 0, 1], description="dividing")


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=20), st.integers(1, 5))
def test_stacks_hold_every_array_once_and_only_those_of_one_shape(shapes: list[tuple[int, int]], batch_size: int):
    arrays = [np.full(shape, row) for row, shape in enumerate(shapes)]
    seen = []
    for rows, stack in stack_alike(arrays, batch_size):
        assert len(stack) == len(rows) <= batch_size
        assert [int(array.flat[0]) for array in stack] == rows
        seen += rows
    assert sorted(seen) == list(range(len(shapes)))
    full = sum(-(-shapes.count(shape) // batch_size) for shape in set(shapes))
    assert len(list(stack_alike(arrays, batch_size))) == full  # no smaller stacks than need be
