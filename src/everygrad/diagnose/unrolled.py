"""One recurrent layer as arrays over time: what every analysis of time reads, whatever library it ran in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, final

import numpy as np

from everygrad.backprop import Gradients
from everygrad.backprop.scans import Family
from everygrad.engines import Array, to_numpy
from everygrad.graph import Graph
from everygrad.graph.affine import Affine
from everygrad.graph.arithmetic import Add, Multiply, Subtract
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.time import Cell, Run, Sweep, sweep

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@final
@dataclass(frozen=True, slots=True)
class Squash:
    """h = g(a) within a cell: the pre-activation's name, and g."""

    before: str
    g: Elementwise


@final
@dataclass(frozen=True, slots=True)
class Keeper:
    """A gate that multiplies a state from one step to the next: c_t = f ⊙ c_{t−1} + ...; 1 − gate if ``inverted``."""

    gate: str
    inverted: bool = False


@final
@dataclass(frozen=True, eq=False)
class Unrolled:
    """The values and gradients of one layer in one direction, (batch, time, units) in the order of time.

    ``total`` is ∂L/∂v at each step, ``direct`` the part of it that arrives from outside the layer at that
    step. Names are the cell's own (``"h"``, ``"c"``, ``"f"``, ``"a_f"``; ``"x"`` is the input), ``suffix``
    is added when they are shown (``"f_l0"``). ``states`` names what goes from step to step, ``squashes``
    the activations, ``keepers`` the gate of each state that has one, ``recurrent`` the matrices W of states
    s = g(W s_prev + ...). ``mask`` (batch, time) is False where there is padding.
    ``reverse``: the layer runs from the last step to the first.
    """

    label: str
    states: tuple[str, ...]
    values: Mapping[str, Array]
    total: Mapping[str, Array]
    direct: Mapping[str, Array]
    suffix: str = ""
    squashes: Mapping[str, Squash] = field(default_factory=lambda: _NOTHING)
    keepers: Mapping[str, Keeper] = field(default_factory=lambda: _NOTHING)
    recurrent: Mapping[str, Array] = field(default_factory=lambda: _NOTHING)
    mask: Array | None = None
    reverse: bool = False


def unrolled(gradients: Gradients) -> tuple[Unrolled, ...]:
    """The recurrent layers of a network, in its order; those that keep too little (``remember="sqrt"``) are left out.

    Cost: the direct gradients, one sweep over all steps at once, for each layer.
    """
    found = []
    for family in gradients.trace.plan.scans:
        run = gradients.trace.runs[family.label]
        if isinstance(run, Run):
            total = gradients.sweeps.get(family.label) or Sweep({}, {}, {}, {}, {})
            with np.errstate(all="ignore"):  # whatever is not finite stays so
                direct = sweep(run, total.direct, total.final, carry=False)
            found.append(unroll(family.label, run, total, direct, suffix(family), family.scan.reverse))
    return tuple(found)


def suffix(family: Family) -> str:
    """What the names of the layer's quantities end in, in the whole network."""
    for node, scan in family.members():
        name = node.name.removesuffix("_end") if scan.at == "end" else node.name
        if name.startswith(scan.quantity):
            return name.removeprefix(scan.quantity)
    return ""


def unroll(label: str, run: Run, total: Sweep, direct: Sweep, suffix: str = "", reverse: bool = False) -> Unrolled:
    """The record of a run and of two sweeps over it, the whole one and the one with ``carry=False``.

    Arrays are turned to (batch, time, units) in the order of time; NumPy views where that is possible. What a
    sweep does not have got no gradient, and is zero.
    """

    def in_time(array: Array) -> np.ndarray:
        x = np.moveaxis(to_numpy(array), 0, 1)
        return x[:, ::-1] if reverse else x

    cell = run.cell
    names = [cell.input, *cell.quantities]
    zero = {name: np.broadcast_to(np.zeros(()), in_time(run.array(name)).shape) for name in names}
    squashes = {}
    for node in cell.graph.nodes:
        if isinstance(node.operation, Elementwise) and node.lead and node.operation.name != "identity":
            before = node.inputs[0]
            shown = node.name if node.name in cell.quantities else node.operation.formula(before)
            squashes[shown] = Squash(before, node.operation)
    values = {name: in_time(run.array(name)) for name in names}
    for squash in squashes.values():  # a pre-activation that has no name of its own
        values.setdefault(squash.before, in_time(run.array(squash.before)))
    return Unrolled(
        label=label,
        states=tuple(name for name, _ in cell.states),
        values=MappingProxyType(values),
        total=MappingProxyType({n: in_time(total.total[n]) if n in total.total else zero[n] for n in names}),
        direct=MappingProxyType({n: in_time(direct.total[n]) if n in direct.total else zero[n] for n in names}),
        suffix=suffix,
        squashes=MappingProxyType(squashes),
        keepers=MappingProxyType(_keepers(cell)),
        recurrent=MappingProxyType({name: run.values[name] for name in _recurrent(cell)}),
        mask=None if run.mask is None else in_time(run.mask),
        reverse=reverse,
    )


def _keepers(cell: Cell) -> dict[str, Keeper]:
    """The gate by which each state is multiplied on its way to its next value: only sums may lie behind it."""
    graph, found = cell.graph, {}
    for state, previous in cell.states:
        for user, slot in graph.consumers[previous]:
            node = graph.by_name[user]
            if isinstance(node.operation, Multiply) and _only_adds(graph, user, state):
                keeper = _gate(graph, node.inputs[1 - slot])
                if keeper is not None:
                    found[state] = keeper
    return found


def _only_adds(graph: Graph, name: str, end: str) -> bool:
    path = graph.between(name, end)
    return bool(path) and all(
        node.name == name or isinstance(node.operation, Add) or node.operation == Elementwise("identity")
        for node in map(graph.by_name.__getitem__, path)
    )


def _gate(graph: Graph, name: str) -> Keeper | None:
    """The gate σ(a) itself, or 1 − σ(a)."""
    node = graph.by_name[name]
    if isinstance(node.operation, Subtract) and graph.by_name[node.inputs[0]].constant == 1:
        keeper = _gate(graph, node.inputs[1])
        return None if keeper is None else Keeper(keeper.gate, not keeper.inverted)
    is_gate = isinstance(node.operation, Elementwise) and node.operation.name == "sigmoid" and node.lead > 0
    return Keeper(name) if is_gate else None


def _recurrent(cell: Cell) -> list[str]:
    """The parameter W of a cell s = g(W s_prev + ...): then its eigenvalues say whether gradients shrink or grow."""
    graph, found = cell.graph, []
    for state, previous in cell.states:
        users = graph.consumers[previous]
        product = graph.by_name[users[0][0]] if len(users) == 1 and users[0][1] == 0 else None
        if product is None or not isinstance(product.operation, Affine):
            continue
        path = graph.between(product.name, state)
        behind = [graph.by_name[name].operation for name in path if name != product.name]
        is_weight = graph.by_name[product.inputs[1]].role == "parameter"
        if path and is_weight and all(isinstance(g, Add | Elementwise) for g in behind):
            found.append(product.inputs[1])
    return found
