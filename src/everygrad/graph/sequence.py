"""Operations on sequences (samples, time, features): look-up of tokens, one step, the mean, and what padding needs.

Where steps are joined, time is an axis of the features of each sample; see `Operation.local`. What stands in the
padding is never looked at, and its gradient is exactly zero.
"""

from collections.abc import Mapping, Sequence
from typing import Any, final

from everygrad.engines import Array, is_traced, kind_of, namespace, to_numpy
from everygrad.engines.arrays import is_floating
from everygrad.engines.rows import take_rows
from everygrad.errors import InputError
from everygrad.graph.operation import Operation, Shape, ShapeProblem, feature_shape, first_where
from everygrad.graph.steps import counting_shape, kept
from everygrad.jacobians import Diagonal, Identity, Jacobian, Lookup, Mixture


@final
class Embedding(Operation):
    """y = E[token], one row of a table for each token; inputs (tokens, E).

    Shapes: tokens whole numbers (...), E (V, e), y (..., e). ∂y[p]/∂E[q, r] = 1 if p = r and q is the token, a
    `Lookup` that stores the tokens only; summed over the samples its pull adds each gradient to its row.
    """

    name = "embedding"
    keeps_finite = True
    local_reads = "inputs"
    whole = (0,)

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        tokens, E = shapes
        problems = []
        if tokens != ():
            problems.append(f"one whole number for each sample or step is expected, got feature shape {tokens}")
        if leads[1]:
            problems.append("the table E must be a parameter, the same for all samples")
        if len(E) != 2:
            problems.append(f"the table E must be a matrix (vocabulary, size), has shape {E}")
        if problems:
            raise ShapeProblem("embedding: " + "; ".join(problems), E[1:] if len(E) == 2 else None)
        return E[1:]

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        return take_rows(xs[1], xs[0])

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        tokens, E = xs
        return Lookup(Identity(kind_of(E), (E.shape[1],)), tokens, E.shape[0])

    def differentiable(self, slot: int, xs: Sequence[Array]) -> bool:
        return slot == 1

    def data_problems(self, slot: int, x: Array, shapes: Sequence[Shape]) -> list[str]:
        if slot != 0 or is_traced(x):
            return []
        tokens, V = to_numpy(x), shapes[1][0]
        if tokens.dtype.kind not in "iu":
            return [f"tokens must be whole numbers, got dtype {tokens.dtype}: tokens.astype(int)"]
        wrong = (tokens < 0) | (tokens >= V)
        if wrong.any():
            value, at = first_where(tokens, wrong)
            return [f"tokens must be in [0, {V}) for a table of {V} rows, got {value} at index {at}"]
        return []

    def formula(self, *operands: str) -> str:
        return f"{operands[1]}[{operands[0]}]"

    def local_formula(self, slot: int, *operands: str) -> str:
        return f"I, in row {operands[0]}"


class _OverTime(Operation):
    """A sequence (samples, time, ...) in, one quantity of each sample out."""

    def lead(self, leads: Sequence[int]) -> int:
        if leads[0] != 2:
            raise InputError(f"{self.name} reads a sequence, a quantity of each sample and step")
        return 1

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        for shape, lead in zip(shapes[1:], leads[1:], strict=True):
            counting_shape(self.name, shape, lead)
        return shapes[0]

    def differentiable(self, slot: int, xs: Sequence[Array]) -> bool:
        return slot == 0 and is_floating(xs[0])


@final
class AtStep(_OverTime):
    """y = h_t for one step t, the same for all samples; −1 is the last one.

    ∂y/∂h_k = I if k = t, else 0: a `Lookup`. For sequences of different length take the state at the end
    of the scan instead.
    """

    name = "at_step"
    keeps_finite = True
    local_reads = "shapes"

    def __init__(self, step: int = -1) -> None:
        self.step = int(step)

    @property
    def attributes(self) -> Mapping[str, Any]:
        return {"step": self.step}

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        T = xs[0].shape[1]
        if not -T <= self.step < T:
            raise InputError(f"at_step: there is no step {self.step} in a sequence of {T} steps")
        return xs[0][:, self.step]

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        kind, T = kind_of(y), xs[0].shape[1]
        return Lookup(Identity(kind, feature_shape(y, 1)), kind.indices(self.step % T), T)

    def formula(self, *operands: str) -> str:
        return f"{operands[0]}[t={self.step}]"

    def local_formula(self, slot: int, *operands: str) -> str:
        return f"I at t={self.step}, else 0"


