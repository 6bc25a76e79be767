"""Sum and Product of Jacobians that do not simplify: kept as their parts, applied one after the other."""

import functools
import operator
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.engines import Array, Kind, to_numpy
from everygrad.jacobians.base import Entries, Jacobian
from everygrad.jacobians.basic import Identity
from everygrad.jacobians.registry import compose
from everygrad.jacobians.shapes import Index, Shape, broadcast, norm_last, spread

CHUNK = 2**16
"""About how many numbers a stream of rows or columns holds at a time."""


class Lazy(Jacobian):
    """An operator made of others. What cannot be read off the parts is streamed row by row or column by column."""

    __slots__ = ()

    @property
    @abstractmethod
    def parts(self) -> tuple[Jacobian, ...]:
        """The terms or factors."""

    @property
    def kind(self) -> Kind:
        return self.parts[0].kind

    @property
    def batch(self) -> Shape:
        return functools.reduce(broadcast, (part.batch for part in self.parts))

    @property
    def nnz(self) -> int:
        """Counted by following which output can see which input, in blocks of columns."""
        step = max(1, CHUNK // max(self.in_size, self.out_size))
        starts = range(0, self.in_size, step)
        return sum(int(self._reach(_eye_rows(i, min(i + step, self.in_size), self.in_size)).sum()) for i in starts)

    def norm(self) -> Array:
        """Streamed over the shorter side: memory of a few rows, time of min(out_size, in_size) products."""
        norms = [norm_last(rows) for rows in self._streamed()]
        return norm_last(self.kind.xp.concat(norms, axis=-1))

    def _streamed(self) -> Iterator[Array]:
        """Blocks (*batch, k, n) of the rows or, if there are fewer of them, of the columns."""
        n, other, apply = self.out_size, self.in_size, self._pull
        if other < n:
            n, other, apply = other, n, self._push
        samples = functools.reduce(operator.mul, self.batch, 1)
        step = max(1, CHUNK // (max(n, other) * max(1, samples)))
        for i in range(0, n, step):
            yield self._applied(apply, i, min(i + step, n), n)

    def _applied(self, apply: Any, start: int, stop: int, n: int) -> Array:
        """The rows (apply = pull) or columns (push) start..stop: (*batch, stop - start, other)."""
        xp, axes = self.kind.xp, len(self.batch)
        unit = self.kind.asarray(_eye_rows(start, stop, n))
        block = apply(xp.reshape(unit, (stop - start, *(1,) * axes, n)))
        return xp.permute_dims(block, (*range(1, axes + 1), 0, axes + 1))

    def _extra(self) -> str:
        names = [type(part).__name__ for part in self.parts]
        shown = [*names[:3], f"... ({len(names)} in all)"] if len(names) > 4 else names
        return self._symbol().join(shown)

    @abstractmethod
    def _symbol(self) -> str:
        """What stands between the parts when they are printed."""

    def _arrays(self) -> tuple[Array, ...]:
        return tuple(a for part in self.parts for a in part._arrays())

    def _dense(self) -> Array:
        if self.in_size < self.out_size:
            return self.kind.xp.matrix_transpose(self._applied(self._push, 0, self.in_size, self.in_size))
        return self._applied(self._pull, 0, self.out_size, self.out_size)

    def _entry(self, p: int, q: int) -> Array:
        return self._push(self.kind.asarray(np.arange(self.in_size) == q))[..., p]

    def _entries(self) -> Entries:
        """Where the structure allows a nonzero, with the values of ``dense()``: needs out_size × in_size numbers."""
        values = to_numpy(self.dense()).reshape(self.out_size, self.in_size)
        p, q = np.nonzero(self._reach(np.eye(self.in_size, dtype=bool)).T)
        return p, q, values[p, q]


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sum(Lazy):
    """J_1 + J_2 + ...: what several paths give together. Made by ``+``, which compares the shapes."""

    terms: tuple[Jacobian, ...]

    @property
    def parts(self) -> tuple[Jacobian, ...]:
        return self.terms

    @property
    def out_shape(self) -> Shape:
        return self.terms[0].out_shape

    @property
    def in_shape(self) -> Shape:
        return self.terms[0].in_shape

    @property
    def T(self) -> "Sum":
        return Sum(tuple(term.T for term in self.terms))

    def _symbol(self) -> str:
        return " + "

    def _push(self, v: Array) -> Array:
        return functools.reduce(operator.add, (term._push(v) for term in self.terms))

    def _pull(self, g: Array) -> Array:
        return functools.reduce(operator.add, (term._pull(g) for term in self.terms))

    def _pull_total(self, g: Array) -> Array:
        g = spread(g, broadcast(tuple(g.shape[:-1]), self.batch))  # each term then sums over every sample
        return functools.reduce(operator.add, (term._pull_total(g) for term in self.terms))

    def _dense(self) -> Array:
        return functools.reduce(operator.add, (term._dense() for term in self.terms))

    def _entry(self, p: int, q: int) -> Array:
        return functools.reduce(operator.add, (term._entry(p, q) for term in self.terms))

    def _reach(self, mask: np.ndarray) -> np.ndarray:
        return functools.reduce(operator.or_, (term._reach(mask) for term in self.terms))

    def _sample(self, index: Index) -> "Sum":
        return Sum(tuple(term._sample(index) for term in self.terms))

    def _scaled(self, c: Any) -> "Sum":
        return Sum(tuple(term._scaled(c) for term in self.terms))


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Product(Lazy):
    """J_1 ∘ J_2 ∘ ..., the last applied first. Made by ``@``, which compares the shapes."""

    factors: tuple[Jacobian, ...]

    @property
    def parts(self) -> tuple[Jacobian, ...]:
        return self.factors

    @property
    def out_shape(self) -> Shape:
        return self.factors[0].out_shape

    @property
    def in_shape(self) -> Shape:
        return self.factors[-1].in_shape

    @property
    def T(self) -> "Product":
        return Product(tuple(factor.T for factor in reversed(self.factors)))

    def _symbol(self) -> str:
        return " ∘ "

    def _push(self, v: Array) -> Array:
        for factor in reversed(self.factors):
            v = factor._push(v)
        return v

    def _pull(self, g: Array) -> Array:
        for factor in self.factors:
            g = factor._pull(g)
        return g

    def _pull_total(self, g: Array) -> Array:
        for factor in self.factors[:-1]:
            g = factor._pull(g)
        return self.factors[-1]._pull_total(g)

    def _reach(self, mask: np.ndarray) -> np.ndarray:
        for factor in reversed(self.factors):
            mask = factor._reach(mask)
        return mask

    def _sample(self, index: Index) -> "Product":
        return Product(tuple(factor._sample(index) for factor in self.factors))

    def _scaled(self, c: Any) -> Jacobian:
        return compose(Identity(self.kind, self.out_shape)._scaled(c), self)


def _eye_rows(start: int, stop: int, n: int) -> np.ndarray:
    """The rows start..stop of the n × n identity, as booleans."""
    return np.arange(start, stop)[:, None] == np.arange(n)
