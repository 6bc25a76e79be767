"""Numbers too large or too small for their type: arrays of norm 1 with the logarithm of their norm beside them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.engines import Array, kind_of, to_numpy
from everygrad.errors import NonFiniteError
from everygrad.jacobians.shapes import norm_last
from everygrad.through_time.steps import Arrays, Steps

FAR = 32
"""Binary orders of magnitude that the largest number may be away from 1 before it is brought back."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """e^log_scale · mantissa, where each mantissa has (Frobenius) norm 1.

    ``mantissa`` (*lead, *features), ``log_scale`` (*lead), a NumPy array of natural logarithms in float64. A product
    that is exactly zero (all paths cut, as by dead ReLUs) has *vanished*: log_scale −∞, mantissa 0. One that is only
    too small for its type has *underflowed*: `value` gives 0 for it, and the mantissa is right all the same.
    """

    mantissa: Array
    log_scale: np.ndarray

    @property
    def vanished(self) -> np.ndarray:
        """(*lead): whether it is exactly zero."""
        return np.isneginf(self.log_scale)

    @property
    def underflowed(self) -> np.ndarray:
        """(*lead): whether it is not zero, but so small that its norm is below the smallest normal number."""
        return ~self.vanished & (self.log_scale < math.log(self._limits.tiny))

    @property
    def overflowed(self) -> np.ndarray:
        """(*lead): whether its norm is above the largest number."""
        return self.log_scale > math.log(self._limits.max)

    @property
    def log10(self) -> np.ndarray:
        """(*lead): log₁₀ of the norm."""
        return self.log_scale / math.log(10.0)

    @property
    def _limits(self) -> Any:
        return np.finfo(to_numpy(self.mantissa).dtype)

    def value(self) -> Array:
        """The plain array, of the mantissa's type; 0 or infinite where it has under- or overflowed."""
        kind = kind_of(self.mantissa)
        with np.errstate(over="ignore", under="ignore"):
            half = kind.asarray(np.exp(0.5 * np.where(self.vanished, 0.0, self.log_scale)))
            half = kind.xp.reshape(half, (*half.shape, *(1,) * (len(self.mantissa.shape) - half.ndim)))
            return self.mantissa * half * half  # in two halves: e^log_scale alone may be out of range

    def log_singular_values(self) -> np.ndarray:
        """Of matrices: (*lead, min(rows, columns)), log σ in descending order, −∞ for σ = 0.

        Those below about 1e-16 of the largest are rounding (`lyapunov` finds the small ones). Cost: one SVD each.
        """
        with np.errstate(divide="ignore"):
            sigma = np.log(np.linalg.svd(to_numpy(self.mantissa), compute_uv=False).astype(float))
        return sigma + np.where(self.vanished, 0.0, self.log_scale)[..., None]

    def log_spectral_radius(self) -> np.ndarray:
        """Of square matrices: (*lead), log max |λ|, −∞ if all eigenvalues are 0."""
        with np.errstate(divide="ignore"):
            radius = np.log(np.abs(np.linalg.eigvals(to_numpy(self.mantissa))).max(-1).astype(float))
        return radius + np.where(self.vanished, 0.0, self.log_scale)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: the logarithms of the norms, None where it has vanished, and the mantissas."""
        logs = np.where(self.vanished, None, self.log_scale)  # type: ignore[call-overload]
        return {"log_scale": logs.tolist(), "mantissa": to_numpy(self.mantissa).tolist()}

    def __str__(self) -> str:
        shape = " x ".join(map(str, self.mantissa.shape[self.log_scale.ndim :]))
        logs = self.log10[~self.vanished]
        span = f"norm 10^{logs.min():.4g} to 10^{logs.max():.4g}" if logs.size else "norm 0"
        counts = {
            "vanished": self.vanished.sum(),
            "underflowed": self.underflowed.sum(),
            "overflowed": self.overflowed.sum(),
        }
        told = "".join(f", {n} {word}" for word, n in counts.items() if n)
        return f"{self.log_scale.size} of {shape}: {span}{told}"


@final
class Carried:
    """State vectors or matrices on their way through many steps, brought back to about 1 by powers of 2.

    Powers of 2 lose no digit. ``arrays``: state -> (*rows, B, *shape); ``exponent`` (*rows, B), or (B,) if
    ``jointly``: the rows of one matrix share it. The numbers themselves are arrays · 2^exponent.
    """

    def __init__(self, steps: Steps, arrays: Mapping[str, Array], jointly: bool) -> None:
        self.steps = steps
        self.jointly = jointly
        lead = steps.lead(arrays)
        self.exponent = np.zeros(lead[-1:] if jointly else lead, np.int64)
        self.arrays = dict(arrays)

    def put(self, arrays: Arrays, where: str) -> None:
        """The arrays of the next step; `NonFiniteError` if they are not finite, saying ``where``."""
        xp = self.steps.kind.xp
        joined = xp.abs(self.steps.join(arrays))
        axes = (*range(joined.ndim - 2), joined.ndim - 1) if self.jointly else (joined.ndim - 1,)
        largest = to_numpy(xp.max(joined, axis=axes))
        if not np.isfinite(largest).all():
            sample = int(np.argwhere(~np.isfinite(largest))[0][-1])
            raise NonFiniteError(f"{where} is not finite for sample {sample}: look at the values of that step")
        shift = np.frexp(largest)[1]
        shift = np.where((largest > 0) & (np.abs(shift) > FAR), shift, 0)
        if shift.any():
            factor = self.steps.kind.asarray(np.ldexp(1.0, -shift))
            arrays = {name: a * self._spread(factor, name) for name, a in arrays.items()}
            self.exponent = self.exponent + shift
        self.arrays = arrays

    def _spread(self, factor: Array, name: str) -> Array:
        return self.steps.kind.xp.reshape(factor, (*factor.shape, *(1 for _ in self.steps.shapes[name])))

    def log_norms(self) -> np.ndarray:
        """(*rows, B), or (B,): the natural logarithm of the norm, −∞ for zero."""
        joined = self.steps.join(self.arrays)
        norms = norm_last(joined)
        if self.jointly:
            norms = norm_last(self.steps.kind.xp.matrix_transpose(norms)) if norms.ndim > 1 else norms
        with np.errstate(divide="ignore"):
            return np.log(to_numpy(norms).astype(float)) + self.exponent * math.log(2.0)

    def scaled(self) -> Scaled:
        """What is carried: vectors (*rows, B, d), or if jointly the matrices (B, rows, d)."""
        xp = self.steps.kind.xp
        joined = self.steps.join(self.arrays)
        if self.jointly:
            joined = xp.permute_dims(joined, (1, 0, 2))
            norms = norm_last(xp.reshape(joined, (joined.shape[0], -1)))[..., None]
        else:
            norms = norm_last(joined)
        safe = xp.where(norms > 0, norms, xp.ones_like(norms))
        return Scaled(joined / safe[..., None], self.log_norms())
