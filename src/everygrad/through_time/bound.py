"""How much a step can make of a gradient at most, from the norms of its parts, beside what it does."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.engines import to_numpy
from everygrad.graph.elementwise import Elementwise
from everygrad.jacobians import Dense, Diagonal, Identity, Jacobian, Product, Row, Selection, Sum, Weight, Zero
from everygrad.through_time.products import Progress, backward
from everygrad.through_time.scaled import Carried
from everygrad.through_time.source import Source, present, recurrence
from everygrad.through_time.steps import Steps
from everygrad.through_time.text import number, spread_out, table


@final
@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """Spectral norms (largest singular values) of state Jacobians, and what they are at most.

    - ``step_bound``, ``step_norm`` (T, B): of ∂s_t/∂s_{t−1}, the bound and what is observed.
    - ``log_bound``, ``log_norm`` (T + 1, B): natural logarithms for ∂s_t/∂s_k, t the last step, k = t, t − 1, ..., −1
      (the initial state).
    - ``always``: a bound on each step whatever the input, for the Elman network ‖W‖·max g′ over all arguments. Below
      1, gradients must vanish. None for gated cells: there is none, since states may grow without limit.
    - ``recurrent_norm`` ‖W‖ and ``slope`` (T, B), max_p g′(a_t[p]): whose product is ``step_bound`` in an Elman
      network. None for other cells, where it comes from the norms of the blocks.
    """

    step_bound: np.ndarray
    step_norm: np.ndarray
    log_bound: np.ndarray
    log_norm: np.ndarray
    always: float | None
    recurrent_norm: float | None
    slope: np.ndarray | None

    @property
    def must_vanish(self) -> bool:
        """Whether the bound that holds for any input is below 1: all gradients then vanish exponentially."""
        return self.always is not None and self.always < 1

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; None for the logarithm of 0."""
        logs = {"log_bound": self.log_bound, "log_norm": self.log_norm}
        known = {name: [[x if np.isfinite(x) else None for x in row] for row in a.tolist()] for name, a in logs.items()}
        steps = {"step_bound": self.step_bound.tolist(), "step_norm": self.step_norm.tolist()}
        slope = None if self.slope is None else self.slope.tolist()
        return {**steps, **known, "always": self.always, "recurrent_norm": self.recurrent_norm, "slope": slope}

    def __str__(self) -> str:
        rows = []
        for i in spread_out(len(self.step_norm)):
            lag = len(self.step_norm) - i
            logs = (self.log_norm[lag].max() / np.log(10), self.log_bound[lag].max() / np.log(10))
            texts = (f"10^{number(x)}" for x in logs)
            rows.append([str(i), number(self.step_norm[i].max()), number(self.step_bound[i].max()), *texts])
        head = ("step", "‖∂s_t/∂s_t−1‖", "at most", "‖∂s_T/∂s_t−1‖", "at most")
        title = "Largest over the samples"
        if self.recurrent_norm is not None and self.slope is not None:
            seen = f"‖W‖ = {number(self.recurrent_norm)}, largest g′ seen {number(self.slope.max())}"
            title = f"{seen}. {title}"
        if self.always is None:
            end = "No bound holds for any input: the slopes of this cell depend on its gates"
        else:
            end = f"For any input a step is at most {number(self.always)}"
            end += ": gradients must vanish" if self.must_vanish else ": gradients may explode"
        return table(title, head, rows) + "\n" + end


def bound(source: Source, *rest: Any, layer: str = "l0", progress: Progress | None = None) -> Bound:
    """The bound of Pascanu, Mikolov and Bengio (2013), ‖∂s_t/∂s_{t−1}‖ <= ‖W‖·max_p g′(a_t[p]), and what is observed.

    For any cell: the norm of a path is at most the product of the norms along it, of several paths their sum, and of
    a matrix of blocks the norm of the matrix of their norms (LSTM: 2 × 2). For the Elman network this is ‖W‖·max g′.
    A product of steps is at most the product of those small matrices. Cost: for each step and sample two SVDs of
    d × d matrices, and d rows pulled twice.
    """
    run = recurrence(source, rest, layer).run
    steps = Steps(run, merge=False)  # the parts, one by one
    T, B, S = steps.count, run.batch, len(steps.states)
    N = _block_norms(steps, {node: [(name, _norm(J)) for name, J in edges] for node, edges in steps.edges.items()})
    N = np.where(present(run)[..., None, None], np.broadcast_to(N, (T, B, S, S)), np.eye(S))
    carried = Carried(steps, steps.identity(), jointly=True)
    observed, log_norm = [], [np.zeros(B)]
    for j in backward(steps, carried, T - 1, -1, progress):
        log_norm.append(carried.scaled().log_singular_values()[:, 0])
        rows = steps.join(steps.back(steps.identity(), j + 1))
        observed.append(np.linalg.norm(np.moveaxis(to_numpy(rows), 1, 0), 2, axis=(-2, -1)))
    shared, slope = _elman(steps)
    return Bound(
        step_bound=_spectral(N),
        step_norm=np.stack(observed[::-1]).astype(float),
        log_bound=_log_products(N),
        log_norm=np.stack(log_norm),
        always=_always(steps),
        recurrent_norm=shared,
        slope=None if slope is None else np.broadcast_to(slope, (T, B)),
    )


