"""Work split over threads of our own, and BLAS on one thread meanwhile."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from everygrad.checks.tolerance import EXACT, assert_close
from everygrad.engines.compiled.threads import WORTH_SPLITTING, one_thread_of_blas, product, running, together


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize("shape", [(700, 64, 130), (130, 64, 700), (257, 257, 257), (3, 2000, 1000), (1000, 2000, 3)])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("turned", [False, True])
def test_a_split_product_is_the_product(shape, count, turned):
    rng = np.random.default_rng(0)
    n, k, m = shape
    assert n * k * m >= WORTH_SPLITTING
    a, b = (rng.normal(size=s) for s in (((k, n), (m, k)) if turned else ((n, k), (k, m))))
    a, b = (a.T, b.T) if turned else (a, b)
    out = np.full((n, m), np.nan)
    with running("compiled", count):
        assert product(a, b, out) is out
    assert_close(out, np.einsum("nk,km->nm", a, b, optimize=False), EXACT, "product")


def test_blas_has_one_thread_inside_and_its_own_number_after_it():
    before = blas_threads()
    with one_thread_of_blas():
        assert set(blas_threads()) == {1}
        with one_thread_of_blas():
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_also_after_an_error_and_from_several_threads_at_once():
    before = blas_threads()
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(300, 300)), rng.normal(size=(300, 300))
    expected = np.einsum("nk,km->nm", a, b, optimize=False)

    def block(i):
        with running("compiled", 2):
            found = product(a, b, np.empty((300, 300)))
            if i % 3 == 0:
                raise ValueError("inside")
        return found

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(block, i) for i in range(40)]
    for i, job in enumerate(jobs):
        if i % 3 == 0:
            with pytest.raises(ValueError, match="inside"):
                job.result()
        else:
            assert_close(job.result(), expected, EXACT, "product")
    assert blas_threads() == before


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_in_one_part_is_raised_when_all_are_done(failing):
    done = []

    def job(i):
        if i == failing:
            raise ValueError(f"part {i}")
        done.append(i)

    with pytest.raises(ValueError, match=f"part {failing}"):
        together([lambda i=i: job(i) for i in range(3)])
    assert sorted(done) == [i for i in range(3) if i != failing]


class StopError(Exception):
    """What a handler of signals raises."""


def test_an_interruption_is_raised_when_all_parts_are_done():
    """Nobody may write to memory that the caller has given up."""
    done, begun = [], threading.Event()

    def late():
        begun.set()
        time.sleep(0.2)
        done.append("late")

    def interrupted():
        begun.wait(5.0)
        raise StopError

    with pytest.raises(StopError):
        together([interrupted, late])
    assert done == ["late"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers that send signals")
def test_also_one_that_comes_while_it_waits():
    def stop(*_):
        raise StopError

    done, old = [], signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(StopError):
            together([lambda: None, lambda: (time.sleep(0.3), done.append("late"))])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, old)
    assert done == ["late"]


def test_when_the_interpreter_goes_the_work_is_still_done():
    text = """
import atexit, numpy as np
from everygrad.engines.compiled.threads import product, running
def work():
    a = np.arange(90_000.0).reshape(300, 300) / 1e4
    with running("compiled", 2):
        print(np.abs(product(a, a, np.empty((300, 300))) - a @ a).max() < 1e-9)
atexit.register(work)
work()
"""
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert (found.stdout.split(), found.stderr) == (["True", "True"], "")
