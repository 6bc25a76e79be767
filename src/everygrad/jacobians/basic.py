"""Identity, zero and diagonal: what a quantity that is copied, unused, or changed element by element gives."""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.engines import Array, Kind, kind_of, namespace, to_numpy
from everygrad.engines.arrays import take_real
from everygrad.engines.pool import multiply
from everygrad.engines.shapes import Inexact
from everygrad.jacobians.base import Entries, Jacobian
from everygrad.jacobians.shapes import Index, Shape, flatten, norm_last, pick


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class Identity(Jacobian):
    """∂v/∂u = I for v = u, of any shape; the same for all samples. Nothing is stored."""

    kind: Kind
    out_shape: Shape

    def __init__(self, kind: Kind, shape: Shape) -> None:
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "out_shape", shape)

    @property
    def in_shape(self) -> Shape:
        return self.out_shape

    @property
    def batch(self) -> Shape:
        return ()

    @property
    def T(self) -> "Identity":
        return self

    @property
    def nnz(self) -> int:
        return self.out_size

    def norm(self) -> Array:
        return take_real(self.kind.full((), math.sqrt(self.out_size)))

    def _arrays(self) -> tuple[Array, ...]:
        return ()

    def _push(self, v: Array) -> Array:
        return v

    def _pull(self, g: Array) -> Array:
        return g

    def _dense(self) -> Array:
        return self.kind.eye(self.out_size)

    def _entry(self, p: int, q: int) -> Array:
        return self.kind.full((), float(p == q))

    def _entries(self) -> Entries:
        n = np.arange(self.out_size)
        return n, n, to_numpy(self.kind.ones((self.out_size,)))

    def _reach(self, mask: np.ndarray) -> np.ndarray:
        return mask

    def _sample(self, index: Index) -> "Identity":
        return self

    def _scaled(self, c: Any) -> "Diagonal":
        return Diagonal(self.kind.ones(self.out_shape) * c, len(self.out_shape))


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Zero(Jacobian):
    """∂v/∂u = 0 where v does not depend on u; the same for all samples. Nothing is stored."""

    kind: Kind
    out_shape: Shape
    in_shape: Shape

    @property
    def batch(self) -> Shape:
        return ()

    @property
    def T(self) -> "Zero":
        return Zero(self.kind, self.in_shape, self.out_shape)

    @property
    def nnz(self) -> int:
        return 0

    def norm(self) -> Array:
        return take_real(self.kind.zeros(()))

    def _arrays(self) -> tuple[Array, ...]:
        return ()

    def _push(self, v: Array) -> Array:
        return kind_of(v).zeros((*v.shape[:-1], self.out_size))

    def _pull(self, g: Array) -> Array:
        return kind_of(g).zeros((*g.shape[:-1], self.in_size))

    def _dense(self) -> Array:
        return self.kind.zeros((self.out_size, self.in_size))

    def _entry(self, p: int, q: int) -> Array:
        return self.kind.zeros(())

    def _entries(self) -> Entries:
        none = np.arange(0)
        return none, none, to_numpy(self.kind.zeros((0,)))

    def _reach(self, mask: np.ndarray) -> np.ndarray:
        return np.zeros((len(mask), self.out_size), dtype=bool)

    def _sample(self, index: Index) -> "Zero":
        return self

    def _scaled(self, c: Any) -> "Zero":
        return self


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Diagonal(Jacobian):
    """∂v[p]/∂u[q] = d[p] if p = q, else 0: rule 3, h = g(a) element by element, d = g′(a).

    ``d`` is (*batch, *shape); its last ``ndim`` axes are the shape of the quantity (0: a scalar).
    push and pull cost one product per element.
    """

    d: Inexact[Array, "..."]
    ndim: int = 1

    @property
    def kind(self) -> Kind:
        return kind_of(self.d)

    @property
    def batch(self) -> Shape:
        return tuple(self.d.shape[: len(self.d.shape) - self.ndim])

    @property
    def out_shape(self) -> Shape:
        return tuple(self.d.shape[len(self.d.shape) - self.ndim :])

    @property
    def in_shape(self) -> Shape:
        return self.out_shape

    @property
    def flat(self) -> Array:
        """d as (*batch, size)."""
        return flatten(self.d, self.ndim)

    @property
    def T(self) -> "Diagonal":
        return self

    @property
    def nnz(self) -> int:
        return self.out_size

    def norm(self) -> Array:
        return norm_last(self.flat)

    def _arrays(self) -> tuple[Array, ...]:
        return (self.d,)

    def _push(self, v: Array) -> Array:
        return v * self.flat

    def _pull(self, g: Array) -> Array:
        return multiply(g, self.flat)

    def _dense(self) -> Array:
        xp, d = namespace(self.d), self.flat
        on = self.kind.indices(np.eye(self.out_size, dtype=bool))
        return xp.where(on, d[..., None, :], xp.zeros_like(d)[..., None, :])  # not d * I: ∞ * 0 is NaN

    def _entry(self, p: int, q: int) -> Array:
        return self.flat[..., p] if p == q else self.kind.zeros(self.batch)

    def _entries(self) -> Entries:
        n = np.arange(self.out_size)
        return n, n, to_numpy(self.flat)

    def _reach(self, mask: np.ndarray) -> np.ndarray:
        return mask

    def _sample(self, index: Index) -> "Diagonal":
        return Diagonal(pick(self.d, self.ndim, index), self.ndim)

    def _scaled(self, c: Any) -> "Diagonal":
        return Diagonal(self.d * c, self.ndim)
