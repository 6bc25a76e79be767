"""Lookup and Mixture: the rows of a matrix X added up with coefficients, v = M (Σ_q c[q] X[q])."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.engines import Array, Kind, kind_of, namespace, to_numpy
from everygrad.engines.pool import matmul
from everygrad.engines.rows import add_rows, take_rows
from everygrad.engines.shapes import Inexact
from everygrad.errors import UnsupportedError
from everygrad.jacobians.base import Entries, Jacobian
from everygrad.jacobians.shapes import Index, Shape, broadcast, flatten, norm_last, pick, spread


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Mixing(Jacobian):
    """∂v[p]/∂X[q, r] = c[q] M[p, r]: the mirror image of `Weight`, whose vector mixes columns.

    ``M`` is any Jacobian; in_shape is (rows, *M.in_shape). Subclasses hold the coefficients c.
    """

    M: Jacobian

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many rows X has."""

    @property
    @abstractmethod
    def own_batch(self) -> Shape:
        """The leading axes of the coefficients."""

    @abstractmethod
    def _mix(self, X: Array) -> Array:
        """Σ_q c[q] X[q]: (*lead, rows, n) -> (*lead', n)."""

    @abstractmethod
    def _unmix(self, u: Array) -> Array:
        """c[q] u: (*lead, n) -> (*lead', rows, n)."""

    @abstractmethod
    def _unmix_total(self, u: Array) -> Array:
        """Σ c[q] u over all leading axes: (*lead, n) -> (rows, n)."""

    @abstractmethod
    def same_rows(self, other: Any) -> bool:
        """Whether the other one, of the same type, holds the very same coefficients."""

    @abstractmethod
    def with_matrix(self, M: Jacobian) -> "Mixing":
        """The same coefficients with another M."""

    @property
    def kind(self) -> Kind:
        return self.M.kind

    @property
    def batch(self) -> Shape:
        return broadcast(self.M.batch, self.own_batch)

    @property
    def out_shape(self) -> Shape:
        return self.M.out_shape

    @property
    def in_shape(self) -> Shape:
        return (self.rows, *self.M.in_shape)

    @property
    def T(self) -> Jacobian:
        raise UnsupportedError(f"{self!r} has no transpose of this family: use pull(g), which applies it")

    def _extra(self) -> str:
        return f"M={type(self.M).__name__}"

    def _push(self, v: Array) -> Array:
        return self.M._push(self._mix(namespace(v).reshape(v, (*v.shape[:-1], self.rows, self.M.in_size))))

    def _pull(self, g: Array) -> Array:
        return flatten(self._unmix(self.M._pull(g)), 2)

    def _pull_total(self, g: Array) -> Array:
        u = self.M._pull(g)
        total = self._unmix_total(spread(u, broadcast(tuple(u.shape[:-1]), self.own_batch)))
        return namespace(total).reshape(total, self.in_shape)

    def _dense(self) -> Array:
        A = self._unmix_each(self.M._dense())
        return flatten(namespace(A).moveaxis(A, -3, -2), 2)

    @abstractmethod
    def _unmix_each(self, A: Array) -> Array:
        """c[q] A: (*batch, p, n) -> (*batch', rows, p, n)."""

    def _scaled(self, c: Any) -> "Mixing":
        return self.with_matrix(self.M._scaled(c))


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Lookup(Mixing):
    """∂v[p]/∂X[q, r] = M[p, r] if q = index, else 0, for v = M X[index]: one row of a table (an embedding).

    ``index`` holds whole numbers (*batch,), one row for each sample; nothing one-hot is stored. pull summed over
    the samples adds each sample's Mᵀ g to its row, in one pass.
    """

    index: Array
    rows: int

    @property
    def own_batch(self) -> Shape:
        return tuple(self.index.shape)

    @property
    def nnz(self) -> int:
        return self.M.nnz

    def norm(self) -> Array:
        norm = self.M.norm()
        return namespace(norm).broadcast_to(norm, self.batch)

    def same_rows(self, other: "Lookup") -> bool:
        return self.index is other.index and self.rows == other.rows

    def with_matrix(self, M: Jacobian) -> "Lookup":
        return Lookup(M, self.index, self.rows)

    def _arrays(self) -> tuple[Array, ...]:
        return (*self.M._arrays(), self.index)

    def _here(self) -> Array:
        """Whether q = index: booleans (*own_batch, rows)."""
        xp = namespace(self.index)
        return self.index[..., None] == xp.arange(self.rows, device=kind_of(self.index).device)

    def _mix(self, X: Array) -> Array:
        xp = namespace(X)
        lead = broadcast(tuple(X.shape[:-2]), self.own_batch)
        flat = xp.reshape(xp.broadcast_to(X, (*lead, *X.shape[-2:])), (-1, X.shape[-1]))
        first = self.kind.indices(self.rows * np.arange(flat.shape[0] // self.rows).reshape(lead))
        return take_rows(flat, first + namespace(self.index).broadcast_to(self.index, lead))

    def _unmix(self, u: Array) -> Array:
        return namespace(u).where(self._here()[..., None], u[..., None, :], self.kind.zeros(()))

    def _unmix_each(self, A: Array) -> Array:
        return namespace(A).where(self._here()[..., None, None], A[..., None, :, :], self.kind.zeros(()))

    def _unmix_total(self, u: Array) -> Array:
        xp = namespace(u)
        index = xp.broadcast_to(self.index, u.shape[:-1])
        return add_rows(xp.reshape(u, (-1, u.shape[-1])), xp.reshape(index, (-1,)), self.rows)

    def _entry(self, p: int, q: int) -> Array:
        row, column = divmod(q, self.M.in_size)
        return self.kind.xp.where(self.index == row, self.M._entry(p, column), self.kind.zeros(()))

    def _entries(self) -> Entries:
        p, column, value = self.M.entries()
        return p, int(self.index) * self.M.in_size + column, value

    def _reach(self, mask: np.ndarray) -> np.ndarray:
        first = int(to_numpy(self.index).ravel()[0])  # the structure of one sample stands for that of each
        return self.M._reach(mask.reshape(len(mask), self.rows, self.M.in_size)[:, first])

    def _sample(self, index: Index) -> "Lookup":
        return Lookup(self.M._sample(index), pick(self.index, 0, index), self.rows)


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Mixture(Mixing):
    """∂v[p]/∂X[q, r] = c[q] M[p, r] for v = M (Xᵀ c), with any coefficients: a mean over time.

    ``c`` is (*batch, rows). The outer product is never stored. Where a coefficient is zero (padding), so is
    what pull gives.
    """

    c: Inexact[Array, "*batch rows"]

    @property
    def rows(self) -> int:
        return self.c.shape[-1]

    @property
    def own_batch(self) -> Shape:
        return tuple(self.c.shape[:-1])

    @property
    def nnz(self) -> int:
        return self.M.nnz * self.rows

    def norm(self) -> Array:
        return self.M.norm() * norm_last(self.c)

    def same_rows(self, other: "Mixture") -> bool:
        return self.c is other.c

    def with_matrix(self, M: Jacobian) -> "Mixture":
        return Mixture(M, self.c)

    def _arrays(self) -> tuple[Array, ...]:
        return (*self.M._arrays(), self.c)

    def _mix(self, X: Array) -> Array:
        return (self.c[..., None, :] @ X)[..., 0, :]

    def _unmix(self, u: Array) -> Array:
        return self.c[..., :, None] * u[..., None, :]

    def _unmix_each(self, A: Array) -> Array:
        return self.c[..., :, None, None] * A[..., None, :, :]

    def _unmix_total(self, u: Array) -> Array:
        xp = namespace(u)
        c = xp.reshape(spread(self.c, tuple(u.shape[:-1])), (-1, self.rows))
        return matmul(c.T, xp.reshape(u, (-1, u.shape[-1])))

    def _entry(self, p: int, q: int) -> Array:
        row, column = divmod(q, self.M.in_size)
        return self.c[..., row] * self.M._entry(p, column)

    def _entries(self) -> Entries:
        p, column, value = self.M.entries()
        c = to_numpy(self.c)
        q = np.arange(len(c)) * self.M.in_size + column[:, None]
        return np.repeat(p, len(c)), q.ravel(), (value[:, None] * c).ravel()

    def _reach(self, mask: np.ndarray) -> np.ndarray:
        return self.M._reach(np.any(mask.reshape(len(mask), self.rows, self.M.in_size), axis=1))

    def _sample(self, index: Index) -> "Mixture":
        return Mixture(self.M._sample(index), pick(self.c, 1, index))
