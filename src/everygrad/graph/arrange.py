"""Operations that move or add up components: select, concatenate, flatten, transpose, sum, dot."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from everygrad.engines import Array, kind_of, namespace
from everygrad.graph.operation import Operation, Shape, ShapeProblem, feature_shape
from everygrad.jacobians import Jacobian, Row, Selection


@final
class Select(Operation):
    """y = h[indices]: the components of a vector with these indices, in this order; repeats allowed.

    With ``scalar`` one component becomes a plain number per sample.
    """

    name = "select"
    local_reads = "shapes"
    keeps_finite = True

    def __init__(self, indices: Sequence[int] | None = None, scalar: bool = False, part: Sequence[Any] = ()) -> None:
        # `part` = (start, stop, step): a slice, whose length depends on the vector
        self.indices = None if indices is None else tuple(int(i) for i in indices)
        self.scalar = bool(scalar)
        self.part = tuple(part)

    @property
    def attributes(self) -> Mapping[str, Any]:
        if self.indices is None:
            return {"part": list(self.part)}
        return {"indices": list(self.indices), "scalar": self.scalar}

    def _index(self, n: int) -> np.ndarray:
        if self.indices is None:
            return np.arange(n)[slice(*self.part)]
        index = np.asarray(self.indices, dtype=np.int64)
        return np.where(index < 0, index + n, index)

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        if len(shapes[0]) != 1:
            raise ShapeProblem(f"select acts on vectors, got feature shape {shapes[0]}")
        n = shapes[0][0]
        index = self._index(n)
        if index.size == 0 or index.min() < 0 or index.max() >= n:
            asked = self.indices if self.indices is not None else slice(*self.part)
            raise ShapeProblem(f"select: {asked} does not fit a vector of {n} components")
        return () if self.scalar else (index.size,)

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        h = xs[0]
        index = self._index(h.shape[-1])
        if self.scalar:
            return h[..., int(index[0])]
        return namespace(h).take(h, kind_of(h).indices(index), axis=-1)

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        n = xs[0].shape[-1]
        return Selection(kind_of(y), self._index(n), (n,), feature_shape(y, leads[0]))

    def _text(self) -> str:
        if self.indices is None:
            start, stop, step = ("" if p is None else str(p) for p in self.part)
            return f"{start}:{stop}" + (f":{step}" if step else "")
        return str(self.indices[0]) if self.scalar else str(list(self.indices))

    def formula(self, *operands: str) -> str:
        return f"{operands[0]}[{self._text()}]"

    def local_formula(self, slot: int, *operands: str) -> str:
        return f"I[{self._text()}]"


@final
class Concatenate(Operation):
    """y = [u; v; ...]: vectors (or numbers) one below the other."""

    name = "concatenate"
    local_reads = "shapes"
    keeps_finite = True

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        if any(len(s) > 1 for s in shapes):
            raise ShapeProblem(f"concatenate joins vectors, got feature shapes {list(shapes)}")
        return (sum(math.prod(s) for s in shapes),)

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        xp = namespace(xs[0])
        vectors = [x if x.ndim > lead else x[..., None] for x, lead in zip(xs, leads, strict=True)]
        front = next(x.shape[:-1] for x, lead in zip(vectors, leads, strict=True) if lead == max(leads))
        return xp.concat([xp.broadcast_to(x, (*front, x.shape[-1])) for x in vectors], axis=-1)

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        own = [feature_shape(x, lead) for x, lead in zip(xs, leads, strict=True)]
        sizes = [math.prod(s) for s in own]
        index = np.full(sum(sizes), -1)
        start = sum(sizes[:slot])
        index[start : start + sizes[slot]] = np.arange(sizes[slot])
        return Selection(kind_of(y), index, own[slot])

    def formula(self, *operands: str) -> str:
        return f"[{'; '.join(operands)}]"

    def local_formula(self, slot: int, *operands: str) -> str:
        return f"[{'; '.join('I' if i == slot else '0' for i in range(len(operands)))}]"


class _Permuted(Operation):
    """The same components in another feature shape: ∂y/∂x is a permutation."""

    keeps_finite = True
    local_reads = "shapes"

    @abstractmethod
    def order(self, shape: Shape) -> np.ndarray:
        """Flat index into x of each component of y, in the feature shape of y."""

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        own = feature_shape(xs[0], leads[0])
        order = self.order(own)
        return Selection(kind_of(y), order.ravel(), own, order.shape)

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        return self.order(shapes[0]).shape


@final
class Flatten(_Permuted):
    """y = vec(x): the components of each sample as one vector, last axis fastest."""

    name = "flatten"

    def order(self, shape: Shape) -> np.ndarray:
        return np.arange(math.prod(shape))

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        x, lead = xs[0], leads[0]
        return namespace(x).reshape(x, (*x.shape[:lead], math.prod(x.shape[lead:])))

    def formula(self, *operands: str) -> str:
        return f"vec({operands[0]})"

    def local_formula(self, slot: int, *operands: str) -> str:
        return "I"


@final
class Transpose(_Permuted):
    """Y = Xᵀ of a matrix, as in tied weights."""

    name = "transpose"

    def order(self, shape: Shape) -> np.ndarray:
        if len(shape) != 2:
            raise ShapeProblem(f"transpose acts on matrices, got feature shape {shape}")
        return np.arange(math.prod(shape)).reshape(shape).T

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        return namespace(xs[0]).matrix_transpose(xs[0])

    def formula(self, *operands: str) -> str:
        return f"{operands[0]}ᵀ"

    def local_formula(self, slot: int, *operands: str) -> str:
        return "K"  # the commutation matrix: vec(Xᵀ) = K vec(X)


@final
class Sum(Operation):
    """y = Σ_j h_j over all components of a sample, a number: ∂y/∂h = 1ᵀ."""

    name = "sum"
    local_reads = "shapes"
    shows_nonfinite = True

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        return ()

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        h = xs[0]
        return namespace(h).sum(h, axis=tuple(range(leads[0], h.ndim)))

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        own = feature_shape(xs[0], leads[0])
        return Row(kind_of(y).ones(own), len(own), ())

    def formula(self, *operands: str) -> str:
        return f"sum({operands[0]})"

    def local_formula(self, slot: int, *operands: str) -> str:
        return "1ᵀ"


@final
class Dot(Operation):
    """y = uᵀ v, a number per sample: ∂y/∂u = vᵀ, ∂y/∂v = uᵀ."""

    name = "dot"
    local_reads = "inputs"
    shows_nonfinite = True

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        u, v = shapes
        if u != v or len(u) != 1:
            raise ShapeProblem(f"dot needs two vectors of equal length, got feature shapes {u} and {v}")
        return ()

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        return namespace(xs[0]).sum(xs[0] * xs[1], axis=-1)

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        return Row(xs[1 - slot], 1, ())

    def formula(self, *operands: str) -> str:
        return f"{operands[0]}ᵀ {operands[1]}"

    def local_formula(self, slot: int, *operands: str) -> str:
        return f"{operands[1 - slot]}ᵀ"
