"""A cell run over a sequence, with what its derivatives need of every step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

from everygrad.engines import Array, Kind, is_complex, kind_of, namespace
from everygrad.engines.compiled.choice import compiles
from everygrad.errors import all_mismatches, unknown_name
from everygrad.graph.accumulate import accumulated
from everygrad.graph.graph import Node
from everygrad.graph.operation import Operation, Shape
from everygrad.graph.time.cell import Cell
from everygrad.graph.time.loop import loop, step_of
from everygrad.graph.time.phases import phases, postponed
from everygrad.jacobians import Identity, Jacobian, Zero


@final
@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Values of a cell's quantities at every step: arrays (time, batch, units), in the order of processing.

    ``values``: what was kept, by name: the input, the previous states, states, gates, pre-activations, what local
    derivatives read; parameters and constants without leading axes. ``final``: the states after the last step.
    ``mask`` (time, batch): False where a sequence has no step; there the states are carried on unchanged.
    """

    cell: Cell
    values: Mapping[str, Array]
    shapes: Mapping[str, Shape]
    final: Mapping[str, Array]
    mask: Array | None
    kind: Kind

    @property
    def steps(self) -> int:
        """T, the number of time steps."""
        return self.values[self.cell.input].shape[0]

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self.values[self.cell.input].shape[1]

    @property
    def stored(self) -> int:
        """How many numbers are kept of all steps, without the input, which is the caller's."""
        given = {self.cell.input, *(previous for _, previous in self.cell.states)}  # those before are those after
        kept = [v.shape for name, v in self.values.items() if self.over_time(name) and name not in given]
        return sum(map(math.prod, [*kept, *(state.shape for state in self.final.values())]))

    def over_time(self, name: str) -> bool:
        """Whether a quantity has a value for each step, not one for all (a parameter, a constant)."""
        return self.cell.graph.by_name[name].lead > 0

    def array(self, name: str) -> Array:
        """The values of a quantity; if they were not kept, zeros of its shape, which take no memory."""
        if name in self.values:
            return self.values[name]
        shape = self.shapes[name]
        lead = (self.steps, self.batch) if self.over_time(name) else ()
        return self.kind.xp.broadcast_to(self.kind.zeros(()), (*lead, *shape))

    def local(self, name: str, slot: int) -> Jacobian:
        """∂name/∂(its input at this slot), structured, of all steps and samples at once."""
        node = self.cell.graph.by_name[name]
        assert node.operation is not None
        return node.operation.local(slot, [self.array(i) for i in node.inputs], self.array(name), leads_of(node))

    def differentiable(self, node: Node, slot: int) -> bool:
        """Whether `local` exists for this input."""
        if node.operation is None or self.cell.graph.by_name[node.inputs[slot]].role == "constant":
            return False
        if type(node.operation).differentiable is Operation.differentiable:  # most: no need to look at the arrays
            return True
        return node.operation.differentiable(slot, [self.array(name) for name in node.inputs])

    def jacobian(self, of: str, wrt: str) -> Jacobian:
        """∂of_t/∂wrt_t, the *immediate* derivative within one step: the previous states are held constant.

        ``of`` a quantity of the cell; ``wrt`` another one, the input, a previous state (``h_prev``: the state
        Jacobian ∂s_t/∂s_{t−1}) or a parameter (the sparse tensor ∂⁺s_t/∂W). Structured, with leading axes (time,
        batch). Cost: one product for each edge between the two. Raises `UnknownNameError`.
        """
        graph = self.cell.graph
        for name in (of, wrt):
            if name not in graph.by_name:
                raise unknown_name("quantity of the cell", name, graph.by_name)
        shape = {name: self.shapes[name] for name in (of, wrt)}
        path = graph.between(wrt, of)
        if not path:
            return Zero(self.kind, shape[of], shape[wrt])
        start = {of: Identity(self.kind, shape[of])}
        found = accumulated(
            graph.nodes, start, wrt, path, lambda node, slot: self.local(node.name, slot), self.differentiable
        )
        assert found is not None  # everything inside a cell is floating point
        return found


def leads_of(node: Node) -> tuple[int, ...]:
    """The leading axes of a node's inputs when all steps are taken at once: one more, the time."""
    return tuple(lead + 1 if lead else 0 for lead in node.leads)


