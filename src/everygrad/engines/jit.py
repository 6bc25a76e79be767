"""The compiler of the library that has one."""

from collections.abc import Callable
from typing import Any


def jitted(function: Callable[..., Any]) -> Callable[..., Any]:
    """``jax.jit``: compiled once for each combination of shapes and dtypes."""
    import jax

    return jax.jit(function)
