"""Memory used again: large NumPy results of one pass take the place of the previous pass's.

Fresh large arrays cost as much as the arithmetic on them: the system hands out their memory page by
page. A `Pool` keeps the arrays it has made and gives one out again when nobody else refers to it any
more (also not through a view), which CPython's reference count tells exactly. Nobody can notice, but
for the time saved: a result that is still held, in whole or in part, is never written to.
"""

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, final

import numpy as np

from everygrad.engines.arrays import Array
from everygrad.engines.compiled.choice import engine
from everygrad.engines.compiled.threads import product

SMALLEST = 2**17
"""Bytes below which a fresh array is quicker than a look into the pool."""
MOST_BYTES = 2**30
"""Bytes that one pool keeps at most; what goes beyond is made afresh and not kept."""
MOST_ALIKE = 256
"""Arrays of one shape that a pool keeps; if all are still in use elsewhere, it lets go of them."""

_probe = [np.empty(1)]
_UNUSED = sys.getrefcount(_probe[0])  # of an array that only one list refers to
_EXACT = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()

_in_use: ContextVar["Pool | None"] = ContextVar("everygrad_pool", default=None)


@final
class Pool:
    """The large arrays of earlier passes over one graph. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: dict[tuple[tuple[int, ...], np.dtype], list[np.ndarray]] = {}
        self._next: dict[tuple[tuple[int, ...], np.dtype], int] = {}
        self._lock = threading.Lock()
        self.nbytes = 0

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array with arbitrary content that nobody else refers to."""
        size = dtype.itemsize
        for n in shape:
            size *= n
        if size < SMALLEST:
            return np.empty(shape, dtype)
        key = (shape, dtype)
        with self._lock:
            kept = self._kept.setdefault(key, [])
            count, start = len(kept), self._next.get(key, 0)
            for step in range(count):
                i = (start + step) % count
                if sys.getrefcount(kept[i]) == _UNUSED:
                    self._next[key] = i + 1
                    return kept[i]
            fresh = np.empty(shape, dtype)
            if count >= MOST_ALIKE:
                self.nbytes -= count * size
                kept.clear()
            if self.nbytes + size <= MOST_BYTES:
                kept.append(fresh)
                self.nbytes += size
            return fresh


@contextmanager
def using(pool: Pool | None) -> Generator[None]:
    """Within the block, the functions of this module take their results' memory from the pool."""
    token = _in_use.set(pool if _EXACT else None)
    try:
        yield
    finally:
        _in_use.reset(token)


def _room(a: Any, b: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Memory for a result of this shape, if a pool is in use and the operands are plain NumPy arrays of one dtype."""
    pool = _in_use.get()
    if pool is None or type(a) is not np.ndarray or type(b) is not np.ndarray or a.dtype != b.dtype:
        return None
    return pool.empty(shape, a.dtype)


def matmul(a: Array, b: Array) -> Array:
    """a @ b, where b is a matrix: one product, whatever the leading axes of a (NumPy would make one for each)."""
    if a.ndim > 2 and (type(a) is np.ndarray or hasattr(a, "recorder")):
        return matmul(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[-1])
    room = _room(a, b, (*a.shape[:-1], b.shape[-1])) if a.ndim > 1 else None
    if room is None:
        return a @ b
    return np.matmul(a, b, out=room) if engine() == "numpy" else product(a, b, room)


def multiply(a: Array, b: Array) -> Array:
    """a ⊙ b."""
    room = _room(a, b, a.shape) if a.shape == b.shape and a.ndim else None
    return a * b if room is None else np.multiply(a, b, out=room)


def tanh(a: np.ndarray) -> np.ndarray:
    """tanh(a) of a NumPy array."""
    room = _room(a, a, a.shape) if a.ndim else None
    return np.tanh(a) if room is None else np.tanh(a, out=room)


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array with arbitrary content, from the pool in use if there is one."""
    pool = _in_use.get()
    return np.empty(shape, dtype) if pool is None else pool.empty(shape, np.dtype(dtype))