@final
class MeanOverTime(_OverTime):
    """y = 1/T Σ_t h_t, over the steps that count; inputs (h,) or (h, lengths or mask).

    ∂y/∂h_t = c_t I with c_t = 1/T, or 0 in the padding: a `Mixture`.
    """

    name = "mean_over_time"
    shows_nonfinite = True  # where the step counts
    local_reads = "shapes"
    whole = (1,)
    counting = 1

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        h, *counting = xs
        xp = namespace(h)
        if not counting:
            return xp.mean(h, axis=1)
        keep = kept(counting[0], h.shape[1])
        inside = xp.where(_beside(keep, h), h, kind_of(h).zeros(()))
        return xp.sum(inside, axis=1) / _beside(_count(keep, h), inside[:, 0])

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        h, *counting = xs
        kind, T = kind_of(h), h.shape[1]
        c = kind.full((T,), 1.0 / T)
        if counting:
            keep = kept(counting[0], T)
            c = kind.xp.astype(keep, kind.dtype) / _count(keep, h)[:, None]
        return Mixture(Identity(kind, feature_shape(y, 1)), c)

    def formula(self, *operands: str) -> str:
        return f"mean_t({', '.join(operands)})"

    def local_formula(self, slot: int, *operands: str) -> str:
        return "1/T"


def _beside(x: Array, like: Array) -> Array:
    """``x`` with as many axes as ``like``, further ones of size one behind."""
    return namespace(x).reshape(x, (*x.shape, *(1,) * (like.ndim - x.ndim)))


def _count(keep: Array, like: Array) -> Array:
    """How many steps of each sample count, as a float of the kind of ``like``."""
    xp = namespace(keep)
    return xp.sum(xp.astype(keep, kind_of(like).dtype), axis=1)


class _PerStep(Operation):
    """(sequence, lengths or mask, ...) in, a quantity of each sample and step out."""

    whole = (1,)
    counting = 1

    def lead(self, leads: Sequence[int]) -> int:
        if leads[0] != 2 or any(lead != 2 for lead in leads[2:]):
            raise InputError(f"{self.name} takes quantities of each sample and step, and lengths or a mask")
        return 2


@final
class KeepSteps(_PerStep):
    """y_t = x_t where the step counts, 0 in the padding; inputs (x, lengths or mask).

    Whatever stands in the padding (NaN, a label of −1) is gone behind it. ∂y_t/∂x_t = I, or 0 in the padding.
    """

    name = "keep_steps"
    local_reads = "inputs"
    shows_nonfinite = True  # where the step counts
    whole = (0, 1)
    prepares = True

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        counting_shape(self.name, shapes[1], leads[1])
        return shapes[0]

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        x, counting = xs
        xp = namespace(x)
        return xp.where(_beside(kept(counting, x.shape[1]), x), x, xp.zeros_like(x))

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        x, counting = xs
        xp = namespace(x)
        keep = _beside(kept(counting, x.shape[1]), x)
        return Diagonal(xp.broadcast_to(xp.astype(keep, x.dtype), x.shape), x.ndim - 2)

    def differentiable(self, slot: int, xs: Sequence[Array]) -> bool:
        return slot == 0 and is_floating(xs[0])

    def formula(self, *operands: str) -> str:
        return f"{operands[0]} where t counts, else 0"

    def local_formula(self, slot: int, *operands: str) -> str:
        return "1 where t counts, else 0"


@final
class StepWeight(_PerStep):
    """w_t, or 1, where the step counts, 0 in the padding; inputs (z, lengths or mask[, weight]).

    The weights of a loss at each step: padding does not count. Of z, a quantity of each step, only the shape is
    looked at. ∂/∂weight: 1 where the step counts, else 0.
    """

    name = "step_weight"
    local_reads = "inputs"
    shows_nonfinite = True  # of the weights, where the step counts

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        counting_shape(self.name, shapes[1], leads[1])
        if shapes[2:] not in ([], [()]):
            raise ShapeProblem(f"{self.name}: one weight per step expected, got feature shape {shapes[2]}")
        return ()

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        z, counting, *weight = xs
        keep, xp = kept(counting, z.shape[1]), namespace(z)
        if not weight:
            return xp.astype(keep, z.dtype)
        return xp.where(keep, weight[0], kind_of(weight[0]).zeros(()))

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        keep = kept(xs[1], xs[0].shape[1])
        return Diagonal(namespace(y).astype(keep, y.dtype), 0)

    def differentiable(self, slot: int, xs: Sequence[Array]) -> bool:
        return slot == 2 and is_floating(xs[2])

    def data_problems(self, slot: int, x: Array, shapes: Sequence[Shape]) -> list[str]:
        if slot == 2 and not is_traced(x) and (to_numpy(x) < 0).any():
            return ["weights of the steps must be non-negative"]
        return []

    def formula(self, *operands: str) -> str:
        return f"{operands[2] if len(operands) == 3 else '1'} where t counts, else 0"

    def local_formula(self, slot: int, *operands: str) -> str:
        return "1 where t counts, else 0"