def run(
    cell: Cell,
    x: Array,
    states: Mapping[str, Array],
    parameters: Mapping[str, Array],
    mask: Array | None = None,
) -> Run:
    """Run a cell over a sequence and keep what its derivatives read.

    ``x`` (time, batch, inputs), ``states`` the initial ones by name (batch, units), ``mask`` (time, batch). Raises
    `InputError` if there is no step, or a state or parameter is missing. Cost: one product over all steps for what
    needs no state, one small product per step for all gates together.
    """
    complete(cell, x, states, parameters)
    return run_filled(cell, x if mask is None else filled(x, mask), states, parameters, mask)


def run_filled(
    cell: Cell, x: Array, states: Mapping[str, Array], parameters: Mapping[str, Array], mask: Array | None
) -> Run:
    """`run` of an input that was `filled` already."""
    kind = _common([x, *states.values(), *parameters.values()])
    xp = kind.xp
    x = xp.astype(x, kind.dtype, copy=False)
    values = {cell.input: x, **{name: parameters[name] for name in cell.parameters}}
    for node in cell.graph.nodes:
        if node.constant is not None:
            values[node.name] = kind.asarray(node.constant)
    shapes: dict[str, Shape] = {}
    todo = phases(cell)
    late = postponed(cell, kept_names(cell)) if compiles(kind) else ()
    for task in todo.before:
        if task not in late:
            step_of(task, values, 1)(values)
    first = {previous: xp.astype(states[name], kind.dtype, copy=False) for name, previous in cell.states}
    last = loop(cell, (*late, *todo.loop), kept_names(cell), values, shapes, first, mask)
    for task in todo.after:
        step_of(task, values, 1)(values)
    for name, value in values.items():
        shapes[name] = tuple(value.shape[2:]) if cell.graph.by_name[name].lead else tuple(value.shape)
    kept = {name: value for name, value in values.items() if name in kept_names(cell)}
    final = {name: last[previous] for name, previous in cell.states}
    return Run(cell, MappingProxyType(kept), MappingProxyType(shapes), MappingProxyType(final), mask, kind)


def filled(x: Array, mask: Array) -> Array:
    """The input with each sequence's first step in place of what has no step, and zero if it has none at all.

    What stands there is never looked at (it may be NaN); and a cell that is not defined at 0, log x say, has
    ordinary values there, so that 0 times its slope is 0.
    """
    xp = namespace(x)
    first = xp.argmax(xp.astype(mask, xp.int32), axis=0)
    beside = (1,) * (x.ndim - 2)
    index = xp.broadcast_to(xp.reshape(first, (1, *first.shape, *beside)), (1, *x.shape[1:]))
    some = xp.reshape(xp.any(mask, axis=0), (1, *mask.shape[1:], *beside))
    instead = xp.where(some, xp.take_along_axis(x, index, axis=0), xp.zeros_like(x[:1]))
    return xp.where(xp.reshape(mask, (*mask.shape, *beside)), x, instead)


def kept_names(cell: Cell) -> frozenset[str]:
    """What is kept: what was given, what has a name, and what a local derivative reads (not only its shape)."""
    memo = cell.graph.memo
    if "kept" not in memo:
        names = {node.name for node in cell.graph.nodes if node.operation is None} | set(cell.quantities)
        for node in cell.graph.nodes:
            if node.operation is not None and node.operation.local_reads != "shapes":
                names.update(node.inputs)
                names.update([node.name] if node.operation.local_reads == "all" else [])
        memo["kept"] = frozenset(names)
    return memo["kept"]


def complete(cell: Cell, x: Array, states: Mapping[str, Array], parameters: Mapping[str, Array]) -> None:
    """Raise `InputError` if there is no step, or a state or parameter is missing."""
    problems = []
    if x.ndim < 2 or x.shape[0] == 0:
        problems.append(f"the input has shape {tuple(x.shape)}, expected (time, batch, ...) with at least one step")
    problems += [f"the initial state {name!r} is missing" for name, _ in cell.states if name not in states]
    problems += [f"the parameter {name!r} is missing" for name in cell.parameters if name not in parameters]
    all_mismatches("arguments of the scan", problems)


def _common(arrays: list[Array]) -> Kind:
    """The kind of all; complex if one of them is (the complex step perturbs one only)."""
    return kind_of(next((a for a in arrays if is_complex(a)), arrays[0]))
