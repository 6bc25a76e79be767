"""What to draw of a network: columns of units if it is a chain of layers, boxes and arrows otherwise."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from everygrad.backprop import Gradients
from everygrad.backprop.gradients import norm
from everygrad.backprop.scans import Family, sent
from everygrad.diagnose.unrolled import suffix
from everygrad.engines import Array, to_numpy
from everygrad.graph import Node
from everygrad.graph.affine import Affine
from everygrad.graph.arithmetic import Add
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import Loss
from everygrad.report.equations import equations
from everygrad.report.record import Arrow, Box, Column, Edges, Picture

MOST_UNITS = 32
"""Units drawn of one layer: those with the largest mean gradient."""
MOST_EDGES = 140
"""Weights drawn between two layers: those that carry most."""
MOST_COLUMNS = 12
MOST_BOXES = 40


@final
@dataclass(frozen=True, slots=True)
class Step:
    """One layer of a chain: the weights, the pre-activation they make, the column it ends in."""

    weight: str
    affine: str
    column: str


def picture(gradients: Gradients) -> Picture:
    """The picture of the graph behind these gradients. Cost: a few means, and one pull for each arrow drawn."""
    chain = _chain(gradients)
    return _boxes(gradients) if chain is None else _columns(gradients, *chain)


def both_ends(items: list, most: int) -> list:
    """The first and the last of a long list."""
    return items if len(items) <= most else [*items[: most // 2], *items[len(items) - (most - most // 2) :]]


def _chain(gradients: Gradients) -> tuple[str, list[Step]] | None:
    """The first column and the steps from it, if the way from the loss back to the data never branches."""
    graph = gradients.trace.graph
    loss = graph.by_name[gradients.of]
    if not isinstance(loss.operation, Loss):
        return None
    name = column = loss.inputs[0]
    steps: list[Step] = []
    while graph.by_name[name].role != "data":
        node = graph.by_name[name]
        if len(graph.consumers[name]) != 1 or node.lead != 1 or gradients.trace[name].ndim != 2:
            return None
        if isinstance(node.operation, Affine):
            steps.append(Step(node.inputs[1], name, column))
            name = column = node.inputs[0]
        elif isinstance(node.operation, Elementwise):
            name = node.inputs[0]
        elif isinstance(node.operation, Add) and _not_parameters(gradients, node):
            name = _not_parameters(gradients, node)
        else:
            return None
    whole = len(graph.consumers[name]) == 1 and name == column and gradients.trace[name].ndim == 2
    return (name, steps[::-1]) if steps and whole and name in gradients.arrays else None


def _not_parameters(gradients: Gradients, node: Node) -> str:
    """The one operand of a sum that is no parameter, or "" if there are two, or if the sum has more units than it."""
    trace = gradients.trace
    others = [i for i in node.inputs if trace.graph.by_name[i].role != "parameter"]
    alone = len(others) == 1 and len(node.inputs) == 2
    return others[0] if alone and trace[others[0]].shape == trace[node.name].shape else ""


def _columns(gradients: Gradients, first: str, steps: list[Step]) -> Picture:
    names = [first, *(step.column for step in steps)]
    shown = both_ends(names, MOST_COLUMNS)
    columns = {name: _column(gradients, name) for name in shown}
    edges = []
    for left, step in zip(names, steps, strict=False):
        if left in columns and step.column in columns:
            edges.append(_edges(gradients, columns[left], step, columns[step.column]))
    return Picture("units", len(names), columns=tuple(columns.values()), edges=tuple(edges))


def _column(gradients: Gradients, name: str) -> Column:
    g = _float64(gradients[name])
    mean, magnitude = g.mean(0), np.abs(g).mean(0)
    order = np.argsort(-magnitude, kind="stable")[:MOST_UNITS]
    shown = np.sort(order)
    return Column(name, g.shape[1], tuple(map(int, shown)), mean[shown], magnitude[shown])


def _edges(gradients: Gradients, left: Column, step: Step, right: Column) -> Edges:
    W = to_numpy(gradients.trace[step.weight])
    size = np.abs(_float64(gradients[step.affine])).mean(0)[list(right.shown)]
    among = np.abs(_float64(W[np.ix_(right.shown, left.shown)])) * size[:, None]
    best = np.argsort(-among, axis=None, kind="stable")[:MOST_EDGES]
    to, come = np.unravel_index(best, among.shape)
    shown = tuple((left.shown[j], right.shown[m], float(among[m, j])) for m, j in zip(to, come, strict=True))
    return Edges(step.weight, left.name, right.name, W.size, shown)


def _float64(array: Array) -> np.ndarray:
    return to_numpy(array).astype(np.float64)


def _boxes(gradients: Gradients) -> Picture:
    trace = gradients.trace
    scans = {family.head: family for family in trace.plan.scans}
    box_of = {node.name: f"scan {family.label}" for family in scans.values() for node in family.nodes}
    hidden = {name for name in box_of if name not in scans}  # the quantities of a scan are one box
    level: dict[str, int] = {}
    for node in trace.nodes:
        before = [level[i] for i in node.inputs if i in level]
        if node.role == "data" or before:
            level[node.name] = 1 + max(before, default=-1)
    if gradients.of not in level:  # a formula of parameters alone
        level = {}
        for node in trace.nodes:
            level[node.name] = 1 + max((level[i] for i in node.inputs), default=-1)
    for node in trace.nodes:  # what is given stands just above what uses it
        users = [level[user] for user, _ in trace.graph.consumers[node.name] if user in level]
        if node.operation is None and node.name in level and users:
            level[node.name] = min(users) - 1
    nodes = [n for n in trace.nodes if n.name in level and n.role != "constant" and n.name not in hidden]
    shown = both_ends(nodes, MOST_BOXES)
    kept = {box_of.get(node.name, node.name) for node in shown}
    arrows = [
        Arrow(box_of.get(name, name), box_of.get(node.name, node.name), term)
        for node in shown
        for name, term in _terms(gradients, node, scans.get(node.name))
        if box_of.get(name, name) in kept
    ]
    boxes = [
        _scan_box(gradients, scans[n.name], level[n.name]) if n.name in scans else _box(gradients, n, level[n.name])
        for n in shown
    ]
    return Picture("boxes", len(nodes), boxes=tuple(boxes), arrows=tuple(arrows))


def _box(gradients: Gradients, node: Node, level: int) -> Box:
    g = gradients.arrays.get(node.name)
    shape = tuple(gradients.trace.arrays[node.name].shape)
    return Box(node.name, formula(gradients, node), shape, None if g is None else norm(g), level)


def _scan_box(gradients: Gradients, family: Family, level: int) -> Box:
    """All quantities of a scan as one: the shape and the gradient are those of its first state at all steps."""
    state = family.scan.cell.states[0][0]
    node = next((n for n, scan in family.members() if (scan.quantity, scan.at) == (state, "all")), family.nodes[0])
    states = ", ".join(name for name, _ in family.scan.cell.states)
    whole = _box(gradients, node, level)
    return replace(whole, name=f"scan {family.label}", formula=f"{states} over {family.inputs[0]}")


def formula(gradients: Gradients, node: Node) -> str:
    """``tanh(a1)``; the role for what is given."""
    if node.operation is None:
        return node.role
    by_name = gradients.trace.graph.by_name
    constants = [by_name[name].constant for name in node.inputs]
    operands = [name if c is None else f"{c:g}" for name, c in zip(node.inputs, constants, strict=True)]
    return node.operation.formula(*operands)


def formulas(gradients: Gradients) -> list[str]:
    """``h1 = tanh(a1)`` for each computed quantity; of a scan the equations of its cell."""
    heads = {family.head: family for family in gradients.trace.plan.scans}
    inside = {node.name for family in heads.values() for node in family.nodes}
    lines = []
    for node in gradients.trace.nodes:
        if node.name in heads:
            lines += equations(heads[node.name].scan.cell, suffix(heads[node.name]))
        elif node.operation is not None and node.name not in inside:
            lines.append(f"{node.name} = {formula(gradients, node)}")
    return lines


def _terms(gradients: Gradients, node: Node, family: Family | None) -> list[tuple[str, float | None]]:
    """(quantity, norm of the term of its gradient that comes back from this use of it)."""
    if family is None:
        return [(name, _term(gradients, node, slot)) for slot, name in enumerate(node.inputs)]
    swept = gradients.sweeps.get(family.label)
    back = {} if swept is None else dict(sent(family, swept))
    return [(name, norm(back[name]) if name in back else None) for name in family.inputs]


def _term(gradients: Gradients, node: Node, slot: int) -> float | None:
    if node.name not in gradients.arrays or not gradients.trace.differentiable(node, slot):
        return None
    term = gradients.trace.local(node, slot).pull(gradients.arrays[node.name], total=node.leads[slot] == 0)
    return norm(term)
