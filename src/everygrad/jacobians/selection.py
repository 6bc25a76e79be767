"""Selection: outputs that are copies of inputs (split, concatenate, reorder, broadcast, pad)."""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.engines import Array, Kind, kind_of, namespace, to_numpy
from everygrad.engines.arrays import take_real
from everygrad.jacobians.base import Entries, Jacobian
from everygrad.jacobians.basic import Identity
from everygrad.jacobians.dense import Dense
from everygrad.jacobians.registry import compose
from everygrad.jacobians.row import Row
from everygrad.jacobians.shapes import Index, Shape


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class Selection(Jacobian):
    """∂v[p]/∂u[q] = 1 if index[p] = q, else 0, for v[p] = u[index[p]]; the same for all samples.

    ``index`` is a NumPy array (out_size,) of flat positions in the input; −1 makes v[p] = 0, and a position may be
    read more than once. ``out_shape`` is (out_size,) if not given. push is one gather. pull is one gather, and a
    sum over the readers of an input if one has several; its cost is in_size times the most readers.
    """

    kind: Kind
    index: np.ndarray
    in_shape: Shape
    out_shape: Shape

    def __init__(self, kind: Kind, index: np.ndarray, in_shape: Shape, out_shape: Shape | None = None) -> None:
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "in_shape", in_shape)
        object.__setattr__(self, "out_shape", (len(index),) if out_shape is None else out_shape)

    @property
    def batch(self) -> Shape:
        return ()

    @property
    def T(self) -> Jacobian:
        """A Selection if no input is read twice; otherwise a Row if there is one input, else a Dense."""
        readers = self._readers()
        if len(readers) == 1:
            return Selection(self.kind, readers[0], self.out_shape, self.in_shape)
        if self.in_size == 1:
            ones = self.kind.asarray((self.index >= 0).reshape(self.out_shape))
            return Row(ones, len(self.out_shape), self.in_shape)
        return Dense(self._dense(), self.out_shape, self.in_shape).T

    @property
    def nnz(self) -> int:
        return int((self.index >= 0).sum())

    def norm(self) -> Array:
        return take_real(self.kind.full((), math.sqrt(self.nnz)))

    def rows_of(self, A: Array) -> Array:
        """S A for a matrix: (*batch, in_size, m) -> (*batch, out_size, m)."""
        return _gather(A, self.index, -2)

    def _arrays(self) -> tuple[Array, ...]:
        return (self.index,)

    def _push(self, v: Array) -> Array:
        return _gather(v, self.index, -1)

    def _pull(self, g: Array) -> Array:
        readers = self._readers()
        read = _gather(g, readers.ravel(), -1)
        if len(readers) == 1:
            return read
        xp = namespace(g)
        return xp.sum(xp.reshape(read, (*g.shape[:-1], *readers.shape)), axis=-2)

    def _readers(self) -> np.ndarray:
        """(most readers, in_size): the outputs that read each input, filled up with −1."""
        order = np.argsort(self.index)
        order = order[self.index[order] >= 0]
        read = self.index[order]
        count = np.bincount(read)
        turn = np.arange(len(read)) - (np.cumsum(count) - count)[read]  # the how-manieth reader of its input
        readers = np.full((count.max(initial=1), self.in_size), -1)
        readers[turn, read] = order
        return readers

    def _dense(self) -> Array:
        return self.kind.asarray(self.index[:, None] == np.arange(self.in_size))

    def _entry(self, p: int, q: int) -> Array:
        return self.kind.full((), float(self.index[p] == q))

    def _entries(self) -> Entries:
        p = np.flatnonzero(self.index >= 0)
        return p, self.index[p], to_numpy(self.kind.ones((len(p),)))

    def _reach(self, mask: np.ndarray) -> np.ndarray:
        return mask[:, self.index] & (self.index >= 0)

    def _sample(self, index: Index) -> "Selection":
        return self

    def _scaled(self, c: Any) -> Jacobian:
        return compose(Identity(self.kind, self.out_shape)._scaled(c), self)


def _gather(x: Array, index: np.ndarray, axis: int) -> Array:
    """x[index] along one axis, 0 where the index is −1."""
    kind = kind_of(x)
    if (index < 0).any():
        n, shape = x.shape[axis], list(x.shape)
        shape[axis] = 1
        x = kind.xp.concat([x, kind.zeros(tuple(shape))], axis=axis)
        index = np.where(index < 0, n, index)
    if not index.flags.writeable:
        index = index.copy()  # torch warns of an array that it could write to and must not
    return kind.xp.take(x, kind.indices(index), axis=axis)
