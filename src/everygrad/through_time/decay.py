"""How a gradient, or ∂s_t/∂s_k itself, shrinks or grows on its way back through time, and its horizon."""

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from everygrad.engines import Array, to_numpy
from everygrad.errors import InputError, unknown_name
from everygrad.through_time.products import Progress, backward, between
from everygrad.through_time.scaled import Carried, Scaled
from everygrad.through_time.source import Recurrence, Source, present, recurrence
from everygrad.through_time.steps import Steps
from everygrad.through_time.text import number, spread_out, table

FALLEN = 0.01
"""A gradient of which this part is left is said to be beyond its horizon."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Decay:
    """Norms on the way back: of ∂s_t/∂s_k (``of="state"``, Frobenius) or of ∂L_t/∂s_k (``of="gradient"``).

    ``steps`` (K): k = t, t − 1, ..., −1 (the initial state). ``log_norms`` (K, B): natural logarithms, −∞ where it is
    exactly zero, NaN at steps after a sample's own t. ``lags`` (K, B): how many steps lie between k and t; those
    that a mask leaves out do not count. ``start`` (B): each sample's t. ``matrices``: ∂s_t/∂s_k for each k, if asked.
    """

    of: str
    steps: np.ndarray
    log_norms: np.ndarray
    lags: np.ndarray
    start: np.ndarray
    matrices: tuple[Scaled, ...] = ()

    def horizon(self, fraction: float = FALLEN) -> np.ndarray:
        """(B): after how many steps the norm has first fallen to ``fraction`` of what it was at t; ∞ if it has not.

        Between two steps the logarithm of the norm is taken to be linear, so the answer need not be whole. If the
        norm becomes exactly 0, it is the first step at which it is. NaN for a sample at which nothing arrives.
        """
        if not 0 < fraction < 1:
            raise InputError(f"fraction={fraction}: expected a number between 0 and 1, such as {FALLEN}")
        return np.array([_crossing(self.lags[:, b], self.log_norms[:, b], fraction) for b in range(len(self.start))])

    def rates(self) -> np.ndarray:
        """(B): the mean change of log norm per step, from t to the farthest k; −∞ if it is zero there."""
        with np.errstate(invalid="ignore", divide="ignore"):
            first = np.array([self.log_norms[self.steps == t, b][0] for b, t in enumerate(self.start)])
            return (self.log_norms[-1] - first) / self.lags[-1]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; None where the norm is zero or there is none."""
        logs = [[x if np.isfinite(x) else None for x in row] for row in self.log_norms.tolist()]
        horizon = [x if np.isfinite(x) else None for x in self.horizon().tolist()]
        steps = {"steps": self.steps.tolist(), "lags": self.lags.tolist(), "start": self.start.tolist()}
        return {"of": self.of, **steps, "log_norms": logs, "horizon": horizon}

    def __str__(self) -> str:
        what = "∂s_t/∂s_k" if self.of == "state" else "∂L_t/∂s_k"
        rows = []
        for i in spread_out(len(self.steps), 10):
            logs = self.log_norms[i][~np.isnan(self.log_norms[i])] / np.log(10.0)
            span = (f"10^{number(logs.min())}", f"10^{number(np.median(logs))}", f"10^{number(logs.max())}")
            rows.append([str(self.steps[i]), *(span if logs.size else ("", "", ""))])
        found = self.horizon()
        reached = found[np.isfinite(found)]
        last = f"{number(np.median(reached))} steps (median of {reached.size})" if reached.size else "not reached"
        last += f"; beyond the sequence for {np.isinf(found).sum()}" if np.isinf(found).any() and reached.size else ""
        title = f"‖{what}‖ over k, of {len(self.start)} samples"
        return table(title, ("k", "least", "median", "most"), rows) + f"\nhorizon, to {FALLEN:.0%}: {last}"


def decay(
    source: Source,
    *rest: Any,
    of: Literal["gradient", "state"] = "gradient",
    layer: str = "l0",
    t: int | None = None,
    k: int = -1,
    matrices: bool = False,
    progress: Progress | None = None,
) -> Decay:
    """The norms of ∂L_t/∂s_k, or of ∂s_t/∂s_k, for one t and all steps from t back to ``k`` (−1: the initial state).

    ``of="gradient"``: L_t is the part of the loss that reads step t; ``t`` is by default the last step of each
    sample at which something arrives. The states are stacked (LSTM: [h; c]). ``of="state"``: the product of state
    Jacobians from the last step, or from ``t``; with ``matrices`` each of them is kept. All norms are carried with a
    separate scale. Cost: one pull per step, of one row (gradient) or d rows (state) for each sample. Raises
    `InputError` if no gradient is there, or for steps out of range, `NonFiniteError` naming the step.
    """
    start_from = recurrence(source, rest, layer)
    if of == "state":
        return _of_state(start_from, t, k, matrices, progress)
    if of != "gradient":
        raise unknown_name("kind of decay", of, ("gradient", "state"))
    return _of_gradient(start_from, t, k, progress)


