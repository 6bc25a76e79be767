"""Operators of every type with the matrices that they stand for, in every array library."""

from dataclasses import dataclass, field

import numpy as np

from everygrad.engines import Kind, kind_of
from everygrad.jacobians import (
    Dense,
    Diagonal,
    Identity,
    Jacobian,
    Lookup,
    Mixture,
    Product,
    Row,
    Selection,
    Sum,
    Weight,
    Zero,
)
from tests.jacobians import oracle


@dataclass(frozen=True)
class Case:
    """An operator and, from its constructor's arguments by plain loops, its matrix (*batch, out_size, in_size)."""

    J: Jacobian
    A: np.ndarray

    @property
    def full(self):
        """The matrix with the features' own shapes."""
        return self.A.reshape((*self.A.shape[:-2], *self.J.out_shape, *self.J.in_shape))


@dataclass
class Maker:
    """Builds cases from random numbers; ``convert`` makes a library's array of a NumPy array."""

    dtype: type = np.float64
    convert: object = np.array
    seed: int = 0
    made: list = field(default_factory=list)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)

    def values(self, shape):
        x = self.rng.standard_normal(shape)
        if np.issubdtype(self.dtype, np.complexfloating):
            x = x + 1j * self.rng.standard_normal(shape)
        return np.asarray(x).astype(self.dtype)

    def array(self, shape):
        """The same numbers twice: for the oracle and, in the library, for the operator."""
        x = self.values(shape)
        own = self.convert(x)
        self.made.append((x, own))
        return x, own

    @property
    def kind(self) -> Kind:
        return kind_of(self.convert(np.zeros(1, self.dtype)))

    def identity(self, shape):
        return Case(Identity(self.kind, shape), oracle.identity(int(np.prod(shape))))

    def zero(self, outs, ins):
        return Case(Zero(self.kind, outs, ins), np.zeros((int(np.prod(outs)), int(np.prod(ins)))))

    def diagonal(self, batch, shape):
        x, own = self.array((*batch, *shape))
        return Case(Diagonal(own, len(shape)), oracle.diagonal(x, len(shape)))

    def dense(self, batch, outs, ins):
        x, own = self.array((*batch, int(np.prod(outs)), int(np.prod(ins))))
        return Case(Dense(own, outs, ins), x)

    def selection(self, index, ins, outs=None):
        index = np.array(index)
        return Case(Selection(self.kind, index, ins, outs), oracle.selection(index, int(np.prod(ins))))

    def any_selection(self, outs, ins):
        index = self.rng.integers(-1, int(np.prod(ins)), int(np.prod(outs)))
        return self.selection(index, ins, outs)

    def row(self, batch, ins, outs=(1,)):
        x, own = self.array((*batch, *ins))
        return Case(Row(own, len(ins), outs), oracle.row(x, len(ins)))

    def weight(self, M, batch, columns):
        x, own = self.array((*batch, columns))
        return Case(Weight(M.J, own), oracle.weight(M.A, x))

    def whole(self, batch, below):
        """Whole numbers twice: for the oracle and, in the library, for the operator."""
        x = np.array(self.rng.integers(0, below, batch))
        own = self.convert(x)
        self.made.append((x, own))
        return x, own

    def lookup(self, M, batch, rows):
        x, own = self.whole(batch, rows)
        return Case(Lookup(M.J, own, rows), oracle.mixture(M.A, oracle.one_hot(x, rows)))

    def mixture(self, M, batch, rows):
        x, own = self.array((*batch, rows))
        return Case(Mixture(M.J, own), oracle.mixture(M.A, x))

    def sum(self, *terms):
        return Case(Sum(tuple(t.J for t in terms)), oracle.total(*(t.A for t in terms)))

    def product(self, *factors):
        return Case(Product(tuple(f.J for f in factors)), oracle.chain(*(f.A for f in factors)))

    def of(self, name, batch, outs, ins):
        """A case of the type ``name`` with the given shapes, which must suit it."""
        match name:
            case "Identity":
                return self.identity(outs)
            case "Zero":
                return self.zero(outs, ins)
            case "Diagonal":
                return self.diagonal(batch, outs)
            case "Dense":
                return self.dense(batch, outs, ins)
            case "Selection":
                return self.any_selection(outs, ins)
            case "Row":
                return self.row(batch, ins, outs)
            case "Weight":
                rows, columns = ins
                M = self.diagonal(batch, outs) if outs == (rows,) else self.dense(batch, outs, (rows,))
                return self.weight(M, batch, columns)
            case "Lookup" | "Mixture":
                rows, *columns = ins
                M = self.diagonal(batch, outs) if list(outs) == columns else self.dense(batch, outs, tuple(columns))
                return (self.lookup if name == "Lookup" else self.mixture)(M, batch, rows)
            case "Sum":
                return self.sum(self.dense(batch, outs, ins), self.any_selection(outs, ins))
            case "Product":
                return self.product(self.dense((), outs, (2,)), self.dense(batch, (2,), ins))
        raise AssertionError(name)


