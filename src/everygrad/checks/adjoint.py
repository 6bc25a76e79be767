"""The dot test: ⟨J v, g⟩ = ⟨v, Jᵀ g⟩ for every local Jacobian of a trace, push against pull."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from everygrad.backprop import Trace
from everygrad.backprop.scans import Family
from everygrad.checks.tolerance import tolerance_for
from everygrad.engines import Array, to_numpy
from everygrad.errors import CheckFailed
from everygrad.graph.time import Run, Scan
from everygrad.jacobians import Jacobian


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
    `check` does. It is for a structured type or an operation of one's own. Of a scan, the operations of its
    cell are looked at, each at all steps at once. Cost: a push and a pull for each edge.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for edge in _edges(trace):
        shapes = (edge.operand_shape, tuple(edge.like.shape))
        v, g = (trace.kind.asarray(rng.standard_normal(shape)) for shape in shapes)
        error = _error(edge.J.push(v), g, v, edge.J.pull(g, total=edge.shared))
        tolerance = tolerance_for(to_numpy(g).dtype) if tol is None else tol
        rows.append(AdjointRow(edge.name, edge.slot, edge.operand, type(edge.J).__name__, error, tolerance))
    return AdjointResult(tuple(rows))


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Edge:
    """A local Jacobian to look at: of ``name``, whose values are ``like``, with respect to ``operand``."""

    name: str
    slot: int
    operand: str
    like: Array
    operand_shape: tuple[int, ...]
    shared: bool
    J: Jacobian


def _edges(trace: Trace) -> Iterator[_Edge]:
    families = {family.head: family for family in trace.plan.scans}
    for node in trace.nodes:
        if isinstance(node.operation, Scan):
            if node.name in families:
                yield from _inside(trace, families[node.name])
            continue
        for slot, operand in enumerate(node.inputs):
            if trace.differentiable(node, slot):
                shape, shared = tuple(trace[operand].shape), node.leads[slot] == 0
                yield _Edge(node.name, slot, operand, trace[node.name], shape, shared, trace.local(node, slot))


def _inside(trace: Trace, family: Family) -> Iterator[_Edge]:
    """The operations of a cell; they are called as in an unrolled network, but for the step."""
    scan = family.scan
    ran = trace.runs[family.label]
    if not isinstance(ran, Run):  # in segments: once more, keeping everything
        attributes: dict[str, Any] = {**scan.attributes, "remember": "all"}
        ran = Scan(**attributes).run([trace[name] for name in family.inputs])
        assert isinstance(ran, Run)
    called = {own.quantity: node.name for node, own in family.members() if own.at == "all"}
    called |= {slot: name for slot, name in zip(scan.slots, family.inputs, strict=True) if slot in scan.cell.parameters}
    for node in scan.cell.graph.nodes:
        for slot, operand in enumerate(node.inputs):
            if ran.differentiable(node, slot):
                name, of = (called.get(n, f"{family.label}.{n}") for n in (node.name, operand))
                shape, shared = tuple(ran.array(operand).shape), node.leads[slot] == 0
                yield _Edge(name, slot, of, ran.array(node.name), shape, shared, ran.local(node.name, slot))


def _error(Jv: Array, g: Array, v: Array, Jtg: Array) -> float:
    """Where a loss adds up the samples, J v still has one number for each: g is the same for all."""
    Jv, g, v, Jtg = (to_numpy(a).astype(np.float64) for a in (Jv, g, v, Jtg))
    if Jtg.shape != v.shape:
        return float("inf")
    difference = abs(float(np.sum(Jv * g)) - float(np.sum(v * Jtg)))
    size = float(np.linalg.norm(Jv)) * float(np.linalg.norm(g))
    return difference / size if size else difference