def _of_state(source: Recurrence, t: int | None, k: int, matrices: bool, progress: Progress | None) -> Decay:
    steps = Steps(source.run)
    t, k = between(steps, t, k)
    carried = Carried(steps, steps.identity(), jointly=True)
    logs, kept = [carried.log_norms()], [carried.scaled()] if matrices else []
    for _ in backward(steps, carried, t, k, progress):
        logs.append(carried.log_norms())
        kept += [carried.scaled()] if matrices else []
    start = np.full(source.run.batch, t)
    there = np.arange(t, k - 1, -1)
    return Decay("state", there, np.stack(logs), _lags(source, there, start), start, tuple(kept))


def _of_gradient(source: Recurrence, t: int | None, k: int, progress: Progress | None) -> Decay:
    source.need_gradient("the decay of a gradient")
    arriving = source.arriving()
    steps = Steps(source.run, ends=tuple(arriving))
    t, k = between(steps, t, k) if t is not None else (None, between(steps, None, k)[1])
    start = _last_arrival(arriving) if t is None else np.full(source.run.batch, t)
    kind, xp = steps.kind, steps.kind.xp
    zeros = {name: kind.zeros((source.run.batch, *shape)) for name, shape in steps.shapes.items()}
    carried = Carried(steps, zeros, jointly=False)
    first = max(int(start.max()), k)
    logs = []
    for j in range(first, k - 1, -1):
        here = start == j
        g = dict(carried.arrays)
        if here.any():
            now = kind.indices(here)
            for name, a in arriving.items():
                term = xp.where(xp.reshape(now, (-1, *(1 for _ in a.shape[2:]))), a[j], kind.zeros(()))
                g[name] = g[name] + term if name in g else term
            carried.arrays = {name: g[name] for name in zeros}
        logs.append(np.where(start >= j, carried.log_norms(), np.nan))
        if j > k:
            found = steps.before(steps.pull(g, j), (source.run.batch,))
            carried.put(found, f"the gradient of the states before step {j}")
            if progress:
                progress(first - j + 1, first - k)
    there = np.arange(first, k - 1, -1)
    return Decay("gradient", there, np.stack(logs), _lags(source, there, start), start)


def _last_arrival(arriving: dict[str, Array]) -> np.ndarray:
    """(B): the last step of each sample at which something arrives, −1 if nothing does."""
    some = np.any([(to_numpy(a) != 0).reshape(*a.shape[:2], -1).any(-1) for a in arriving.values()], axis=0)
    steps = np.arange(some.shape[0])[:, None]
    return np.where(some, steps, -1).max(0)


def _lags(source: Recurrence, there: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(K, B): how many steps of each sample lie after ``there`` and not after its start."""
    live = present(source.run)
    until = np.concatenate([np.zeros((1, live.shape[1]), int), np.cumsum(live, 0)])  # before step 0, after it, ...
    return np.maximum(until[start + 1, np.arange(len(start))] - until[there + 1], 0)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Horizon:
    """``steps`` (B): after how many steps the norm has fallen to ``fraction``; ∞ if it has not within the sequence."""

    steps: np.ndarray
    fraction: float
    decay: Decay

    @property
    def median(self) -> float:
        """The median over the samples, ∞ if half of them do not reach it."""
        there = self.steps[~np.isnan(self.steps)]
        return float(np.median(there)) if there.size else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; None where the horizon is not reached."""
        found = [x if np.isfinite(x) else None for x in self.steps.tolist()]
        return {"fraction": self.fraction, "steps": found, "of": self.decay.of}

    def __str__(self) -> str:
        what = "∂s_t/∂s_k" if self.decay.of == "state" else "∂L_t/∂s_k"
        reached = self.steps[np.isfinite(self.steps)]
        if not reached.size:
            return f"‖{what}‖ does not fall to {self.fraction:.2g} within the sequence"
        span = f"{number(reached.min())} to {number(reached.max())} steps, median {number(np.median(reached))}"
        return f"‖{what}‖ falls to {self.fraction:.2g} after {span} ({reached.size} of {self.steps.size} samples)"


def horizon(
    source: Source,
    *rest: Any,
    of: Literal["gradient", "state"] = "gradient",
    fraction: float = FALLEN,
    layer: str = "l0",
    t: int | None = None,
    progress: Progress | None = None,
) -> Horizon:
    """How far back the network can learn: after how many steps a gradient has fallen to ``fraction`` (1 %).

    See `decay` for ``of``, ``t`` and the cost, `Decay.horizon` for what is counted.
    """
    found = decay(source, *rest, of=of, layer=layer, t=t, progress=progress)
    return Horizon(found.horizon(fraction), fraction, found)


def _crossing(lags: np.ndarray, logs: np.ndarray, fraction: float) -> float:
    """The lag at which exp(logs) has fallen to ``fraction`` of its first value that is there."""
    there = ~np.isnan(logs)
    lags, logs = lags[there], logs[there]
    if np.isneginf(logs).all():
        return float("nan")
    first = int(np.argmax(logs > -np.inf))  # what arrives at a gate only reaches the states one step earlier
    lags, logs = lags[first:] - lags[first], logs[first:]
    level = logs[0] + np.log(fraction)
    below = np.flatnonzero(logs <= level)
    if not below.size:
        return float("inf")
    i = int(below[0])
    if np.isneginf(logs[i]):
        return float(lags[i])
    part = (logs[i - 1] - level) / (logs[i - 1] - logs[i])
    return float(lags[i - 1] + part * (lags[i] - lags[i - 1]))
