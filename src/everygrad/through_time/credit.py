"""Itemised credit: ∂L_t/∂W = Σ_k ∂L_t/∂s_t · ∂s_t/∂s_k · ∂⁺s_k/∂W, term by term."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from everygrad.engines import Array, to_numpy
from everygrad.errors import InputError, NonFiniteError
from everygrad.graph.time import sweep
from everygrad.through_time.products import Progress
from everygrad.through_time.source import Recurrence, Source, recurrence
from everygrad.through_time.steps import Steps
from everygrad.through_time.terms import Terms, carried_back, groups, in_one
from everygrad.through_time.text import number, spread_out, table


@final
@dataclass(frozen=True, slots=True, eq=False)
class Credit:
    """The terms (t, k) of one parameter's gradient: what the loss at step t says about the use of W at step k.

    - ``norms`` (T, T): the norm of each term, summed over the samples; 0 for k > t.
    - ``shares`` (T, T): ⟨term, gradient⟩/‖gradient‖², signed; they add up to 1 (0 if the gradient is 0).
    - ``total``: the sum of all terms; ``gradient``: the same from an ordinary backward pass.

    L_t is the part of the loss that arrives at step t; what arrives at the last state counts for each sample's own
    last step. Arrays are NumPy's in float64, ``total`` and ``gradient`` like the parameter.
    """

    parameter: str
    norms: np.ndarray
    shares: np.ndarray
    total: Array
    gradient: Array
    steps: Steps = field(repr=False)
    arriving: Mapping[str, Array] = field(repr=False)

    def term(self, t: int, k: int) -> Array:
        """One term, like the parameter. Cost: t − k + 1 pulls of one row."""
        self._in_range(t, k)
        for j, _, found in carried_back(self.steps, self.arriving, [t]):
            if j == k:
                return Terms(self.steps, self.parameter, found, k).rows()[0]
        raise AssertionError("the loop reaches every k <= t")

    def of_step(self, t: int) -> Array:
        """∂L_t/∂W = Σ_k term(t, k): what the loss at step t says. Cost: t + 1 pulls of one row."""
        self._in_range(t, t)
        total = self.steps.kind.zeros(self.total.shape)
        for k, _, found in carried_back(self.steps, self.arriving, [t]):
            total = total + Terms(self.steps, self.parameter, found, k).rows()[0]
        return total

    def at_step(self, k: int) -> Array:
        """Σ_t term(t, k): what the use of W at step k contributes to the gradient. Cost: T − k pulls of one row."""
        self._in_range(k, k)
        for j, found in in_one(self.steps, self.arriving):
            if j == k:
                return Terms(self.steps, self.parameter, found, k).rows()[0]
        raise AssertionError("the loop reaches every step")

    def lag_shares(self) -> np.ndarray:
        """(T,): the share of all terms with t − k = 0, 1, ...; they add up to 1."""
        T = len(self.shares)
        return np.array([np.trace(self.shares, -lag) for lag in range(T)])

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: the two tables and the norm of the gradient."""
        norm = float(np.linalg.norm(to_numpy(self.gradient)))
        tables = {"norms": self.norms.tolist(), "shares": self.shares.tolist()}
        return {"parameter": self.parameter, **tables, "gradient_norm": norm}

    def __str__(self) -> str:
        T = len(self.norms)
        lags = [0, *(2**i for i in range(T.bit_length()) if 2**i < T)]
        rows = []
        for t in spread_out(T):
            there = [number(self.norms[t, t - lag]) if lag <= t else "" for lag in lags]
            rows.append([str(t), *there, number(self.shares[t].sum())])
        rows.append(["share", *(number(x) for x in self.lag_shares()[lags]), number(self.shares.sum())])
        title = f"Norms of the terms of ∂L/∂{self.parameter} by t and lag t − k, {T} steps"
        return table(title, ("t", *(f"lag {lag}" for lag in lags), "share"), rows)

    def _in_range(self, t: int, k: int) -> None:
        T = len(self.norms)
        if not 0 <= k <= t < T:
            raise InputError(f"t={t}, k={k}: expected 0 <= k <= t < {T}; the terms with k > t are zero")


def credit(source: Source, *rest: Any, wrt: str, layer: str = "l0", progress: Progress | None = None) -> Credit:
    """The table of all terms (t, k) of one parameter's gradient, and any one of them; see `credit_tables`."""
    return credit_tables(source, *rest, wrt=(wrt,), layer=layer, progress=progress)[wrt]


def credit_tables(
    source: Source, *rest: Any, wrt: Sequence[str], layer: str = "l0", progress: Progress | None = None
) -> dict[str, Credit]:
    """The T × T tables of several parameters, from one loop: parameter -> `Credit`.

        ∂L/∂W = Σ_t Σ_{k <= t} ∂L_t/∂s_t · ∂s_t/∂s_k · ∂⁺s_k/∂W

    All t are carried back at once, ∂L_t/∂s_k of shape (rows, B, n), in groups that fit the memory; the t at which
    nothing arrives are left out. A term is Σ_b u_b ⊗ h_b with (rows, B, m) numbers u; its norm comes from a small
    product for each (t, k), never kept. ``progress`` is called with (steps done, steps in all). Raises
    `UnknownNameError`, `InputError` if no gradient is there. Cost: one backward pass, then T²/2 pulls of one row, each
    2·B·d² operations for each weight in the loop, and 2·B·m·min(B, i) for each weight's norm; memory O(T·B·d).
    """
    start: Recurrence = recurrence(source, rest, layer)
    start.need_gradient("itemised credit")
    arriving = start.arriving()
    steps = Steps(start.run, wrt=wrt, ends=tuple(arriving))
    T, zeros = steps.count, {name: steps.kind.zeros(start.run.shapes[name]) for name in wrt}
    swept = sweep(start.run, start.direct, start.final).parameters
    gradient, total = {name: swept.get(name, zeros[name]) for name in wrt}, dict(zeros)
    norms, shares = ({name: np.zeros((T, T)) for name in wrt} for _ in range(2))
    active = groups(steps, arrivals(arriving))
    done, all_steps = 0, sum(ts[-1] + 1 for ts in active)
    for ts in active:
        for k, rows, found in carried_back(steps, arriving, ts):
            for name in wrt:
                terms = Terms(steps, name, found, k)
                norms[name][rows, k] = _finite(to_numpy(terms.norms()), name, rows, k)
                shares[name][rows, k] = to_numpy(terms.along(gradient[name]))
                total[name] = total[name] + terms.firsts([len(rows)])[0]
            done += 1
            if progress:
                progress(done, all_steps)
    for name in wrt:
        size = float(np.linalg.norm(to_numpy(gradient[name]).astype(float)))
        shares[name] = shares[name] / size / size if size else shares[name]
    return {n: Credit(n, norms[n], shares[n], total[n], gradient[n], steps, arriving) for n in wrt}


def _finite(norms: np.ndarray, name: str, rows: list[int], k: int) -> np.ndarray:
    if not np.isfinite(norms).all():
        t = rows[int(np.flatnonzero(~np.isfinite(norms))[0])]
        raise NonFiniteError(f"the term (t={t}, k={k}) of {name!r} is not finite: look at the values of these steps")
    return norms


def arrivals(arriving: Mapping[str, Array]) -> list[int]:
    """The steps at which something arrives, ascending."""
    some = [(to_numpy(a) != 0).reshape(len(a), -1).any(1) for a in arriving.values()]
    return np.flatnonzero(np.any(some, axis=0)).tolist()
