"""Weight: the third-order derivative by a weight matrix, kept as a matrix M and a vector h."""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.engines import Array, Kind, kind_of, namespace, to_numpy
from everygrad.engines.pool import matmul
from everygrad.engines.shapes import Inexact
from everygrad.errors import UnsupportedError
from everygrad.jacobians.base import Entries, Jacobian
from everygrad.jacobians.shapes import Index, Shape, broadcast, flatten, norm_last, pick, spread


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Weight(Jacobian):
    """∂v[p]/∂W[q, r] = M[p, q] h[r], with a = W h + b and M = ∂v/∂a.

    ``M`` is any Jacobian, ``h`` an array (*batch, i). in_shape is (M.in_size, i). The outer product is never
    stored: with M diagonal and d units, 2d numbers stand for d³. pull summed over the samples is one matrix
    product, Σ_b u_b h_bᵀ with u = Mᵀ g, which is rule 2.
    """

    M: Jacobian
    h: Inexact[Array, "*batch i"]

    @property
    def kind(self) -> Kind:
        return kind_of(self.h)

    @property
    def batch(self) -> Shape:
        return broadcast(self.M.batch, tuple(self.h.shape[:-1]))

    @property
    def out_shape(self) -> Shape:
        return self.M.out_shape

    @property
    def in_shape(self) -> Shape:
        return (self.M.in_size, self.h.shape[-1])

    @property
    def T(self) -> Jacobian:
        raise UnsupportedError(f"{self!r} has no transpose of this family: use pull(g), which applies it")

    @property
    def nnz(self) -> int:
        return self.M.nnz * self.h.shape[-1]

    def norm(self) -> Array:
        return self.M.norm() * norm_last(self.h)

    def _extra(self) -> str:
        return f"M={type(self.M).__name__}"

    def _arrays(self) -> tuple[Array, ...]:
        return (*self.M._arrays(), self.h)

    def _push(self, v: Array) -> Array:
        V = namespace(v).reshape(v, (*v.shape[:-1], *self.in_shape))
        return self.M._push((V @ self.h[..., None])[..., 0])

    def _pull(self, g: Array) -> Array:
        return flatten(self.M._pull(g)[..., :, None] * self.h[..., None, :], 2)

    def _pull_total(self, g: Array) -> Array:
        u, h = self.M._pull(g), self.h
        if u.shape[:-1] != h.shape[:-1]:
            lead = broadcast(tuple(u.shape[:-1]), tuple(h.shape[:-1]))
            u, h = spread(u, lead), spread(h, lead)
        return matmul(_samples(u).T, _samples(h))

    def _dense(self) -> Array:
        return flatten(self.M._dense()[..., None] * self.h[..., None, None, :], 2)

    def _entry(self, p: int, q: int) -> Array:
        row, column = divmod(q, self.h.shape[-1])
        return self.M._entry(p, row) * self.h[..., column]

    def _entries(self) -> Entries:
        p, row, value = self.M.entries()
        h = to_numpy(self.h)
        q = row[:, None] * len(h) + np.arange(len(h))
        return np.repeat(p, len(h)), q.ravel(), (value[:, None] * h).ravel()

    def _reach(self, mask: np.ndarray) -> np.ndarray:
        return self.M._reach(np.any(mask.reshape(len(mask), *self.in_shape), axis=2))

    def _sample(self, index: Index) -> "Weight":
        return Weight(self.M._sample(index), pick(self.h, 1, index))

    def _scaled(self, c: Any) -> "Weight":
        return Weight(self.M._scaled(c), self.h)


def _samples(x: Array) -> Array:
    """(*lead, n) -> (samples, n)."""
    if len(x.shape) == 2:
        return x
    return namespace(x).reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
