"""Dense: a matrix for each sample, or one for all."""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.engines import Array, Kind, kind_of, namespace, to_numpy
from everygrad.engines.pool import matmul
from everygrad.engines.shapes import Inexact
from everygrad.errors import InputError
from everygrad.jacobians.base import Entries, Jacobian
from everygrad.jacobians.shapes import Index, Shape, flatten, norm_last, pick, sum_leading, unflatten


@final
@dataclass(frozen=True, slots=True, eq=False, repr=False, init=False)
class Dense(Jacobian):
    """∂v[p]/∂u[q] = A[p, q]: rule 2, a = W h + b with A = W, shared by all samples.

    ``A`` is (*batch, out_size, in_size). ``out_shape`` and ``in_shape`` say how the flat axes are folded,
    (out_size,) and (in_size,) if not given. pull costs one matrix product over all leading axes if A is shared,
    one small product per sample otherwise. `InputError` if A has no two last axes of these sizes.
    """

    A: Inexact[Array, "..."]
    out_shape: Shape
    in_shape: Shape

    def __init__(self, A: Array, out_shape: Shape | None = None, in_shape: Shape | None = None) -> None:
        if len(A.shape) < 2:
            raise InputError(f"Dense: A has shape {tuple(A.shape)}, expected (*batch, out_size, in_size)")
        outs, ins = (A.shape[-2],) if out_shape is None else out_shape, (A.shape[-1],) if in_shape is None else in_shape
        if math.prod(outs) != A.shape[-2] or math.prod(ins) != A.shape[-1]:
            raise InputError(
                f"Dense: A has shape {tuple(A.shape)}, but the output {outs} and the input {ins} "
                f"ask for (*batch, {math.prod(outs)}, {math.prod(ins)})"
            )
        object.__setattr__(self, "A", A)
        object.__setattr__(self, "out_shape", outs)
        object.__setattr__(self, "in_shape", ins)

    @property
    def kind(self) -> Kind:
        return kind_of(self.A)

    @property
    def batch(self) -> Shape:
        return tuple(self.A.shape[:-2])

    @property
    def T(self) -> "Dense":
        return Dense(namespace(self.A).matrix_transpose(self.A), self.in_shape, self.out_shape)

    @property
    def nnz(self) -> int:
        return self.out_size * self.in_size

    def norm(self) -> Array:
        return norm_last(flatten(self.A, 2))

    def _arrays(self) -> tuple[Array, ...]:
        return (self.A,)

    def _push(self, v: Array) -> Array:
        if len(self.A.shape) == 2:
            return _rows_times(v, self.A.T)
        return (self.A @ v[..., None])[..., 0]

    def _pull(self, g: Array) -> Array:
        if len(self.A.shape) == 2:
            return _rows_times(g, self.A)
        return (g[..., None, :] @ self.A)[..., 0, :]

    def _pull_total(self, g: Array) -> Array:
        total = sum_leading(g) @ self.A if len(self.A.shape) == 2 else sum_leading(self._pull(g))
        return unflatten(total, self.in_shape)

    def _dense(self) -> Array:
        return self.A

    def _entry(self, p: int, q: int) -> Array:
        return self.A[..., p, q]

    def _entries(self) -> Entries:
        p, q = np.divmod(np.arange(self.nnz), self.in_size)
        return p, q, to_numpy(self.A).ravel()

    def _reach(self, mask: np.ndarray) -> np.ndarray:
        return np.repeat(np.any(mask, axis=1, keepdims=True), self.out_size, axis=1)

    def _sample(self, index: Index) -> "Dense":
        return Dense(pick(self.A, 2, index), self.out_shape, self.in_shape)

    def _scaled(self, c: Any) -> "Dense":
        return Dense(self.A * c, self.out_shape, self.in_shape)


def _rows_times(x: Array, A: Array) -> Array:
    """x A for rows x: (*lead, n) and one matrix A: (n, m), as one matrix product whatever the leading axes."""
    if len(x.shape) <= 2:
        return matmul(x, A)
    xp, lead = namespace(x), x.shape[:-1]
    return xp.reshape(matmul(xp.reshape(x, (math.prod(lead), x.shape[-1])), A), (*lead, A.shape[1]))
