"""Which of several wrong quantities is the first, and which ones only follow from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import numpy as np

from everygrad.backprop import Trace
from everygrad.checks.faults import Case, name_fault
from everygrad.checks.rounding import pull
from everygrad.checks.steps import Step
from everygrad.checks.sweep import Sweep
from everygrad.checks.tolerance import relative_error

AFFORDABLE = 1e9
"""Multiply-adds for one consumer's term by the oracle; above, the graph's own local derivative is used."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Blame:
    """The evidence: values in double, the step of the oracle, the given gradients, and right ones where known."""

    trace: Trace
    step: Step
    given: Mapping[str, np.ndarray]
    mine: Mapping[str, np.ndarray]
    right: Mapping[str, np.ndarray]
    limit: int

    def assign(self, wrong: Iterable[str], match: Mapping[str, float]) -> tuple[str | None, dict[str, str]]:
        """(the culprit, name -> fault) for the wrong quantities, looked at in the order of the backward sweep.

        A quantity that is right *given* the gradients of its consumers follows from them; each of the others
        has a mistake of its own, and the first of those is the culprit. ``match``: the relative error up to
        which two gradients are taken to be the same.
        """
        wrong = set(wrong)
        culprit, faults = None, {}
        for node in reversed(self.trace.nodes):
            if node.name in wrong:
                fault = self._fault(node.name, wrong, match[node.name])
                faults[node.name] = fault
                if culprit is None and not fault.startswith("follows"):
                    culprit = node.name
        return culprit, faults

    def _fault(self, name: str, wrong: set[str], match: float) -> str:
        g, graph = self.given[name], self.trace.graph
        consumers = [u for u in dict.fromkeys(u for u, _ in graph.consumers[name]) if u in self.mine]
        if not consumers:  # the output itself
            return f"the gradient of {name} with respect to itself is 1"
        upstream = {u: self._upstream(u) for u in consumers}
        terms = {u: self._term(name, u, upstream[u]) for u in consumers}
        others = {u: r for u, r in self.right.items() if u != name and r.shape == g.shape and r.any()}
        case = Case(graph, self.trace.arrays, self.step, name, g, MappingProxyType(terms), upstream, others, match)
        if np.isfinite(g).all() and relative_error(g, case.expected) <= match:
            causes = [u for u in consumers if u in wrong]
            if causes:
                return f"follows from {', '.join(causes)}"
        broken = [u for u in consumers if relative_error(self._local_term(name, u, upstream[u]), terms[u]) > match]
        return name_fault(case) + "".join(f" ({self._local(name, u)})" for u in broken)

    def _local(self, name: str, u: str) -> str:
        operation = self.trace.graph.by_name[u].operation
        called = operation.name if operation else u
        return f"the local derivative of the operation {called!r} in {u} with respect to {name} is wrong"

    def _upstream(self, u: str) -> np.ndarray:
        g = self.given.get(u)
        if g is None or g.shape != self.trace.arrays[u].shape or not np.isfinite(g).all():
            return self.mine[u]
        return g

    def _term(self, name: str, u: str, g: np.ndarray) -> np.ndarray:
        """(∂u/∂v)ᵀ ∇_u by the oracle, from the operation's values alone."""
        graph, values = self.trace.graph, self.trace.arrays
        sweep = Sweep(graph, values, self.step, name, u, [graph.by_name[u]], g)
        size = sweep.x.size
        if size > self.limit or sweep.work(size) > AFFORDABLE:
            return self._local_term(name, u, g)
        return sweep.entries(np.arange(size)).reshape(sweep.x.shape)

    def _local_term(self, name: str, u: str, g: np.ndarray) -> np.ndarray:
        """The same by the operation's own local derivative."""
        term = pull(self.trace, name, u, g)
        return np.zeros(self.trace.arrays[name].shape) if term is None else term
