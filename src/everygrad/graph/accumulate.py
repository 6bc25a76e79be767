"""Rule 1 for Jacobians: products along each path, summed over the paths."""

from collections.abc import Callable, Collection, Mapping, Sequence

from everygrad.graph.graph import Node
from everygrad.jacobians import Jacobian

Local = Callable[[Node, int], Jacobian]


def accumulated(
    nodes: Sequence[Node],
    start: Mapping[str, Jacobian],
    wrt: str,
    path: Collection[str],
    local: Local,
    differentiable: Callable[[Node, int], bool],
    finish: Callable[[Node, int, Jacobian], Jacobian] = lambda node, slot, term: term,
) -> Jacobian | None:
    """∂of/∂wrt from ``start`` = {of: ∂of/∂of}, walking backwards over the nodes on the ``path`` between the two.

    ``local(node, slot)`` is ∂node/∂input; ``finish`` may change the term of one use. None if no use of ``wrt`` has
    a derivative. Cost: one product for each edge between the two.
    """
    total = dict(start)
    for node in reversed(nodes):
        if node.name not in total or node.name == wrt:
            continue
        for slot, name in enumerate(node.inputs):
            if name in path and differentiable(node, slot):
                term = finish(node, slot, total[node.name] @ local(node, slot))
                total[name] = total[name] + term if name in total else term
    return total.get(wrt)
