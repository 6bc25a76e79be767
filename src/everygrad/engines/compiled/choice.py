"""Which engine runs the loops of NumPy arrays, and with how many threads: a choice of the caller's context."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from everygrad.engines.arrays import Kind, numpy_namespace
from everygrad.errors import InputError, unknown_name

Engine = Literal["numpy", "compiled"]
ENGINES = ("numpy", "compiled")

_engine: ContextVar[Engine] = ContextVar("everygrad_engine", default="numpy")
_threads: ContextVar[int | None] = ContextVar("everygrad_threads", default=None)


def engine() -> Engine:
    """The engine in use."""
    return _engine.get()


def compiles(kind: Kind) -> bool:
    """Whether loops of such arrays are compiled: then what is done in them costs little."""
    plain = kind.xp is numpy_namespace or hasattr(kind.xp, "recorder")
    return engine() == "compiled" and plain and kind.dtype.kind == "f"


def threads() -> int:
    """How many threads compiled loops use: by default as many as this process has processors."""
    given = _threads.get()
    if given is not None:
        return given
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def checked(name: str) -> Engine:
    """A choice that exists and is installed; raises `UnknownNameError` or `InputError`."""
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    if name == "compiled":
        from everygrad.engines.compiled.machine import installed

        if not installed():
            raise InputError("engine='compiled' needs llvmlite: pip install 'everygrad[compiled]'")
        return "compiled"
    return "numpy"


@contextmanager
def chosen(name: Engine, count: int | None = None) -> Generator[None]:
    """Within the block this is the choice; `running` sees to BLAS, too."""
    tokens = _engine.set(name), _threads.set(count if count is not None else _threads.get())
    try:
        yield
    finally:
        _engine.reset(tokens[0])
        _threads.reset(tokens[1])
