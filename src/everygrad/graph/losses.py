"""Losses: one number from predictions and targets, with the reduction inside value and derivative.

Each loss has inputs (prediction, target) or (prediction, target, sample weight); targets and weights
that are floating point have derivatives too, so a target may itself be computed (distillation,
autoencoders).
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from everygrad.engines import Array, is_traced, kind_of, namespace, to_numpy
from everygrad.engines.arrays import is_floating, take_real
from everygrad.engines.numerics import log1p, sigmoid, sum_last
from everygrad.engines.shapes import Float, Inexact
from everygrad.errors import InputError
from everygrad.graph.arithmetic import spread
from everygrad.graph.operation import Operation, Shape, ShapeProblem, first_where, one_lead
from everygrad.graph.reduction import Reduction
from everygrad.jacobians import Jacobian, Row


class Loss(Operation):
    """L = Σ_n c_n ℓ(z_n, t_n); subclasses give ℓ and its derivatives, `Reduction` gives the c_n.

    With two leading axes the sum is over samples and steps.
    """

    whole = (1,)

    def __init__(self, reduction: str = "mean", outputs: str = "sum") -> None:
        self.reduction = Reduction(reduction, outputs)

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self.reduction.attributes

    def lead(self, leads: Sequence[int]) -> int:
        lead = one_lead(self.name, leads)
        return lead if self.reduction.batch == "none" else 0

    @abstractmethod
    def per_sample(self, z: Inexact[Array, "*n K"], t: Inexact[Array, "*n K"]) -> Inexact[Array, "*n"]:
        """ℓ_n: (..., K) and targets to (...)."""

    @abstractmethod
    def slope(self, z: Float[Array, "*n K"], t: Float[Array, "*n K"]) -> Float[Array, "*n K"]:
        """∂ℓ_n/∂z_n: (..., K)."""

    @abstractmethod
    def target_slope(self, z: Float[Array, "*n K"], t: Float[Array, "*n K"]) -> Float[Array, "*n K"]:
        """∂ℓ_n/∂t_n: (..., K)."""

    def target(self, z: Array, t: Array, lead: int) -> Array:
        """The targets as an array like ``z``; here a single output may come as a number per sample."""
        t = t if is_floating(t) else namespace(t).astype(t, take_real(z).dtype)
        return spread(t, lead, 1) if t.ndim == lead else t

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        if len(shapes[0]) != 1:
            raise ShapeProblem(f"{self.name}: the prediction must be a vector, has feature shape {shapes[0]}")
        if len(shapes) == 3:
            _one_weight_per_sample(self.name, shapes[2], leads[2], max(leads[:2]))
        self.target_shape(shapes[0][0], shapes[1])
        return ()

    def target_shape(self, outputs: int, shape: Shape) -> None:
        """Raise `ShapeProblem` if targets of this feature shape do not fit so many outputs."""
        if shape != (outputs,) and not (outputs == 1 and shape == ()):
            raise ShapeProblem(f"{self.name}: {outputs} outputs need targets of shape ({outputs},), got {shape}")

    def data_problems(self, slot: int, x: Array, shapes: Sequence[Shape]) -> list[str]:
        if slot == 2 and not is_traced(x):
            w = to_numpy(x)
            mean = self.reduction.batch == "mean"
            if (w < 0).any() or (mean and not w.sum() > 0):
                return [f"sample weights must be non-negative{' and must not all be zero' if mean else ''}"]
        labels = shapes[1] == ()
        return self.target_problems(shapes[0][0], to_numpy(x), labels) if slot == 1 and not is_traced(x) else []

    def target_problems(self, outputs: int, t: np.ndarray, labels: bool) -> list[str]:
        """What is wrong with the values of the targets; ``labels``: they are a number for each sample."""
        return []

    def differentiable(self, slot: int, xs: Sequence[Array]) -> bool:
        return is_floating(xs[slot])

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        z, t, *weight = xs
        losses = self.per_sample(*self._pair(z, t, leads[1]))
        return self.reduction.reduce(losses, weight[0] if weight else None)

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        z, given, *rest = xs
        z, t = self._pair(z, given, leads[1])
        weight = rest[0] if rest else None
        if slot == 2:
            return Row(self.reduction.weight_derivative(self.per_sample(z, t), rest[0]), 0, ())
        rows = self.slope(z, t) if slot == 0 else self.target_slope(z, t)
        c = self.reduction.coefficients(rows[..., 0], weight)
        rows = rows * c if isinstance(c, float) else rows * c[..., None]
        if slot == 1 and given.ndim == leads[1]:
            return Row(rows[..., 0], 0, ())
        return Row(rows, 1, ())

    def _pair(self, z: Array, t: Array, lead: int) -> tuple[Array, Array]:
        """Prediction and target as arrays of one shape: either may be the same for all samples."""
        t = self.target(z, t, lead)
        return (z, t) if z.shape == t.shape else tuple(namespace(z).broadcast_arrays(z, t))

    def formula(self, *operands: str) -> str:
        return f"{self.name}({', '.join(operands)})"

    def written(self, *operands: str) -> str:
        """ℓ of one sample written out, for people: ``sum((z - t)**2)``."""
        return self.formula(*operands)

    def local_formula(self, slot: int, *operands: str) -> str:
        if slot == 2:
            return "(l - L)/sum(w)" if self.reduction.batch == "mean" else "l"
        c = {"mean": "1/B", "sum": "", "none": ""}[self.reduction.batch] if len(operands) == 2 else "c"
        if self.reduction.outputs == "mean":
            c = f"{c} 1/K" if c else "1/K"
        inner = self.slope_formula(slot, *operands)
        return f"{c} ({inner})" if c else inner

    @abstractmethod
    def slope_formula(self, slot: int, *operands: str) -> str:
        """∂ℓ/∂z or ∂ℓ/∂t of one sample, for people."""


@final
class SoftmaxCrossEntropy(Loss):
    """ℓ = −Σ_k t_k log ŷ_k with ŷ = softmax(z): ∂ℓ/∂z = ŷ Σt − t, that is ŷ − e_y for a class label.

    Targets: class labels, integers in [0, K), shape (...); or distributions, shape (..., K).
    Label smoothing ε: t ← (1 − ε) t + ε/K (Szegedy et al. 2016, equation 5 of section 7).

    With m the largest logit, ℓ = Σt · log1p(Σ_{k≠m} e^{z_k − z_m}) + Σ_k t_k (z_m − z_k). No term is a
    difference of nearly equal numbers, so loss and gradient keep all digits when the network is sure.
    """

    name = "softmax_cross_entropy"
    shows_nonfinite = True

    def __init__(self, reduction: str = "mean", smoothing: float = 0.0) -> None:
        super().__init__(reduction)
        if not 0.0 <= smoothing < 1.0:
            raise InputError(f"label smoothing must be in [0, 1), got {smoothing}")
        self.smoothing = float(smoothing)

    @property
    def attributes(self) -> Mapping[str, Any]:
        return {"reduction": self.reduction.batch, "smoothing": self.smoothing}

    def target(self, z: Array, t: Array, lead: int) -> Array:
        xp = namespace(z)
        if t.ndim == lead:
            classes = xp.arange(z.shape[-1], device=kind_of(t).device)
            t = xp.astype(t[..., None] == classes, take_real(z).dtype)
        elif not is_floating(t):
            t = xp.astype(t, take_real(z).dtype)
        return (1.0 - self.smoothing) * t + self.smoothing / z.shape[-1] if self.smoothing else t

    def target_shape(self, outputs: int, shape: Shape) -> None:
        if shape not in ((), (outputs,)):
            raise ShapeProblem(
                f"{self.name}: {outputs} classes need labels of shape () or distributions of shape ({outputs},) "
                f"per sample, got {shape}"
            )

    def target_problems(self, outputs: int, t: np.ndarray, labels: bool) -> list[str]:
        if not labels:
            sums = t.sum(-1, dtype=np.float64)
            if (t < 0).any() or not np.allclose(sums, 1.0, rtol=0, atol=1e-4):
                return [f"target distributions must be non-negative and sum to 1, sums range over {_range(sums)}"]
            return []
        if t.dtype.kind not in "iu":
            return [f"class labels must be integers, got dtype {t.dtype}: y.astype(int), or one distribution per row"]
        if t.size and (t.min() < 0 or t.max() >= outputs):
            value, at = first_where(t, (t < 0) | (t >= outputs))
            return [f"class labels must be in [0, {outputs}) for {outputs} outputs, got {value} at index {at}"]
        return []

    def differentiable(self, slot: int, xs: Sequence[Array]) -> bool:
        return is_floating(xs[slot])

    def _parts(self, z: Array) -> tuple[Any, Array, Array, Array]:
        """(is the largest, z_m, e^{z_k − z_m} with 0 in place m, their sum)."""
        xp = namespace(z)
        real = take_real(z)
        classes = xp.arange(z.shape[-1], device=kind_of(z).device)
        largest = xp.argmax(real, axis=-1, keepdims=True) == classes
        z_m = xp.max(z, axis=-1, keepdims=True) if real is z else sum_last(z * largest, keepdims=True)
        e = xp.where(largest, 0.0, xp.exp(z - z_m))
        return largest, z_m, e, sum_last(e, keepdims=True)

    def per_sample(self, z: Inexact[Array, "*n K"], t: Inexact[Array, "*n K"]) -> Inexact[Array, "*n"]:
        _, z_m, _, s = self._parts(z)
        return sum_last(t) * log1p(s[..., 0]) + sum_last(t * (z_m - z))

    def slope(self, z: Float[Array, "*n K"], t: Float[Array, "*n K"]) -> Float[Array, "*n K"]:
        xp = namespace(z)
        largest, _, e, s = self._parts(z)
        others = sum_last(t, keepdims=True) - t
        at_largest = (others - t * s) / (1.0 + s)  # p_m (Σt − t_m) − t_m (1 − p_m)
        return xp.where(largest, at_largest, (others + t) * e / (1.0 + s) - t)

    def target_slope(self, z: Float[Array, "*n K"], t: Float[Array, "*n K"]) -> Float[Array, "*n K"]:
        _, z_m, _, s = self._parts(z)
        return (1.0 - self.smoothing) * (log1p(s) + (z_m - z))

    def written(self, *operands: str) -> str:
        z, t = operands[:2]
        keep, each = 1.0 - self.smoothing, self.smoothing
        return f"-sum({f'({keep:g}*{t} + {each:g}/K)' if each else t}*log(softmax({z})))"

    def slope_formula(self, slot: int, *operands: str) -> str:
        z, t = operands[:2]
        keep, each = 1.0 - self.smoothing, self.smoothing
        if slot == 1:
            return f"-{keep:g} log softmax({z})" if each else f"-log softmax({z})"
        return f"softmax({z}) - ({keep:g} {t} + {each:g}/K)" if each else f"softmax({z}) - {t}"


@final
class BinaryCrossEntropy(Loss):
    """ℓ = Σ_k t_k softplus(−z_k) + (1 − t_k) softplus(z_k): cross-entropy of σ(z) with targets in [0, 1].

    Computed as (1 − t) z or −t z, by the sign of z, plus log1p(e^−|z|): exact for large and small z.
    ∂ℓ/∂z = σ(z) − t, computed as (1 − t) σ(z) − t σ(−z). Targets: (..., K), or (...) if K = 1.
    """

    name = "binary_cross_entropy"
    shows_nonfinite = True

    def per_sample(self, z: Inexact[Array, "*n K"], t: Inexact[Array, "*n K"]) -> Inexact[Array, "*n"]:
        xp = namespace(z)
        positive = take_real(z) >= 0
        linear = xp.where(positive, 1.0 - t, -t) * z
        terms = linear + log1p(xp.exp(xp.where(positive, -z, z)))
        return self.reduction.per_output(z.shape[-1]) * sum_last(terms)

    def slope(self, z: Float[Array, "*n K"], t: Float[Array, "*n K"]) -> Float[Array, "*n K"]:
        return self.reduction.per_output(z.shape[-1]) * ((1.0 - t) * sigmoid(z) - t * sigmoid(-z))

    def target_slope(self, z: Float[Array, "*n K"], t: Float[Array, "*n K"]) -> Float[Array, "*n K"]:
        return -self.reduction.per_output(z.shape[-1]) * z

    def target_problems(self, outputs: int, t: np.ndarray, labels: bool) -> list[str]:
        if t.size and not (t.min() >= 0 and t.max() <= 1):
            return [f"targets of binary cross-entropy must be in [0, 1], got values in {_range(t)}"]
        return []

    def written(self, *operands: str) -> str:
        z, t = operands[:2]
        scale = "1/K*" if self.reduction.outputs == "mean" else ""
        return f"-{scale}sum({t}*log(sigmoid({z})) + (1 - {t})*log(1 - sigmoid({z})))"

    def slope_formula(self, slot: int, *operands: str) -> str:
        z, t = operands[:2]
        return f"sigmoid({z}) - {t}" if slot == 0 else f"-{z}"


@final
class SquaredError(Loss):
    """ℓ = Σ_k (z_k − t_k)², or half of it with ``half=True``: ∂ℓ/∂z = 2 (z − t) or z − t.

    With ``outputs="mean"`` the sum over the K outputs is a mean, in the value and in the derivative.
    """

    name = "squared_error"
    shows_nonfinite = True

    def __init__(self, reduction: str = "mean", outputs: str = "sum", half: bool = False) -> None:
        super().__init__(reduction, outputs)
        self.half = bool(half)

    @property
    def attributes(self) -> Mapping[str, Any]:
        return {**self.reduction.attributes, "half": self.half}

    def _scale(self, z: Array) -> float:
        return self.reduction.per_output(z.shape[-1]) * (0.5 if self.half else 1.0)

    def per_sample(self, z: Inexact[Array, "*n K"], t: Inexact[Array, "*n K"]) -> Inexact[Array, "*n"]:
        return self._scale(z) * sum_last((z - t) * (z - t))

    def slope(self, z: Float[Array, "*n K"], t: Float[Array, "*n K"]) -> Float[Array, "*n K"]:
        return (2.0 * self._scale(z)) * (z - t)

    def target_slope(self, z: Float[Array, "*n K"], t: Float[Array, "*n K"]) -> Float[Array, "*n K"]:
        return (2.0 * self._scale(z)) * (t - z)

    def written(self, *operands: str) -> str:
        z, t = operands[:2]
        scale = ("1/2*" if self.half else "") + ("1/K*" if self.reduction.outputs == "mean" else "")
        return f"{scale}sum(({z} - {t})**2)"

    def slope_formula(self, slot: int, *operands: str) -> str:
        z, t = operands[:2]
        difference = f"{z} - {t}" if slot == 0 else f"{t} - {z}"
        return difference if self.half else f"2 ({difference})"


@final
class Reduce(Operation):
    """L = Σ_n c_n ℓ_n of a number ℓ_n per sample: the last step of a loss of one's own.

    Inputs (ℓ,) or (ℓ, sample weight); ∂L/∂ℓ_n = c_n, see `Reduction`.
    """

    name = "reduce"
    shows_nonfinite = True

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = Reduction(reduction)

    @property
    def attributes(self) -> Mapping[str, Any]:
        return {"reduction": self.reduction.batch}

    def lead(self, leads: Sequence[int]) -> int:
        lead = one_lead(self.name, leads)
        return lead if self.reduction.batch == "none" else 0

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        if any(math.prod(s) != 1 for s in shapes):
            raise ShapeProblem(f"reduce needs one number per sample, got feature shapes {list(shapes)}: use sum first")
        if len(shapes) == 2:
            _one_weight_per_sample(self.name, (), leads[1], leads[0])
        return ()

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        losses, *weight = (x[..., 0] if x.ndim > lead else x for x, lead in zip(xs, leads, strict=True))
        return self.reduction.reduce(losses, weight[0] if weight else None)

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        losses, *weight = (x[..., 0] if x.ndim > lead else x for x, lead in zip(xs, leads, strict=True))
        if slot == 1:
            rows = self.reduction.weight_derivative(losses, weight[0])
        else:
            c = self.reduction.coefficients(losses, weight[0] if weight else None)
            rows = kind_of(losses).full(losses.shape, c) if isinstance(c, float) else c
        flat = xs[slot].ndim == leads[slot]
        return Row(rows if flat else rows[..., None], 0 if flat else 1, ())

    def formula(self, *operands: str) -> str:
        return f"{self.reduction.batch}({', '.join(operands)})"

    def local_formula(self, slot: int, *operands: str) -> str:
        if slot == 1:
            return "(l - L)/sum(w)"
        return {"mean": "1/B", "sum": "1", "none": "1"}[self.reduction.batch] if len(operands) == 1 else "c"


def _one_weight_per_sample(name: str, shape: Shape, lead: int, samples: int) -> None:
    if shape != ():
        raise ShapeProblem(f"{name}: one weight per sample expected, got feature shape {shape}")
    if lead != samples:
        raise ShapeProblem(
            f"{name}: the sample weights and the losses must be of the same samples (data, not parameters)"
        )


def _range(values: np.ndarray) -> str:
    return f"[{values.min():.4g}, {values.max():.4g}]"
