"""A local Jacobian read by column: which outputs read an input, and with what derivative."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np

from everygrad.engines import Array, to_numpy
from everygrad.jacobians import Dense, Diagonal, Identity, Jacobian, Product, Row, Selection, Weight, Zero

Columns = tuple[np.ndarray, np.ndarray]
"""Outputs and derivatives of some inputs: p (inputs, m), or (m,) if the same for all; values (lanes or 1, inputs, m).
A place that is not used has p = −1 and the value NaN."""


class Readers(ABC):
    """The structural nonzeros of ∂v/∂u, by element of u. The structure is the same for all samples."""

    @property
    @abstractmethod
    def width(self) -> int:
        """The most outputs that read one input."""

    @abstractmethod
    def reach(self, inputs: np.ndarray) -> np.ndarray:
        """The outputs that read any of these inputs, ascending."""

    @abstractmethod
    def columns(self, inputs: np.ndarray) -> Columns:
        """The outputs that read each of these inputs, ascending, and the derivatives."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Full(Readers):
    """Every output reads every input: A (lanes or 1, out, in)."""

    A: np.ndarray

    @property
    def width(self) -> int:
        return self.A.shape[1]

    def reach(self, inputs: np.ndarray) -> np.ndarray:
        return np.arange(self.A.shape[1])

    def columns(self, inputs: np.ndarray) -> Columns:
        first, last = int(inputs[0]), int(inputs[-1])
        together = last - first + 1 == len(inputs)  # ascending, hence a slice: no copy
        A = self.A[:, :, first : last + 1] if together else self.A[:, :, inputs]
        return np.arange(A.shape[1]), A.transpose(0, 2, 1)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Lists(Readers):
    """A list of outputs for each input q, ``p[start[q] : start[q + 1]]``; values (lanes or 1, nnz)."""

    start: np.ndarray
    p: np.ndarray
    values: np.ndarray

    @property
    def width(self) -> int:
        return int(np.diff(self.start).max(initial=0))

    def reach(self, inputs: np.ndarray) -> np.ndarray:
        p = self.columns(inputs)[0]
        return np.unique(p[p >= 0])

    def columns(self, inputs: np.ndarray) -> Columns:
        start = self.start[inputs]
        count = self.start[inputs + 1] - start
        turn = np.arange(count.max(initial=0))
        index = start[:, None] + turn
        missing = turn >= count[:, None]
        if not missing.any():
            return self.p[index], self.values[:, index]
        index[missing] = 0
        return np.where(missing, -1, self.p[index]), np.where(missing, np.nan, self.values[:, index])


@final
@dataclass(frozen=True, slots=True, eq=False)
class Outer(Readers):
    """∂v[p]/∂W[q, r] = M[p, q] h[r]: the readers of row q, times h (lanes or 1, i)."""

    M: Readers
    h: np.ndarray

    @property
    def width(self) -> int:
        return self.M.width

    def reach(self, inputs: np.ndarray) -> np.ndarray:
        return self.M.reach(np.unique(inputs // self.h.shape[1]))

    def columns(self, inputs: np.ndarray) -> Columns:
        row, column = np.divmod(inputs, self.h.shape[1])
        if len(inputs) > 1 and isinstance(self.M, Full):  # its columns are asked for in ascending order, once each
            rows, back = np.unique(row, return_inverse=True)
            p, values = self.M.columns(rows)
            values = values[:, back]
        else:
            p, values = self.M.columns(row)
        return p, values * self.h[:, column, None]


def readers(J: Jacobian, lanes: np.ndarray | None) -> Readers:
    """The readers of a local Jacobian in these samples; ``lanes`` is None if it has no batch."""
    if isinstance(J, Identity):
        return _one_to_one(np.ones((1, J.out_size)))
    if isinstance(J, Diagonal):
        return _one_to_one(_of(J.flat, 1, lanes))
    if isinstance(J, Dense):
        return Full(_of(J.A, 2, lanes))
    if isinstance(J, Row):
        return Full(_of(J.flat, 1, lanes)[:, None, :])
    if isinstance(J, Weight):
        return Outer(readers(J.M, lanes), _of(J.h, 1, lanes))
    factors = J.factors if isinstance(J, Product) else (J,)
    if all(isinstance(factor, Identity | Diagonal | Selection | Zero) for factor in factors):
        return _map(factors, J, lanes)
    entries = [J.sample(int(b)).entries() for b in lanes] if J.batch and lanes is not None else [J.entries()]
    p, q, _ = entries[0]
    return _lists(p, q, np.stack([value for _, _, value in entries]), J.in_size)


def _of(x: Array, ndim: int, lanes: np.ndarray | None) -> np.ndarray:
    """The features (last ``ndim`` axes) of these samples: (lanes, ...), or (1, ...) if they are the same for all."""
    values = to_numpy(x)
    if values.ndim == ndim:
        return values[None]
    return values if lanes is None or len(values) == 1 else values[lanes]


def _one_to_one(values: np.ndarray) -> Lists:
    n = values.shape[1]
    return Lists(np.arange(n + 1), np.arange(n), values)


def _map(factors: tuple[Jacobian, ...], J: Jacobian, lanes: np.ndarray | None) -> Lists:
    """A chain in which each output reads at most one input: v[p] = value[p] u[index[p]]."""
    index, values = np.arange(J.out_size), np.ones((1, J.out_size))
    for factor in factors:
        if isinstance(factor, Diagonal):
            values = values * _of(factor.flat, 1, lanes)[:, np.maximum(index, 0)]
        elif isinstance(factor, Selection):
            index = np.where(index < 0, -1, factor.index[index])
        elif isinstance(factor, Zero):
            index = np.full_like(index, -1)
    p = np.flatnonzero(index >= 0)
    return _lists(p, index[p], values[:, p], J.in_size)


def _lists(p: np.ndarray, q: np.ndarray, values: np.ndarray, ins: int) -> Lists:
    order = np.lexsort((p, q))
    start = np.concatenate([[0], np.cumsum(np.bincount(q, minlength=ins))])
    return Lists(start, p[order], values[:, order])
