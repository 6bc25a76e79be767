"""Rule 2, weights: a = W h + b. ∇_h = Wᵀ ∇_a, ∇_W = ∇_a hᵀ, ∇_b = ∇_a."""

from collections.abc import Sequence
from typing import final

from everygrad.engines import Array, kind_of, namespace
from everygrad.engines.arrays import numpy_namespace
from everygrad.engines.pool import matmul
from everygrad.graph.operation import Operation, Shape, ShapeProblem
from everygrad.jacobians import Dense, Identity, Jacobian, Weight


@final
class Affine(Operation):
    """a = W h + b for each sample; inputs (h, W) or (h, W, b).

    Shapes: h (..., i), W (o, i), b (o,), a (..., o); samples are rows, hence ``h @ W.T + b``.
    Local derivatives: ∂a/∂h = W (dense, shared by all samples), ∂a/∂W = I ⊗ hᵀ (a Weight that stores
    only h), ∂a/∂b = I. Cost: one matrix product of 2·B·o·i operations, one more for each of ∇_h, ∇_W.
    """

    name = "affine"
    local_reads = "inputs"
    shows_nonfinite = True

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        h, W = shapes[0], shapes[1]
        problems = []
        if any(leads[1:]):
            problems.append("W and b must be parameters, the same for all samples")
        if len(h) != 1:
            problems.append(f"h must be a vector, has feature shape {h}")
        if len(W) != 2:
            problems.append(f"W must be a matrix (out, in), has shape {W}")
        elif len(h) == 1 and W[1] != h[0]:
            problems.append(f"W has shape {W}, so h must have {W[1]} features, has {h[0]}")
        if len(shapes) == 3 and len(W) == 2 and shapes[2] != W[:1]:
            problems.append(f"W has shape {W}, so b must have shape {W[:1]}, has {shapes[2]}")
        if problems:
            raise ShapeProblem("affine W h + b: " + "; ".join(problems), W[:1] if len(W) == 2 else None)
        return W[:1]

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        h, W = xs[0], xs[1]
        a = matmul(h, W.T)
        if len(xs) == 2:
            return a
        if namespace(a) is numpy_namespace and a.dtype == xs[2].dtype and a.ndim:
            a += xs[2]  # `a` is ours and nobody has seen it yet
            return a
        return a + xs[2]

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        if slot == 0:
            return Dense(xs[1])
        identity = Identity(kind_of(y), (xs[1].shape[0],))
        return Weight(identity, xs[0]) if slot == 1 else identity

    def formula(self, *operands: str) -> str:
        h, W, *b = operands
        return " + ".join([f"{W} {h}", *b])

    def local_formula(self, slot: int, *operands: str) -> str:
        if slot == 0:
            return operands[1]
        return f"I ⊗ {operands[0]}ᵀ" if slot == 1 else "I"
