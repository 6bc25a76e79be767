"""The dot test: ⟨J v, g⟩ = ⟨v, Jᵀ g⟩ for every local Jacobian of a trace, push against pull."""

from dataclasses import dataclass
from typing import final

import numpy as np

from everygrad.backprop import Trace
from everygrad.checks.tolerance import tolerance_for
from everygrad.engines import Array, to_numpy
from everygrad.errors import CheckFailed


@final
@dataclass(frozen=True, slots=True)
class AdjointRow:
    """One edge of the graph: the local Jacobian ``kind`` of ``name`` with respect to ``operand``."""

    name: str
    slot: int
    operand: str
    kind: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance


@final
@dataclass(frozen=True, slots=True)
class AdjointResult:
    """All edges; ``print`` for the table, ``raise_if_wrong()`` in a test."""

    rows: tuple[AdjointRow, ...]

    @property
    def ok(self) -> bool:
        return all(row.ok for row in self.rows)

    def raise_if_wrong(self) -> None:
        """Raise `CheckFailed` with the table if push and pull of an edge are not adjoint."""
        if not self.ok:
            raise CheckFailed(str(self))

    def __str__(self) -> str:
        cells = [(f"d{r.name}/d{r.operand}", r.kind, f"{r.error:.1e}", "ok" if r.ok else "WRONG") for r in self.rows]
        table = [("local Jacobian", "type", "error", ""), *cells]
        widths = [max(len(row[i]) for row in table) for i in range(4)]
        return "\n".join("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in table)


def adjoint_check(trace: Trace, seed: int = 0, tol: float | None = None) -> AdjointResult:
    """Whether J v (push) and Jᵀ g (pull) of each local Jacobian belong to the same J, for random v and g.

    The error is |⟨J v, g⟩ − ⟨v, Jᵀ g⟩| / (‖J v‖ ‖g‖). This says nothing about whether J is the derivative:
    `check` does. It is for a structured type or an operation of one's own. Cost: a push and a pull for
    each edge.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for node in trace.nodes:
        for slot, operand in enumerate(node.inputs):
            if trace.differentiable(node, slot):
                J = trace.local(node, slot)
                v, g = (_random(trace, rng, name) for name in (operand, node.name))
                error = _error(J.push(v), g, v, J.pull(g, total=node.leads[slot] == 0))
                tolerance = tolerance_for(to_numpy(g).dtype) if tol is None else tol
                rows.append(AdjointRow(node.name, slot, operand, type(J).__name__, error, tolerance))
    return AdjointResult(tuple(rows))


def _random(trace: Trace, rng: np.random.Generator, name: str) -> Array:
    return trace.kind.asarray(rng.standard_normal(tuple(trace[name].shape)))


def _error(Jv: Array, g: Array, v: Array, Jtg: Array) -> float:
    """Where a loss adds up the samples, J v still has one number for each: g is the same for all."""
    Jv, g, v, Jtg = (to_numpy(a).astype(np.float64) for a in (Jv, g, v, Jtg))
    if Jtg.shape != v.shape:
        return float("inf")
    difference = abs(float(np.sum(Jv * g)) - float(np.sum(v * Jtg)))
    size = float(np.linalg.norm(Jv)) * float(np.linalg.norm(g))
    return difference / size if size else difference
