"""The derivative of a state by a weight matrix at one sample: of p × q × r entries only the plane p = q is not zero."""

from dataclasses import dataclass
from typing import final

import numpy as np

from everygrad.backprop import Gradients, jacobian_of
from everygrad.engines import to_numpy
from everygrad.graph import Graph
from everygrad.graph.affine import Affine
from everygrad.graph.arithmetic import Add
from everygrad.graph.elementwise import Elementwise
from everygrad.jacobians import Diagonal, Identity, Jacobian, Weight
from everygrad.report.cells import every, largest, strongest
from everygrad.report.picture_records import TensorPicture
from everygrad.report.time_analyses import matrices, part_of
from everygrad.through_time import Recurrence, tensor
from everygrad.through_time.source import present

MOST_CELLS = 64
"""Rows and columns of the plane."""


@final
@dataclass(frozen=True, slots=True)
class Names:
    """What the picture is of: ∂state/∂weight, with ``before`` = weight · ``multiplied`` + ..."""

    state: str
    weight: str
    before: str
    multiplied: str

    def suffixed(self, suffix: str) -> "Names":
        """The names in the whole network."""
        return Names(*(name + suffix for name in (self.state, self.weight, self.before, self.multiplied)))


def tensor_over_time(source: Recurrence, suffix: str, reverse: bool) -> TensorPicture | None:
    """∂⁺s_k/∂W of the first state and the first matrix W that the state is multiplied with, at one sequence's end.

    None if another matrix lies between each of them and the state, so that more than a plane is filled. Only one step
    of one sequence is looked at.
    """
    run = source.run
    there = present(run)
    b = int(there.sum(0).argmax())
    k = int(np.flatnonzero(there[:, b])[-1]) if there[:, b].any() else 0
    at = part_of(run, np.array([b]), k, k + 1)
    state, graph = run.cell.states[0][0], run.cell.graph
    for weight in matrices(run):
        multiplied, before = _around(graph, weight)
        found = tensor(at, wrt=weight, of=state)
        names = Names(state, weight, before, multiplied).suffixed(suffix)
        drawn = _picture(found.J.sample((0, 0)), names, b, run.steps - 1 - k if reverse else k)
        if drawn is not None:
            return drawn
    return None


def tensor_of_layer(gradients: Gradients) -> TensorPicture | None:
    """∂h/∂W of the first layer h = g(W x + b) whose weights are a parameter, at the first sample."""
    trace = gradients.trace
    for node in trace.nodes:
        if isinstance(node.operation, Affine) and node.lead == 1 and node.inputs[1] in gradients.arrays:
            weight = node.inputs[1]
            multiplied, before = _around(trace.graph, weight)
            users = trace.graph.consumers[before]
            after = trace.graph.by_name[users[0][0]] if len(users) == 1 else node
            state = after.name if isinstance(after.operation, Elementwise) else before
            if trace[state].ndim == 2 and trace.graph.by_name[weight].role == "parameter":
                J = jacobian_of(trace, state, weight)
                return _picture(J.sample(0) if J.batch else J, Names(state, weight, before, multiplied), 0, None)
    return None


def _around(graph: Graph, weight: str) -> tuple[str, str]:
    """The names of what a matrix multiplies, and of the sum that the product goes into."""
    product = next(graph.by_name[user] for user, slot in graph.consumers[weight] if slot == 1)
    name, users = product.name, graph.consumers[product.name]
    while len(users) == 1 and isinstance(graph.by_name[users[0][0]].operation, Add):
        name = users[0][0]
        users = graph.consumers[name]
    return product.inputs[0], name


def _picture(J: Jacobian, names: Names, sample: int, step: int | None) -> TensorPicture | None:
    if not isinstance(J, Weight) or not isinstance(J.M, Diagonal | Identity):
        return None
    p, (q, r) = J.out_size, J.in_shape
    slope = np.ones(p) if isinstance(J.M, Identity) else to_numpy(J.M.d).astype(np.float64).ravel()
    vector = to_numpy(J.h).astype(np.float64).ravel()
    sizes = every(p, MOST_CELLS), every(r, MOST_CELLS)
    plane = strongest(slope, sizes[:1])[:, None] * strongest(vector, sizes[1:])  # the product's largest is theirs
    return TensorPicture(
        state=names.state,
        weight=names.weight,
        before=names.before,
        multiplied=names.multiplied,
        sample=sample,
        step=step,
        shape=(p, q, r),
        nonzero=J.nnz,
        stored=J.stored,
        slope=slope,
        vector=vector,
        rows=tuple(range(0, p, sizes[0])),
        columns=tuple(range(0, r, sizes[1])),
        plane=plane,
        largest=largest(plane),
    )
