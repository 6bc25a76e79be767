"""Truncated backpropagation through time, and what it leaves out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, final

import numpy as np

from everygrad.engines import Array, to_numpy
from everygrad.errors import InputError, unknown_name
from everygrad.through_time.credit import arrivals
from everygrad.through_time.products import Progress
from everygrad.through_time.source import Source, recurrence
from everygrad.through_time.steps import Steps
from everygrad.through_time.terms import Terms, carried_back, groups, in_one
from everygrad.through_time.text import number, table

ALL = "all"
"""All parameters as one vector."""


@final
@dataclass(frozen=True, slots=True)
class Bias:
    """A truncated gradient ĝ against the full g: ‖ĝ‖, ‖ĝ − g‖, ‖ĝ − g‖/‖g‖, and the cosine of the angle between them.

    The last two are NaN if a norm that they divide by is 0.
    """

    norm: float
    bias: float
    relative: float
    cosine: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class Truncation:
    """Gradients of truncated backpropagation for several lengths τ, and their bias against the full one.

    ``gradients``: τ -> parameter -> array; ``full``: parameter -> array; ``biases``: (τ, parameter) -> `Bias`, with
    the parameter ``"all"`` for all of them as one vector.
    """

    scheme: str
    windows: tuple[int, ...]
    full: Mapping[str, Array]
    gradients: Mapping[int, Mapping[str, Array]]
    biases: Mapping[tuple[int, str], Bias]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: the biases, not the arrays; None for NaN."""
        rows = []
        for (window, name), b in self.biases.items():
            numbers = {"norm": b.norm, "bias": b.bias, "relative": b.relative, "cosine": b.cosine}
            clean = {key: x if np.isfinite(x) else None for key, x in numbers.items()}
            rows.append({"window": window, "parameter": name, **clean})
        return {"scheme": self.scheme, "windows": list(self.windows), "biases": rows}

    def __str__(self) -> str:
        rows = []
        for window in self.windows:
            b = self.biases[window, ALL]
            rows.append([str(window), *map(number, (b.norm, b.bias, b.relative, b.cosine))])
        what = "terms with t − k < τ" if self.scheme == "window" else "detached every τ steps"
        names = ", ".join(self.full)
        title = f"Truncated backpropagation through time, {what}; gradient of {names}"
        return table(title, ("τ", "norm", "bias", "bias/norm of full", "cosine"), rows)


def truncated(
    source: Source,
    *rest: Any,
    windows: Sequence[int],
    scheme: Literal["window", "detach"] = "window",
    wrt: Sequence[str] | None = None,
    layer: str = "l0",
    progress: Progress | None = None,
) -> Truncation:
    """What is lost by truncating backpropagation through time at τ steps, for all τ in ``windows`` in one go.

    ``scheme="window"``: of each loss L_t the terms with t − k < τ, ∂L̂/∂W = Σ_t Σ_{t−τ < k <= t} term(t, k).
    ``scheme="detach"``, what training loops do: the state is detached before steps 0, τ, 2τ, ..., so of L_t the terms
    back to the last of these. Both are the full gradient for τ >= T. ``wrt``: by default all parameters of the
    cell. What arrives at the layer from above is taken as it is in the full gradient. Raises `InputError` for τ < 1.
    Cost: window, one loop with at most max τ rows, T·τ pulls; detach, one backward loop with one row for each τ.
    """
    start = recurrence(source, rest, layer)
    start.need_gradient("truncated backpropagation")
    wrong = [w for w in windows if not isinstance(w, int | np.integer) or w < 1]
    if wrong or not len(windows):
        raise InputError(f"windows={list(windows)}: expected whole numbers of steps, at least 1, such as (1, 10, 100)")
    if scheme not in ("window", "detach"):
        raise unknown_name("scheme", scheme, ("window", "detach"))
    taus = tuple(sorted({int(w) for w in windows}))
    arriving = start.arriving()
    names = tuple(start.run.cell.parameters if wrt is None else wrt)
    if not names:
        raise InputError("there is no parameter whose gradient could be truncated: the cell has none, or wrt is empty")
    steps = Steps(start.run, wrt=names, ends=tuple(arriving))
    if scheme == "detach":
        found = _detached(steps, arriving, names, (*taus, 0), progress)
    else:
        full = _detached(steps, arriving, names, (0,), None)
        found = [*_windows(steps, arriving, names, taus, progress), *full]
    gradients = {tau: MappingProxyType(g) for tau, g in zip(taus, found, strict=False)}
    biases = {}
    for tau in taus:
        for name in (*names, ALL):
            chosen = names if name == ALL else (name,)
            biases[tau, name] = _bias([gradients[tau][n] for n in chosen], [found[-1][n] for n in chosen])
    full = MappingProxyType(found[-1])
    return Truncation(scheme, taus, full, MappingProxyType(gradients), MappingProxyType(biases))


Gradient = dict[str, Array]


def _detached(
    steps: Steps,
    arriving: Mapping[str, Array],
    names: Sequence[str],
    cuts: Sequence[int],
    progress: Progress | None,
) -> list[Gradient]:
    """The gradients with the state detached every ``cuts`` steps (0: never)."""
    n, kind = len(cuts), steps.kind
    total = {name: kind.zeros((n, *steps.run.shapes[name])) for name in names}
    for k, found in in_one(steps, arriving, cuts):
        for name in names:
            total[name] = total[name] + Terms(steps, name, found, k).rows()
        if progress:
            progress(steps.count - k, steps.count)
    return [{name: total[name][i] for name in names} for i in range(n)]


def _windows(
    steps: Steps,
    arriving: Mapping[str, Array],
    names: Sequence[str],
    taus: Sequence[int],
    progress: Progress | None,
) -> list[Gradient]:
    """The sums of the terms with t − k < τ, for each τ."""
    total = [{name: steps.kind.zeros(steps.run.shapes[name]) for name in names} for _ in taus]
    active = groups(steps, arrivals(arriving))
    lengths = [ts[-1] - max(-1, ts[0] - taus[-1]) for ts in active]
    done = 0
    for ts in active:
        for k, rows, found in carried_back(steps, arriving, ts, window=taus[-1]):
            counts = [sum(t - k < tau for t in rows) for tau in taus]
            for name in names:
                for i, part in enumerate(Terms(steps, name, found, k).firsts(counts)):
                    total[i][name] = total[i][name] + part
            done += 1
            if progress:
                progress(done, sum(lengths))
    return total


def _bias(found: Sequence[Array], full: Sequence[Array]) -> Bias:
    a, b = (np.concatenate([to_numpy(x).astype(float).ravel() for x in xs]) for xs in (found, full))
    norm, size, bias = (float(np.linalg.norm(x)) for x in (a, b, a - b))
    cosine = float(a / norm @ (b / size)) if norm and size else float("nan")
    return Bias(norm, bias, bias / size if size else float("nan"), cosine)