def _norm(J: Jacobian) -> np.ndarray:
    """At least the spectral norm of each sample's operator, and exactly that if it has no parts: (*batch)."""
    match J:
        case Identity():
            return np.ones(())
        case Zero():
            return np.zeros(())
        case Diagonal():
            return np.abs(to_numpy(J.flat)).max(-1).astype(float)
        case Dense():
            return _spectral(to_numpy(J.A).astype(float))
        case Selection():
            read = J.index[J.index >= 0]
            return np.sqrt(np.bincount(read).max(initial=0).astype(float))
        case Row():
            return np.linalg.norm(to_numpy(J.flat).astype(float), axis=-1)
        case Weight():
            return _norm(J.M) * np.linalg.norm(to_numpy(J.h).astype(float), axis=-1)
        case Sum():
            return np.sum(np.broadcast_arrays(*map(_norm, J.terms)), axis=0)
        case Product():
            return np.prod(np.broadcast_arrays(*map(_norm, J.factors)), axis=0)
    return to_numpy(J.norm()).astype(float)  # a derivative by a table of rows; Frobenius is at least spectral


def _spectral(A: np.ndarray) -> np.ndarray:
    return np.linalg.norm(A, 2, axis=(-2, -1))


Norms = dict[str, list[tuple[str, Any]]]


def _block_norms(steps: Steps, norms: Norms) -> np.ndarray:
    """(..., S, S): a bound on the norm of ∂(state i)_t/∂(state j)_{t−1}, from one of each edge."""
    columns = []
    for _, start in steps.states:
        found: dict[str, Any] = {start: np.ones(())}
        for node, edges in norms.items():
            for name, n in edges:
                if name in found:
                    found[node] = found.get(node, 0.0) + n * found[name]
        columns.append([found.get(name, np.zeros(())) for name, _ in steps.states])
    lead = np.broadcast_shapes(*(np.shape(n) for column in columns for n in column))
    return np.stack([np.stack([np.broadcast_to(n, lead) for n in column], -1) for column in columns], -1)


def _log_products(N: np.ndarray) -> np.ndarray:
    """(T + 1, B): log ‖N_T ⋯ N_{k+1}‖ for k = T, T − 1, ...."""
    P, log_scale = np.broadcast_to(np.eye(N.shape[-1]), N.shape[1:]), np.zeros(N.shape[1])
    logs = [log_scale]
    for step in N[::-1]:
        P = P @ step
        largest = P.max((-2, -1))
        P = P / np.where(largest > 0, largest, 1.0)[:, None, None]
        with np.errstate(divide="ignore"):
            log_scale = log_scale + np.log(largest)
            logs.append(log_scale + np.where(largest > 0, np.log(_spectral(P)), 0.0))
    return np.stack(logs)


def _always(steps: Steps) -> float | None:
    """The bound with the steepest slopes that the activations have at all; None if others depend on the values."""
    by_name = steps.run.cell.graph.by_name
    norms: Norms = {}
    for node, edges in steps.edges.items():
        operation = by_name[node].operation
        known = []
        for name, J in edges:
            if isinstance(operation, Elementwise):
                known.append((name, np.asarray(operation.steepest)))
            elif J.batch:
                return None
            else:
                known.append((name, _norm(J)))
        norms[node] = known
    found = float(_spectral(_block_norms(steps, norms)))
    return found if np.isfinite(found) else None


def _elman(steps: Steps) -> tuple[float | None, np.ndarray | None]:
    """‖W‖ and max g′ of each step, if the cell is a chain of one matrix and activations."""
    if len(steps.states) > 1 or any(len(edges) != 1 for edges in steps.edges.values()):
        return None, None
    chain = [J for ((_, J),) in steps.edges.values()]
    matrices = [J for J in chain if isinstance(J, Dense)]
    slopes = [_norm(J) for J in chain if isinstance(J, Diagonal)]
    if len(matrices) != 1 or matrices[0].batch or any(not isinstance(J, Dense | Diagonal | Identity) for J in chain):
        return None, None
    return float(_norm(matrices[0])), np.prod(np.broadcast_arrays(np.ones(()), *slopes), axis=0)
