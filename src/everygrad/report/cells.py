"""Arrays that are too large to draw, in cells: each shows the entry of largest magnitude, with its sign."""

from typing import Any

import numpy as np

from everygrad.engines.shapes import Float

Array = Any


def every(count: int, most: int) -> int:
    """How many entries one cell has, so that there are at most ``most`` cells."""
    return max(1, -(-count // most))


def strongest(x: Float[Array, "*axes"], sizes: tuple[int, ...]) -> Float[Array, "*cells"]:
    """The entry of largest magnitude of each cell of ``sizes`` entries, the last cells may have fewer; as float64.

    The positive one if two are as large, NaN if an entry is. Cost: two passes over the array and no copy of it.
    """
    high = low = x
    if sizes[0] > 1:  # many rows by slices: a reduction along them is five times as quick as `reduceat`
        cells = [slice(i, i + sizes[0]) for i in range(0, len(x), sizes[0])]
        high, low = np.stack([x[cell].max(0) for cell in cells]), np.stack([x[cell].min(0) for cell in cells])
    for axis, size in enumerate(sizes[1:], 1):
        starts = np.arange(0, x.shape[axis], size)
        high, low = np.maximum.reduceat(high, starts, axis=axis), np.minimum.reduceat(low, starts, axis=axis)
    return np.where(high >= -low, high, low).astype(np.float64)


def largest(x: Float[Array, "*axes"]) -> float:
    """The largest magnitude among the finite numbers, 0 if there are none."""
    return float(np.abs(x[np.isfinite(x)]).max(initial=0.0))
