"""Tasks in threads: results in order, few items at a time, errors in their place."""

import threading
import time

import pytest

from everygrad.batches.order import in_order


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_results_come_in_order(workers):
    def task(i):
        time.sleep(0.004 * (i % 3 == 0))
        return i * i

    assert list(in_order(task, range(20), workers)) == [i * i for i in range(20)]


@pytest.mark.parametrize("workers", [2, 3])
def test_whoever_is_ready_first(workers):
    """The first task waits for the second one: they do run side by side, and still the first result is the first's."""
    second, finished = threading.Event(), []

    def task(i):
        if i == 0:
            assert second.wait(20)
        finished.append(i)
        if i == 1:
            second.set()
        return i

    assert list(in_order(task, range(6), workers)) == list(range(6))
    assert finished.index(1) < finished.index(0)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_items_are_read_in_the_callers_thread_and_no_further_ahead_than_needed(workers):
    taken, read = 0, []

    def items():
        for i in range(12):
            read.append(threading.get_ident())
            assert i <= taken + workers
            yield i

    for result in in_order(lambda i: i, items(), workers):
        assert result == taken
        taken += 1
    assert taken == 12
    assert set(read) == {threading.get_ident()}


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_an_error_of_a_task_comes_after_the_results_before_it(workers):
    def task(i):
        if i in (3, 4):
            raise ValueError(i)
        return i

    results = in_order(task, range(8), workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(results)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_an_error_of_the_items_comes_after_the_results_before_it(workers):
    def items():
        yield from range(4)
        raise OSError("the disk is gone")

    results = in_order(lambda i: i, items(), workers)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)


def test_no_thread_is_left():
    before = threading.active_count()
    results = in_order(lambda i: i, range(100), 3)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before
