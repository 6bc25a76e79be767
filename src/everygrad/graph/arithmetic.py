"""Sums, differences, products and quotients of quantities, with broadcasting written as a Selection."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import final

import numpy as np

from everygrad.engines import Array, kind_of, namespace
from everygrad.graph.operation import Operation, Shape, ShapeProblem, feature_shape
from everygrad.jacobians import Diagonal, Identity, Jacobian, Selection


def spread(x: Array, lead: int, rank: int) -> Array:
    """``x`` with its feature axes right-aligned to ``rank`` axes, the leading ones in front.

    A number per sample (shape (B,)) meets a vector per sample (B, n) as (B, 1): plain broadcasting
    would align B with n, silently when they are equal.
    """
    missing = rank - (x.ndim - lead)
    if missing == 0 or lead == 0:
        return x
    return namespace(x).reshape(x, (*x.shape[:lead], *(1,) * missing, *x.shape[lead:]))


def common_shape(name: str, shapes: Sequence[Shape]) -> Shape:
    """The feature shape that all broadcast to; raises `ShapeProblem`."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(map(str, shapes))
        raise ShapeProblem(f"{name} needs equal shapes (or 1 against n), got {listed}") from None


def spreading(like: Array, shape: Shape, out: Shape) -> Selection:
    """The broadcast of a quantity of feature shape ``shape`` to ``out``: out[p] = in[index[p]]."""
    index = np.broadcast_to(np.arange(math.prod(shape)).reshape(shape), out).ravel()
    return Selection(kind_of(like), index, shape, out)


class Arithmetic(Operation):
    """y = u ∘ v element by element. Subclasses give the value and the two factors."""

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        return common_shape(self.name, shapes)

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        u, v = self._aligned(xs, leads)
        return self.combine(u, v)

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        u, v = self._aligned(xs, leads)
        out = feature_shape(y, self.lead(leads))
        own = feature_shape(xs[slot], leads[slot])
        factor = self.factor(slot, u, v, y)
        if factor is None:
            scaled: Jacobian = Identity(kind_of(y), out)
        else:
            lead = max(factor.ndim - len(out), 0)
            d = namespace(factor).broadcast_to(factor, (*factor.shape[:lead], *out))
            scaled = Diagonal(d, len(out))
        return scaled if own == out else scaled @ spreading(y, own, out)

    def _aligned(self, xs: Sequence[Array], leads: Sequence[int]) -> tuple[Array, Array]:
        u, v = xs
        if u.shape == v.shape and leads[0] == leads[1]:
            return u, v
        rank = max(u.ndim - leads[0], v.ndim - leads[1])
        return spread(u, leads[0], rank), spread(v, leads[1], rank)

    @abstractmethod
    def combine(self, u: Array, v: Array) -> Array:
        """The value."""

    @abstractmethod
    def factor(self, slot: int, u: Array, v: Array, y: Array) -> Array | None:
        """∂y/∂u or ∂y/∂v, element by element; None for 1."""


@final
class Add(Arithmetic):
    """y = u + v: ∂y/∂u = ∂y/∂v = I."""

    name = "add"
    local_reads = "shapes"
    shows_nonfinite = True

    def combine(self, u: Array, v: Array) -> Array:
        return u + v

    def factor(self, slot: int, u: Array, v: Array, y: Array) -> Array | None:
        return None

    def formula(self, *operands: str) -> str:
        return f"{operands[0]} + {operands[1]}"

    def local_formula(self, slot: int, *operands: str) -> str:
        return "1"


@final
class Subtract(Arithmetic):
    """y = u − v: ∂y/∂u = I, ∂y/∂v = −I."""

    name = "subtract"
    local_reads = "shapes"
    shows_nonfinite = True

    def combine(self, u: Array, v: Array) -> Array:
        return u - v

    def factor(self, slot: int, u: Array, v: Array, y: Array) -> Array | None:
        return None if slot == 0 else kind_of(y).full((), -1.0)

    def formula(self, *operands: str) -> str:
        return f"{operands[0]} - {operands[1]}"

    def local_formula(self, slot: int, *operands: str) -> str:
        return "1" if slot == 0 else "-1"


@final
class Multiply(Arithmetic):
    """y = u ⊙ v: ∂y/∂u = diag(v), ∂y/∂v = diag(u)."""

    name = "multiply"
    local_reads = "inputs"
    shows_nonfinite = True

    def combine(self, u: Array, v: Array) -> Array:
        return u * v

    def factor(self, slot: int, u: Array, v: Array, y: Array) -> Array | None:
        return v if slot == 0 else u

    def formula(self, *operands: str) -> str:
        return f"{operands[0]}*{operands[1]}"

    def local_formula(self, slot: int, *operands: str) -> str:
        return operands[1 - slot]


@final
class Divide(Arithmetic):
    """y = u / v: ∂y/∂u = diag(1/v), ∂y/∂v = −diag(y/v)."""

    name = "divide"

    def combine(self, u: Array, v: Array) -> Array:
        return u / v

    def factor(self, slot: int, u: Array, v: Array, y: Array) -> Array | None:
        return 1.0 / v if slot == 0 else -y / v

    def formula(self, *operands: str) -> str:
        return f"{operands[0]}/{operands[1]}"

    def local_formula(self, slot: int, *operands: str) -> str:
        u, v = operands
        return f"1/{v}" if slot == 0 else f"-{u}/{v}**2"
