"""∂s_t/∂s_{t−1}: the state Jacobian, its blocks, and what it does to vectors."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.engines import Array, to_numpy
from everygrad.errors import InputError, unknown_name
from everygrad.jacobians import Diagonal, Jacobian
from everygrad.jacobians.shapes import norm_last
from everygrad.through_time.source import Source, recurrence
from everygrad.through_time.steps import Steps
from everygrad.through_time.tensor import at_steps
from everygrad.through_time.text import number, spread_out, table


@final
@dataclass(frozen=True, slots=True, eq=False)
class StateJacobian:
    """J_t = ∂s_t/∂s_{t−1} of every step and sample, for the stacked state s (LSTM: [h; c], then d = 2·units).

    Kept as the slopes along the edges of the cell; `push` and `pull` walk over them, so that no d × d array is
    formed. `dense`, `singular_values`, `spectral_radius` form the matrices, of one step at a time.
    """

    steps: Steps

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the states, in the order of stacking."""
        return tuple(self.steps.sizes)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, B, d, d)."""
        return (self.steps.count, self.steps.run.batch, self.steps.size, self.steps.size)

    def block(self, of: str, wrt: str) -> Jacobian:
        """∂of_t/∂wrt_{t−1} for two states, structured, with the leading axes (T, B).

        Its type says what the cell does: Diagonal for ∂c/∂c_prev of an LSTM, Dense for ∂h/∂h_prev. A Dense has
        d² numbers for each step and sample; for long sequences `push` and `pull` are the way.
        """
        run, previous = self.steps.run, dict(self.steps.states)
        for name in (of, wrt):
            if name not in previous:
                raise unknown_name("state", name, previous)
        J = run.jacobian(of, previous[wrt])
        if run.mask is None:
            return J
        dead = run.kind.xp.where(run.mask, run.kind.zeros(()), run.kind.ones(()))
        J = at_steps(run, J)
        return J + Diagonal(dead[..., None] * run.kind.ones(J.out_shape)) if of == wrt else J

    @property
    def blocks(self) -> dict[tuple[str, str], Jacobian]:
        """(of, wrt) -> `block`, for all pairs of states."""
        return {(of, wrt): self.block(of, wrt) for of in self.states for wrt in self.states}

    def push(self, v: Array, t: int | None = None) -> Array:
        """J_t v: (*rows, B, d) for the step ``t``, or (*rows, T, B, d) for all steps at once."""
        return self.steps.join(self.steps.push(self.steps.split(v), self._step(t)))

    def pull(self, g: Array, t: int | None = None) -> Array:
        """J_tᵀ g, what a gradient of s_t gives for s_{t−1}; shapes as for `push`."""
        return self.steps.join(self.steps.back(self.steps.split(g), self._step(t)))

    def dense(self, t: int) -> Array:
        """J_t as an array (B, d, d), rows s_t, columns s_{t−1}. Cost: d rows pulled, 2·d³ for each weight."""
        rows = self.steps.join(self.steps.back(self.steps.identity(), self._step(t)))
        return self.steps.kind.xp.permute_dims(rows, (1, 0, 2))

    def norms(self) -> np.ndarray:
        """‖J_t‖ (Frobenius), (T, B)."""
        xp, (_, B, d, _) = self.steps.kind.xp, self.shape
        flat = (norm_last(xp.reshape(self.dense(t), (B, d * d))) for t in range(self.steps.count))
        return np.stack([to_numpy(n) for n in flat])

    def singular_values(self, t: int | None = None) -> np.ndarray:
        """In descending order: (B, d) of the step ``t``, (T, B, d) of all. Cost: one SVD for each matrix."""
        if t is None:
            return np.stack([self.singular_values(j) for j in range(self.steps.count)])
        return np.linalg.svd(to_numpy(self.dense(t)), compute_uv=False)

    def spectral_radius(self, t: int | None = None) -> np.ndarray:
        """max |λ|: (B,) of the step ``t``, (T, B) of all. Cost: the eigenvalues of each matrix."""
        if t is None:
            return np.stack([self.spectral_radius(j) for j in range(self.steps.count)])
        return np.abs(np.linalg.eigvals(to_numpy(self.dense(t)))).max(-1)

    def _step(self, t: int | None) -> int | None:
        if t is not None and not 0 <= t < self.steps.count:
            raise InputError(f"step {t} is out of range: there are {self.steps.count}, counted from 0")
        return t

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: sizes, and the largest singular value and spectral radius of each step, (T, B)."""
        return {
            "states": dict(self.steps.sizes),
            "largest_singular_value": self.singular_values().max(-1).tolist(),
            "spectral_radius": self.spectral_radius().tolist(),
        }

    def __str__(self) -> str:
        T, B, d, _ = self.shape
        rows = []
        for t in spread_out(T):
            sigma, radius = self.singular_values(t), self.spectral_radius(t)
            values = (sigma.max(), sigma[:, 0].mean(), sigma.min(), radius.max(), radius.mean())
            rows.append([str(t), *map(number, values)])
        head = ("step", "largest σ", "mean of largest σ", "smallest σ", "spectral radius", "its mean")
        stacked = "; ".join(self.states)
        return table(f"∂s_t/∂s_t−1 with s = [{stacked}], d = {d}, {T} steps of {B} samples", head, rows)


def state_jacobian(source: Source, *rest: Any, layer: str = "l0") -> StateJacobian:
    """∂s_t/∂s_{t−1} of every step and sample of one layer.

    ``source``: a network followed by its parameters and data, a `Gradients`, a `Trace`, a `Run` or a `Recurrence`.
    Cost: the slopes of all steps, elementwise.
    """
    return StateJacobian(Steps(recurrence(source, rest, layer).run))