NAMES = ("Identity", "Zero", "Diagonal", "Dense", "Selection", "Row", "Weight", "Lookup", "Mixture", "Sum", "Product")
MATRICES = {"Weight", "Lookup", "Mixture"}  # types of a quantity with respect to a matrix
BATCHES = ((), (3,), (2, 3))


def _per_batch():
    """(name, what builds it from a maker), for operators that have a batch."""
    for b in BATCHES:
        yield f"diagonal-{b}-3", lambda m, b=b: m.diagonal(b, (3,))
        yield f"diagonal-{b}-1", lambda m, b=b: m.diagonal(b, (1,))
        yield f"diagonal-{b}-2x3", lambda m, b=b: m.diagonal(b, (2, 3))
        yield f"diagonal-{b}-scalar", lambda m, b=b: m.diagonal(b, ())
        yield f"dense-{b}-3-4", lambda m, b=b: m.dense(b, (3,), (4,))
        yield f"dense-{b}-1-1", lambda m, b=b: m.dense(b, (1,), (1,))
        yield f"dense-{b}-2x3-4", lambda m, b=b: m.dense(b, (2, 3), (4,))
        yield f"dense-{b}-scalar-2x3", lambda m, b=b: m.dense(b, (), (2, 3))
        yield f"dense-{b}-4-scalar", lambda m, b=b: m.dense(b, (4,), ())
        yield f"row-{b}-4", lambda m, b=b: m.row(b, (4,))
        yield f"row-{b}-2x3", lambda m, b=b: m.row(b, (2, 3), ())
        yield f"row-{b}-1", lambda m, b=b: m.row(b, (1,), ())
        yield f"row-{b}-scalar", lambda m, b=b: m.row(b, (), ())
        yield f"weight-{b}-identity", lambda m, b=b: m.weight(m.identity((3,)), b, 2)
        yield f"weight-{b}-diagonal", lambda m, b=b: m.weight(m.diagonal(b, (3,)), b, 2)
        yield f"weight-{b}-dense", lambda m, b=b: m.weight(m.dense(b, (2,), (3,)), b, 4)
        yield f"weight-{b}-shared-dense", lambda m, b=b: m.weight(m.dense((), (2,), (3,)), b, 2)
        yield f"weight-{b}-shared-h", lambda m, b=b: m.weight(m.dense(b, (2,), (3,)), (), 2)
        yield f"weight-{b}-row", lambda m, b=b: m.weight(m.row(b, (3,), ()), b, 2)
        yield f"weight-{b}-one", lambda m, b=b: m.weight(m.diagonal(b, (1,)), b, 1)
        yield f"weight-{b}-matrix", lambda m, b=b: m.weight(m.dense(b, (3,), (2, 2)), b, 2)
        yield f"weight-{b}-zero", lambda m, b=b: m.weight(m.zero((2,), (3,)), b, 2)
        yield f"weight-{b}-lazy", lambda m, b=b: m.weight(_lazy_chain(m, b), b, 2)
        for kind in ("lookup", "mixture"):
            yield f"{kind}-{b}-identity", lambda m, b=b, kind=kind: getattr(m, kind)(m.identity((3,)), b, 4)
            yield f"{kind}-{b}-diagonal", lambda m, b=b, kind=kind: getattr(m, kind)(m.diagonal(b, (3,)), b, 2)
            yield f"{kind}-{b}-shared-dense", lambda m, b=b, kind=kind: getattr(m, kind)(m.dense((), (2,), (3,)), b, 4)
            yield f"{kind}-{b}-shared-rows", lambda m, b=b, kind=kind: getattr(m, kind)(m.dense(b, (2,), (3,)), (), 4)
            yield f"{kind}-{b}-row", lambda m, b=b, kind=kind: getattr(m, kind)(m.row(b, (3,), ()), b, 2)
            yield f"{kind}-{b}-of-numbers", lambda m, b=b, kind=kind: getattr(m, kind)(m.identity(()), b, 3)
            yield f"{kind}-{b}-of-matrices", lambda m, b=b, kind=kind: getattr(m, kind)(m.diagonal(b, (2, 2)), b, 3)
            yield f"{kind}-{b}-one", lambda m, b=b, kind=kind: getattr(m, kind)(m.diagonal(b, (1,)), b, 1)
            yield f"{kind}-{b}-lazy", lambda m, b=b, kind=kind: getattr(m, kind)(_lazy_chain(m, b), b, 2)
            yield (
                f"product-{b}-{kind}-first",
                lambda m, b=b, kind=kind: m.product(
                    getattr(m, kind)(m.dense((), (3,), (2,)), b, 3), m.dense((), (3, 2), (2,))
                ),
            )
        yield f"sum-{b}-shared-and-not", lambda m, b=b: m.sum(m.dense((), (3,), (3,)), m.diagonal(b, (3,)))
        yield (
            f"sum-{b}-2x3",
            lambda m, b=b: m.sum(m.diagonal(b, (2, 3)), m.selection([1, -1, 0, 0, 5, 2], (2, 3), (2, 3))),
        )
        yield (
            f"sum-{b}-weights",
            lambda m, b=b: m.sum(m.of("Weight", b, (3,), (3, 2)), m.of("Weight", (), (3,), (3, 2))),
        )
        yield f"sum-{b}-of-one", lambda m, b=b: m.sum(m.row(b, (4,)))
        yield f"product-{b}-rank-one", lambda m, b=b: m.product(m.dense((), (3,), (1,)), m.row(b, (4,)))
        yield f"product-{b}-gather", lambda m, b=b: _lazy_chain(m, b)
        yield (
            f"product-{b}-weight-first",
            lambda m, b=b: m.product(m.of("Weight", b, (3,), (3, 2)), m.dense((), (3, 2), (2,))),
        )
        yield f"product-{b}-of-one", lambda m, b=b: m.product(m.dense(b, (2,), (3,)))
        yield f"product-{b}-of-sum", lambda m, b=b: m.product(m.of("Sum", b, (3,), (2,)), m.diagonal((), (2,)))
        yield f"product-{b}-through-zero", lambda m, b=b: m.product(m.zero((2,), (3,)), m.dense(b, (3,), (4,)))


