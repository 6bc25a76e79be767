"""The Lyapunov spectrum of a run: the mean exponential rates at which small changes of the state grow or die."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.engines import Array, kind_of, to_numpy
from everygrad.errors import InputError, NonFiniteError
from everygrad.through_time.products import Progress
from everygrad.through_time.source import Source, present, recurrence
from everygrad.through_time.steps import Steps
from everygrad.through_time.text import number, table


@final
@dataclass(frozen=True, slots=True, eq=False)
class Lyapunov:
    """λ_1 >= λ_2 >= ... of each sample, natural logarithms per step.

    ``exponents`` (B, m), −∞ where a direction is lost altogether. ``growth`` (S, B, m): log |R_ii| of each step after
    the ``warmup``, whose mean over the steps that count is the exponent; the columns are not sorted. ``counted``
    (B): how many steps that is, those that a mask leaves out not counting. ``size``: d, so m = d is the whole spectrum.
    """

    exponents: np.ndarray
    growth: np.ndarray
    counted: np.ndarray
    warmup: int
    size: int

    def running(self) -> np.ndarray:
        """(S, B, m): the mean growth up to each step, to see whether it has settled. Not sorted."""
        return np.cumsum(self.growth, 0) / np.arange(1, len(self.growth) + 1)[:, None, None]

    @property
    def sums(self) -> np.ndarray:
        """(B): Σ λ_i; of the whole spectrum it is the mean of log |det ∂s_t/∂s_{t−1}|."""
        return self.exponents.sum(-1)

    @property
    def dimension(self) -> np.ndarray:
        """(B): the Kaplan–Yorke dimension j + (λ_1 + ... + λ_j)/|λ_{j+1}|, j the last with a sum >= 0.

        m if all sums that were computed are: then it is at least that.
        """
        return np.array([_kaplan_yorke(e) for e in self.exponents])

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; None for −∞."""
        listed = [[x if np.isfinite(x) else None for x in row] for row in self.exponents.tolist()]
        sizes = {"warmup": self.warmup, "size": self.size}
        return {"exponents": listed, "counted": self.counted.tolist(), **sizes, "dimension": self.dimension.tolist()}

    def __str__(self) -> str:
        B, m = self.exponents.shape
        rows = []
        for i in range(m) if m <= 10 else [*range(8), m - 1]:
            e = self.exponents[:, i]
            rows.append([f"λ_{i + 1}", *map(number, (e.min(), np.median(e), e.max()))])
        title = f"Lyapunov exponents per step, {m} of {self.size}, {B} samples, {int(self.counted.max())} steps"
        return table(title, ("", "least", "median", "most"), rows)


def lyapunov(
    source: Source,
    *rest: Any,
    layer: str = "l0",
    count: int | None = None,
    warmup: int = 0,
    start: Array | None = None,
    progress: Progress | None = None,
) -> Lyapunov:
    """The Lyapunov exponents along a run, by QR (Benettin, Galgani, Giorgilli, Strelcyn 1980).

    Q_0 orthonormal; at each step J_t Q_{t−1} = Q_t R_t; λ_i = mean over t of log |R_t[i, i]|, natural logarithms per
    step. The largest is what bounds gradients in the long run: λ_1 < 0, all of them vanish; λ_1 > 0, some explode.
    They are of the map that the run's own inputs make, and of as many steps as it has. ``count``: how many of the
    largest (by default all d). ``warmup``: steps at the beginning in which Q only turns towards them, not counted.
    ``start``: Q_0, (d, m) with orthonormal columns, by default those of the identity (which misses a direction only if
    the Jacobians leave a subspace of theirs alone). Raises `InputError`, `NonFiniteError` naming the step. Cost: for
    each step and sample m pushes, 2·m·d² operations for each weight, and a QR decomposition, 2·d·m².
    """
    run = recurrence(source, rest, layer).run
    steps = Steps(run)
    Q = _columns(steps, count, start)
    if not 0 <= warmup < steps.count:
        raise InputError(f"warmup={warmup}: expected at least one step beyond it, of {steps.count}")
    xp, live = steps.kind.xp, present(run)
    growth = []
    for t in range(steps.count):
        columns = xp.permute_dims(Q, (2, 0, 1))  # (m, B, d)
        pushed = steps.join(steps.push(steps.split(columns), t))
        Q, R = xp.linalg.qr(xp.permute_dims(pushed, (1, 2, 0)))
        size = np.abs(to_numpy(xp.linalg.diagonal(R))).astype(float)
        if not np.isfinite(size).all():
            raise NonFiniteError(f"the state Jacobian at step {t} is not finite: look at the values of that step")
        with np.errstate(divide="ignore"):
            growth.append(np.where(live[t][:, None], np.log(size), 0.0))
        if progress:
            progress(t + 1, steps.count)
    logs = np.stack(growth[warmup:])
    counted = live[warmup:].sum(0)
    exponents = logs.sum(0) / np.maximum(counted, 1)[:, None]
    return Lyapunov(-np.sort(-exponents, -1), logs, counted, warmup, steps.size)


def _columns(steps: Steps, count: int | None, start: Array | None) -> Array:
    """Q_0 for all samples, (B, d, m)."""
    d, xp = steps.size, steps.kind.xp
    if start is None:
        m = d if count is None else count
        if not 1 <= m <= d:
            raise InputError(f"count={count}: expected 1 to {d}, the size of the state")
        start = steps.kind.eye(d)[:, :m]
    elif count not in (None, start.shape[-1]) or tuple(start.shape[:-1]) != (d,) or not 1 <= start.shape[-1] <= d:
        raise InputError(f"start has shape {tuple(start.shape)}, expected ({d}, m) with m = count, at most {d}")
    elif kind_of(start) != steps.kind or not _orthonormal(start):
        raise InputError(f"start must be of {steps.kind.dtype} and have orthonormal columns: take Q of a QR of it")
    return xp.broadcast_to(start, (steps.run.batch, *start.shape))


def _orthonormal(start: Array) -> bool:
    Q = to_numpy(start)
    return bool(np.abs(Q.T @ Q - np.eye(Q.shape[1])).max() <= 100 * np.finfo(Q.dtype).eps * len(Q))


def _kaplan_yorke(exponents: np.ndarray) -> float:
    sums = np.cumsum(exponents)
    below = np.flatnonzero(~(sums >= 0))
    if not below.size:
        return float(len(exponents))
    j = int(below[0])
    return float(j + (sums[j - 1] if j else 0.0) / abs(exponents[j])) if np.isfinite(exponents[j]) else float(j)
