"""Rule 1 over a whole graph: what each use of a quantity adds to its gradient, from the last node to the first."""

from collections.abc import Callable, Iterable

from everygrad.backprop.plan import Edge
from everygrad.backprop.scans import Family
from everygrad.backprop.trace import Trace
from everygrad.engines import Array

Through = Callable[[Family], Iterable[tuple[str, Array]]]
"""What a scan sends to its inputs: (name, term)."""


def collect(
    trace: Trace, found: dict[str, Array], through: Through, to: Callable[[str], bool] = lambda name: True
) -> None:
    """Add to ``found``, which begins with what is differentiated, the gradients of what is upstream and ``to`` accepts.

    Scans send through ``through``, with the run as a whole. Cost: one local derivative and one product for each edge.
    """
    heads = {family.head: family for family in trace.plan.scans}
    for user, edges in trace.plan.sweep:
        if user in heads:
            for name, term in through(heads[user]):
                if to(name) and trace.graph.by_name[name].role != "constant":
                    found[name] = found[name] + term if name in found else term
        elif user in found:
            for edge in edges:
                if to(edge.name) and (edge.always or trace.differentiable(edge.node, edge.slot)):
                    term = pulled(trace, edge, found[user])
                    found[edge.name] = found[edge.name] + term if edge.name in found else term


def pulled(trace: Trace, edge: Edge, g: Array) -> Array:
    """What one use of a quantity adds to its gradient: (∂u/∂v)ᵀ ∂L/∂u."""
    return trace.local(edge.node, edge.slot).pull(g, total=edge.shared)
