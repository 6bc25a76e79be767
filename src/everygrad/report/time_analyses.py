"""What the report shows of a layer's state Jacobians and of its credit, from the analyses of `through_time`."""

import math
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from everygrad.engines import to_numpy
from everygrad.graph.affine import Affine
from everygrad.graph.time import Run
from everygrad.report.maps import spaced
from everygrad.report.time_record import CreditTable, Spectrum
from everygrad.through_time import Recurrence, bound, credit_tables, decay, lyapunov, state_jacobian

MOST_JACOBIANS = 32
"""Steps whose state Jacobian is taken apart."""
SEQUENCES = 4
"""Sequences of the batch whose state Jacobians are looked at."""
EXPONENTS = 3
"""Lyapunov exponents."""
MOST_BACK = 256
"""Steps over which state Jacobians are multiplied, the last ones."""
MOST_WEIGHTS = 4
"""Weights whose credit is itemised."""
MOST_CELLS = 128
"""Rows and columns of a credit table that is shown."""
WINDOW = 1024
"""Steps of a credit table at most, the last ones: it has the square of their number."""
MOST_WORK = 2e9
"""Floating-point operations on one of them, about: what is looked at is cut to that."""
FEWEST = 8
"""With fewer steps than this nothing is shown."""


def finite(source: Recurrence) -> bool:
    """Whether all values of the run, and all that arrives, are numbers."""
    arrays = [*source.run.values.values(), *source.direct.values(), *source.final.values()]
    return all(bool(np.isfinite(to_numpy(array)).all()) for array in arrays)


def horizon_of(source: Recurrence) -> float | None:
    """The median horizon over the sequences, None if nothing arrives."""
    if not source.direct and not source.final:
        return None
    there = decay(source).horizon()
    there = there[~np.isnan(there)]
    return float(np.median(there)) if there.size else None


def spectrum_of(source: Recurrence, reverse: bool) -> Spectrum | None:
    """The state Jacobians of the longest sequences: as many of them, and of their last steps, as `MOST_WORK` allows."""
    rows, first, last = _longest(source.run)
    matrices = int(MOST_WORK / (4 * _size(source.run) ** 3))
    rows = rows[: max(1, matrices // min(last - first, MOST_BACK))]
    first = max(first, last - MOST_BACK, last - matrices // max(len(rows), 1))
    T, B, d = last - first, len(rows), _size(source.run)
    if not B or min(source.run.steps, FEWEST) > T:
        return None
    run = part_of(source.run, rows, first, last)
    jacobian = state_jacobian(run)
    at = spaced(T, MOST_JACOBIANS)
    sigma = np.stack([np.median(jacobian.singular_values(int(t)), axis=0) for t in at])
    radius = np.array([np.median(jacobian.spectral_radius(int(t))) for t in at])
    limits = bound(run)
    back = np.arange(T + 1)
    exponents = lyapunov(run, count=min(EXPONENTS, d)).exponents

    def in_time(t: int) -> int:
        """A step of the part as a step in the order of time."""
        return source.run.steps - 1 - (first + t) if reverse else first + t

    return Spectrum(
        sequences=B,
        at=tuple(in_time(int(t)) for t in at),
        largest=sigma[:, 0],
        middle=np.median(sigma, axis=1),
        smallest=sigma[:, -1],
        radius=radius,
        back=tuple(in_time(T - 1 - int(k)) for k in back),
        log_norm=np.median(limits.log_norm[back], axis=1) / math.log(10),
        log_bound=np.median(limits.log_bound[back], axis=1) / math.log(10),
        exponents=tuple(map(float, np.median(exponents, axis=0))),
        always=limits.always,
    )


def _size(run: Run) -> int:
    """d, the size of all states together."""
    return sum(math.prod(run.shapes[name]) for name, _ in run.cell.states)


def _longest(run: Run) -> tuple[np.ndarray, int, int]:
    """Some sequences that have all steps from the first to the last one of the longest: (sequences, first, end)."""
    mask = np.ones((run.steps, run.batch), bool) if run.mask is None else to_numpy(run.mask).astype(bool)
    there = np.flatnonzero(mask[:, int(mask.sum(0).argmax())])
    first, last = (int(there[0]), int(there[-1]) + 1) if there.size else (0, run.steps)
    rows = np.flatnonzero(mask[first:last].all(0))
    return rows[:SEQUENCES], first, last


def part_of(run: Run, rows: np.ndarray, first: int, last: int) -> Run:
    """The same run of some sequences and steps, which all of them have."""
    chosen = run.kind.indices(rows)
    values = {name: v[first:last][:, chosen] if run.over_time(name) else v for name, v in run.values.items()}
    final = {name: v[chosen] for name, v in run.final.items()}
    return replace(run, values=MappingProxyType(values), final=MappingProxyType(final), mask=None)


def credit_of(source: Recurrence, suffix: str, reverse: bool) -> tuple[CreditTable, ...]:
    """The credit tables of the matrices that multiply a state, of as many last steps as `MOST_WORK` allows.

    What happens before those steps does not change them: a gradient comes to a step through later ones only.
    """
    arriving = source.arriving() if source.direct or source.final else {}
    T, first, weights = source.run.steps, max(0, source.run.steps - WINDOW), matrices(source.run)
    speaks = np.zeros(T, bool)
    for g in arriving.values():
        speaks |= (to_numpy(g) != 0).reshape(T, -1).any(1)
    each = source.run.batch * _size(source.run) ** 2 * (1 + len(weights))
    while speaks[first:].sum() * (T - first) * each > MOST_WORK:
        first += -(-(T - first) // 8)
    rows = [t for t in range(first, T) if speaks[t]]
    if not rows or not weights or T - first < min(T, FEWEST):
        return ()
    run = _last_steps(source.run, first)
    tables = credit_tables(Recurrence(run, {name: g[first:] for name, g in arriving.items()}), wrt=weights)
    return tuple(_table(name + suffix, tables[name].norms, rows, first, reverse) for name in weights)


def matrices(run: Run) -> list[str]:
    """The parameters that multiply a previous state."""
    graph, before = run.cell.graph, {previous for _, previous in run.cell.states}
    found = [n.inputs[1] for n in graph.nodes if isinstance(n.operation, Affine) and n.inputs[0] in before]
    return [name for name in dict.fromkeys(found) if graph.by_name[name].role == "parameter"][:MOST_WEIGHTS]


def _last_steps(run: Run, first: int) -> Run:
    values = {name: v[first:] if run.over_time(name) else v for name, v in run.values.items()}
    return replace(run, values=MappingProxyType(values), mask=None if run.mask is None else run.mask[first:])


def _table(weight: str, norms: np.ndarray, rows: list[int], first: int, reverse: bool) -> CreditTable:
    """The largest norm of each range of steps, rows and columns in the order of time."""
    T = len(norms)
    every = -(-T // MOST_CELLS)
    starts = np.arange(0, T, every)
    largest = np.maximum.reduceat(np.maximum.reduceat(norms, starts, axis=0), starts, axis=1)
    kept = sorted({(t - first) // every for t in rows})
    values = largest[kept]
    at, columns = starts[kept] + first, starts + first
    if reverse:  # the last step of a range is the first in time
        last = first + T - 1
        ends = np.minimum(starts + every, T) - 1 + first
        values, at, columns = values[::-1, ::-1], (last - ends[kept])[::-1], (last - ends)[::-1]
    return CreditTable(weight, every, tuple(map(int, at)), tuple(map(int, columns)), values, float(values.max()))
