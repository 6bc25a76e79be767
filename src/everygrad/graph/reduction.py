"""How the losses of single samples become one number: explicit, used by value and derivative alike."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from everygrad.engines import Array, namespace
from everygrad.engines.arrays import has_values
from everygrad.errors import InputError, unknown_name


@final
@dataclass(frozen=True, slots=True)
class Reduction:
    """L = Σ_n c_n ℓ_n over the samples n, and ℓ_n over the outputs k of one sample.

    ``batch``: ``"mean"`` (c_n = 1/N, with sample weights w_n / Σ w), ``"sum"`` (c_n = 1 or w_n) or
    ``"none"`` (no sum: L_n = c_n ℓ_n with c_n = 1 or w_n).
    ``outputs``: ``"sum"`` or ``"mean"`` over the K outputs of one sample, for the losses that have one
    term per output. Both are part of the value and of the derivative, so that the two cannot disagree.
    """

    batch: str = "mean"
    outputs: str = "sum"

    def __post_init__(self) -> None:
        if self.batch not in ("mean", "sum", "none"):
            raise unknown_name("reduction", self.batch, ("mean", "sum", "none"))
        if self.outputs not in ("sum", "mean"):
            raise unknown_name("reduction over outputs", self.outputs, ("sum", "mean"))

    @property
    def attributes(self) -> Mapping[str, Any]:
        return {"reduction": self.batch, "outputs": self.outputs}

    def per_output(self, outputs: int) -> float:
        """The factor in front of the sum over K outputs: 1, or 1/K."""
        return 1.0 / outputs if self.outputs == "mean" else 1.0

    def reduce(self, losses: Array, weight: Array | None) -> Array:
        """L from the losses ℓ_n (all their axes are samples)."""
        xp = namespace(losses)
        weighted = losses if weight is None else losses * weight
        if self.batch == "none":
            return weighted
        total = xp.sum(weighted)
        if self.batch == "sum":
            return total
        if weight is None:
            return total / math.prod(losses.shape)
        weights = xp.sum(weight)
        if has_values(weights) and not bool(weights != 0):
            raise InputError("the weights of all that counts are zero: the loss would be a mean of nothing")
        return total / weights

    def coefficients(self, losses: Array, weight: Array | None) -> Array | float:
        """c_n = ∂L/∂ℓ_n: a number if it is the same for all samples, else an array like ``losses``."""
        if self.batch == "mean":
            return 1.0 / math.prod(losses.shape) if weight is None else weight / namespace(weight).sum(weight)
        return 1.0 if weight is None else weight

    def weight_derivative(self, losses: Array, weight: Array) -> Array:
        """∂L/∂w_n: ℓ_n, or (ℓ_n − L) / Σ w for the mean."""
        if self.batch == "mean":
            total = namespace(weight).sum(weight)
            # from the first loss on, so that nearly equal losses do not cancel (and one sample gives 0)
            above = losses - losses[(0,) * losses.ndim]
            return (above - self.reduce(above, weight)) / total
        return losses
