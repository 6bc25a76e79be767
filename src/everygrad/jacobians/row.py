"""Row: the derivative of one number."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.engines import Array, Kind, kind_of, namespace, to_numpy
from everygrad.engines.shapes import Inexact
from everygrad.jacobians.base import Entries, Jacobian
from everygrad.jacobians.dense import Dense
from everygrad.jacobians.shapes import Index, Shape, flatten, norm_last, pick


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Row(Jacobian):
    """∂v/∂u[q] = r[q] of one number v: a loss, a sum, a dot product.

    ``r`` is (*batch, *in_shape), ``in_ndim`` the number of axes of in_shape; ``out_shape`` is (1,) or ().
    push is a dot product, pull a multiple of r.
    """

    r: Inexact[Array, "..."]
    in_ndim: int = 1
    out_shape: Shape = (1,)

    @property
    def kind(self) -> Kind:
        return kind_of(self.r)

    @property
    def batch(self) -> Shape:
        return tuple(self.r.shape[: len(self.r.shape) - self.in_ndim])

    @property
    def in_shape(self) -> Shape:
        return tuple(self.r.shape[len(self.r.shape) - self.in_ndim :])

    @property
    def flat(self) -> Array:
        """r as (*batch, in_size)."""
        return flatten(self.r, self.in_ndim)

    @property
    def T(self) -> Dense:
        return Dense(self.flat[..., None], self.in_shape, self.out_shape)

    @property
    def nnz(self) -> int:
        return self.in_size

    def norm(self) -> Array:
        return norm_last(self.flat)

    def _arrays(self) -> tuple[Array, ...]:
        return (self.r,)

    def _push(self, v: Array) -> Array:
        products = self.flat * v
        return namespace(products).sum(products, axis=-1, keepdims=True)

    def _pull(self, g: Array) -> Array:
        return g * self.flat

    def _dense(self) -> Array:
        return self.flat[..., None, :]

    def _entry(self, p: int, q: int) -> Array:
        return self.flat[..., q]

    def _entries(self) -> Entries:
        q = np.arange(self.in_size)
        return np.zeros_like(q), q, to_numpy(self.flat)

    def _reach(self, mask: np.ndarray) -> np.ndarray:
        return np.any(mask, axis=1, keepdims=True)

    def _sample(self, index: Index) -> "Row":
        return Row(pick(self.r, self.in_ndim, index), self.in_ndim, self.out_shape)

    def _scaled(self, c: Any) -> "Row":
        return Row(self.r * c, self.in_ndim, self.out_shape)