def _lazy_chain(m, b):
    return m.product(m.selection([2, -1, 0], (3,)), m.diagonal(b, (3,)), m.dense((), (3,), (3,)))


def _shared():
    yield "identity-3", lambda m: m.identity((3,))
    yield "identity-1", lambda m: m.identity((1,))
    yield "identity-2x3", lambda m: m.identity((2, 3))
    yield "identity-scalar", lambda m: m.identity(())
    yield "zero-3-4", lambda m: m.zero((3,), (4,))
    yield "zero-scalar-2x3", lambda m: m.zero((), (2, 3))
    yield "selection-split", lambda m: m.selection([2, 3, 4], (6,))
    yield "selection-holes", lambda m: m.selection([3, -1, 0, -1], (4,))
    yield "selection-repeats", lambda m: m.selection([1, 1, 0, -1, 1, 4], (5,))
    yield "selection-broadcast", lambda m: m.selection([0, 0, -1, 0], (1,))
    yield "selection-of-a-scalar", lambda m: m.selection([0, 0, -1, 0], (), (2, 2))
    yield "selection-one", lambda m: m.selection([0], (1,), ())
    yield "selection-2x3-3x2", lambda m: m.selection([0, 2, 4, 1, 3, 5], (3, 2), (2, 3))
    yield "selection-repeats-3x2", lambda m: m.selection([5, 2, 5, -1], (3, 2), (2, 2))
    yield "selection-nothing", lambda m: m.selection([-1, -1], (3,))
    yield "weight-selection", lambda m: m.weight(m.selection([1, 1, -1], (2,)), (3,), 2)
    yield "lookup-uneven", lambda m: m.lookup(m.diagonal((2, 1), (3,)), (1, 4), 5)
    yield "mixture-uneven", lambda m: m.mixture(m.diagonal((2, 1), (3,)), (1, 4), 5)
    yield "lookup-of-nothing", lambda m: m.lookup(m.zero((2,), (3,)), (3,), 2)
    yield "sum-of-mixings", lambda m: m.sum(m.lookup(m.identity((3,)), (), 2), m.mixture(m.identity((3,)), (4,), 2))
    yield "weight-uneven", lambda m: m.weight(m.diagonal((2, 1), (3,)), (1, 4), 2)
    yield "sum-uneven", lambda m: m.sum(m.diagonal((2, 1), (3,)), m.diagonal((1, 4), (3,)), m.dense((4,), (3,), (3,)))
    yield "sum-shared", lambda m: m.sum(m.identity((4,)), m.selection([0, 2, 2, 1], (4,)))
    yield "product-tall", lambda m: m.product(m.dense((), (5,), (2,)), m.dense((3,), (2,), (2,)))
    yield "product-shared", lambda m: m.product(m.selection([0, 2, 2, 1], (4,)), m.identity((4,)))


CASES = dict([*_shared(), *_per_batch()])


def fitting(left, right):
    """Shapes (out, mid, in) that J ∘ K can have when J is of the type ``left`` and K of the type ``right``."""
    outs, mid, ins = (3,), (4,), (2,)
    if left in MATRICES:
        mid = (3, 2)
    if right == "Row":
        mid = (1, 1) if left in MATRICES else (1,)
    if left == "Row":
        outs = (1,)
    if right in MATRICES:
        ins = (4, 2)
    if left in ("Identity", "Diagonal"):
        outs = mid
    if right in ("Identity", "Diagonal"):
        ins = mid
    if {left, right} <= MATRICES:
        ins = (2, 3)
    return outs, mid, ins


def common(left, right):
    """Shapes (out, in) that J + K can have when J is of the type ``left`` and K of the type ``right``."""
    names = {left, right}
    ins = (3, 2) if MATRICES & names else (3,)
    if "Row" in names and names & {"Identity", "Diagonal"}:
        ins = (1, 1) if MATRICES & names else (1,)
    if names & {"Identity", "Diagonal"}:
        return ins, ins
    return (1,) if "Row" in names else (3,), ins
