"""Small array helpers: leading (batch) axes in front, features flat in the last axis."""

import math
from collections.abc import Sequence

import numpy as np

from everygrad.engines import Array, namespace
from everygrad.errors import InputError

Shape = tuple[int, ...]
Index = tuple[int | slice, ...]
WORTH_A_PRODUCT = 2**14
"""Numbers from which on rows are added up as a product with ones."""


def broadcast(a: Shape, b: Shape) -> Shape:
    """The shape that ``a`` and ``b`` broadcast to; `InputError` if they do not."""
    if a == b or not b:
        return a
    if not a:
        return b
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise InputError(
            f"leading axes {a} and {b} do not broadcast: give both the same batch, or leave one without"
        ) from None


def flatten(x: Array, ndim: int) -> Array:
    """``x`` with its last ``ndim`` axes as one: (*lead, *features) -> (*lead, size)."""
    if ndim == 1:
        return x
    cut = len(x.shape) - ndim
    return namespace(x).reshape(x, (*x.shape[:cut], math.prod(x.shape[cut:])))


def unflatten(x: Array, features: Shape) -> Array:
    """``x`` with its last axis in the shape ``features``: (*lead, size) -> (*lead, *features)."""
    if len(features) == 1:
        return x
    return namespace(x).reshape(x, (*x.shape[:-1], *features))


def sum_leading(x: Array) -> Array:
    """The sum over all axes but the last: (*lead, n) -> (n,)."""
    axes = tuple(range(len(x.shape) - 1))
    if axes and math.prod(x.shape) >= WORTH_A_PRODUCT and (type(x) is np.ndarray or hasattr(x, "recorder")):
        rows = namespace(x).ones((math.prod(x.shape[:-1]),), dtype=x.dtype)
        return rows @ x.reshape(-1, x.shape[-1])  # BLAS adds rows up faster than NumPy does
    if type(x) is np.ndarray:
        return np.add.reduce(x, axis=axes) if axes else x
    return namespace(x).sum(x, axis=axes) if axes else x


def spread(x: Array, lead: Shape) -> Array:
    """``x`` with its leading axes broadcast to ``lead``, by a view: (*some, n) -> (*lead, n)."""
    if tuple(x.shape[:-1]) == lead:
        return x
    return namespace(x).broadcast_to(x, (*lead, x.shape[-1]))


def norm_last(x: Array) -> Array:
    """‖x‖ over the last axis, real, scaled by the largest entry where squares underflow or overflow."""
    if type(x) is np.ndarray and x.ndim > 1 and x.dtype.kind == "f":
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            squares = np.add.reduce(x * x, axis=-1)
        limits = np.finfo(x.dtype)
        plain = (squares > limits.tiny / limits.eps**2) & (squares <= limits.max)
        found = np.sqrt(squares, where=plain, out=squares)
        if not plain.all():
            found[~plain] = _scaled_norm(x[~plain])
        return found
    return _scaled_norm(x)


def _scaled_norm(x: Array) -> Array:
    xp = namespace(x)
    largest = xp.max(xp.abs(x), axis=-1, keepdims=True)
    scale = xp.where(xp.isfinite(largest) & (largest > 0), largest, xp.ones_like(largest))
    return scale[..., 0] * xp.linalg.vector_norm(x / scale, axis=-1)


def pick(x: Array, ndim: int, index: Index) -> Array:
    """The features (last ``ndim`` axes) of one sample; ``index`` counts in the batch that x broadcasts to.

    A slice in ``index`` keeps its axis.
    """
    lead = x.shape[: len(x.shape) - ndim]
    own = index[len(index) - len(lead) :]
    return x[(*(0 if n == 1 and not isinstance(i, slice) else i for i, n in zip(own, lead, strict=True)), ...)]


def flat_index(index: Sequence[int], shape: Shape) -> int:
    """The position of ``index`` in an array of ``shape`` laid out row by row."""
    position = 0
    for axis, n in enumerate(shape):
        position = position * n + index[axis]
    return position


def show(shape: Shape) -> str:
    """(128, 64) as 128×64; a scalar's shape as ()."""
    return "×".join(map(str, shape)) or "()"
