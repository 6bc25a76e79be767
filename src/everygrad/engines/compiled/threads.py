"""Work split over threads of our own: those of a compiled loop, and the rows of large products.

BLAS runs on one thread meanwhile. Its own threads would go on looking for work for a while after each product (those of
OpenBLAS for a tenth of a second), and a compiled loop that needs all processors would share them with that.
"""

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, final

import numpy as np

from everygrad.engines.compiled.choice import Engine, chosen, threads

WORTH_SPLITTING = 2**22
"""Multiplications of a product below which a second thread costs more than it saves."""


def together(jobs: Sequence[Callable[[], Any]]) -> None:
    """Do all of them at once, the first one here. Raises what the first failing raises, when all are done.

    So does an interruption: nobody writes to memory any more that the caller gives up.
    """
    if len(jobs) == 1:
        jobs[0]()
        return
    others = _workers(os.getpid(), len(jobs) - 1).start(jobs[1:])
    try:
        jobs[0]()
    finally:
        _all_done(others)
    for other in others:
        other.result()


def _all_done(jobs: Sequence[Future[Any]]) -> None:
    """Wait for all, also through interruptions; the last of those is raised at the end."""
    interruption: BaseException | None = None
    for job in jobs:
        while not job.done():
            try:
                job.exception()  # which waits
            except BaseException as error:
                interruption = error
    if interruption is not None:
        raise interruption


@final
class _Workers:
    """Threads that run on other processors than the caller's.

    Linux wakes a thread where the one is that wakes it, if it finds no idle processor (on a virtual machine it may take
    an idle one for busy); and moves it only after many milliseconds.
    """

    def __init__(self, count: int, name: str) -> None:
        self._threads: list[int] = []
        self._caller = -1  # the processor that the threads leave alone

        def begin() -> None:
            self._threads.append(threading.get_native_id())
            self._caller = -1

        self._pool = ThreadPoolExecutor(count, name, begin)

    def start(self, jobs: Sequence[Callable[[], Any]]) -> list[Future[Any]]:
        """Begin them."""
        here = _processor()
        if here != self._caller:
            self._caller = here
            self._leave(here)
        begun: list[Future[Any]] = []
        try:
            for job in jobs:
                begun.append(self._begin(job))
        except BaseException:
            _all_done(begun)
            raise
        return begun

    def _begin(self, job: Callable[[], Any]) -> Future[Any]:
        try:
            return self._pool.submit(job)
        except RuntimeError:  # the interpreter is on its way out, and starts nothing any more
            here: Future[Any] = Future()
            here.set_result(job())
            return here

    def _leave(self, processor: int) -> None:
        """Let the threads run anywhere but here."""
        if sys.platform == "linux":
            elsewhere = os.sched_getaffinity(0) - {processor}
            for thread in self._threads if elsewhere else ():
                with suppress(OSError):  # the system may not let us
                    os.sched_setaffinity(thread, elsewhere)


@cache
def _system() -> Any:
    """The C library's function that tells the processor of this thread, None where there is none."""
    return getattr(ctypes.CDLL(None), "sched_getcpu", None) if sys.platform == "linux" else None


def _processor() -> int:
    """The number of the processor that this thread is on, or -1."""
    find = _system()
    return -1 if find is None else find()


@lru_cache(maxsize=8)
def _workers(process: int, count: int) -> _Workers:
    """Threads of this process (one that was forked from it has none of them)."""
    return _Workers(count, f"everygrad-{process}")


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """``np.matmul(a, b, out=out)``, for large matrices in as many parts as there are threads."""
    count = threads()
    if count < 2 or a.ndim != 2 or b.ndim != 2 or a.size * b.shape[1] < WORTH_SPLITTING:
        return np.matmul(a, b, out=out)
    tall = out.shape[0] >= out.shape[1]
    longer = max(out.shape)
    parts = [slice(*ends) for ends in pairwise(longer * i // count for i in range(count + 1))]
    triples = [(a[s], b, out[s]) if tall else (a, b[:, s], out[:, s]) for s in parts]
    together([lambda x=x, y=y, to=to: np.matmul(x, y, out=to) for x, y, to in triples])
    return out


_limited = threading.Lock()


@contextmanager
def one_thread_of_blas() -> Generator[None]:
    """Within the block, BLAS uses one thread for each product, in this whole process.

    A block within another one, or in another thread at the same time, changes nothing more: the first one's end is it.
    """
    if not _limited.acquire(blocking=False):
        yield
        return
    try:
        with _libraries().limit(limits=1):
            yield
    finally:
        _limited.release()


@contextmanager
def running(engine: Engine, count: int | None = None) -> Generator[None]:
    """Within the block, loops of NumPy arrays run on this engine, with so many threads."""
    with chosen(engine, count), one_thread_of_blas() if engine == "compiled" else nullcontext():
        yield


@cache
def _libraries() -> Any:
    """The BLAS libraries of this process."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
