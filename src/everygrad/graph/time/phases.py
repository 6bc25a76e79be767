"""Dependency analysis of a cell: what can be done before the loop over time, in it, and after it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import final

from everygrad.graph.affine import Affine
from everygrad.graph.arithmetic import Arithmetic
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.graph import Node
from everygrad.graph.time.cell import Cell


@final
@dataclass(frozen=True, slots=True)
class Packed:
    """Products of weight matrices with the same vector, done as one: [W_i; W_f; ...] h."""

    nodes: tuple[Node, ...]

    @property
    def vector(self) -> str:
        """The vector that all of them multiply."""
        return self.nodes[0].inputs[0]

    @property
    def weights(self) -> tuple[str, ...]:
        """Their matrices, in order."""
        return tuple(node.inputs[1] for node in self.nodes)


Task = Node | Packed


@final
@dataclass(frozen=True, slots=True)
class Phases:
    """The computed nodes of a cell in three groups, each in topological order.

    ``before``: they need no state, and are computed for all steps at once (U x + b). ``loop``: the states need
    them, and they need the states; step by step. ``after``: no later step needs them; all steps at once. Within a
    group, products with one vector are packed.
    """

    before: tuple[Task, ...]
    loop: tuple[Task, ...]
    after: tuple[Task, ...]

    @property
    def in_loop(self) -> tuple[Node, ...]:
        """The single nodes of the loop."""
        return singly(self.loop)


def singly(tasks: tuple[Task, ...]) -> tuple[Node, ...]:
    """The nodes of tasks, one by one."""
    return tuple(node for task in tasks for node in (task.nodes if isinstance(task, Packed) else (task,)))


def phases(cell: Cell) -> Phases:
    """The phases of a cell; made once and kept with its graph."""
    memo = cell.graph.memo
    if "phases" not in memo:
        memo["phases"] = _split(cell)
    return memo["phases"]


def postponed(cell: Cell, kept: Collection[str]) -> tuple[Node, ...]:
    """What can be done before the loop but costs less within it, if loops are compiled: it is read there only.

    Elementwise steps that are not ``kept``, as adding the bias to U x.
    """
    todo = phases(cell)
    inside, found = {node.name for node in todo.in_loop}, []
    for task in reversed(todo.before):
        if isinstance(task, Node) and isinstance(task.operation, Arithmetic | Elementwise) and task.name not in kept:
            users = [user for user, _ in cell.graph.consumers[task.name]]
            if task.lead and users and inside.issuperset(users):
                inside.add(task.name)
                found.append(task)
    return tuple(reversed(found))


def _split(cell: Cell) -> Phases:
    stateful = {previous for _, previous in cell.states}
    for node in cell.graph.nodes:
        if any(name in stateful for name in node.inputs):
            stateful.add(node.name)
    needed = {node.name for node in cell.graph.ancestors(name for name, _ in cell.states)}
    computed = [node for node in cell.graph.nodes if node.operation is not None]
    before = [n for n in computed if n.name not in stateful]
    loop = [n for n in computed if n.name in stateful and n.name in needed]
    after = [n for n in computed if n.name in stateful and n.name not in needed]
    return Phases(_packed(cell, before), _packed(cell, loop, 1), _packed(cell, after))


def _packed(cell: Cell, nodes: list[Node], fewest: int = 2) -> tuple[Task, ...]:
    """Join the products W h with the same h, at the place of the first of them, if there are as many as ``fewest``."""
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        weight = node.inputs[1] if isinstance(node.operation, Affine) and len(node.inputs) == 2 else None
        if weight is not None and cell.graph.by_name[weight].role == "parameter" and node.leads[0]:
            groups.setdefault(node.inputs[0], []).append(node)
    tasks: list[Task] = []
    for node in nodes:
        group = groups.get(node.inputs[0], []) if node.inputs else []
        if node not in group or len(group) < fewest:
            tasks.append(node)
        elif node is group[0]:
            tasks.append(Packed(tuple(group)))
    return tuple(tasks)
