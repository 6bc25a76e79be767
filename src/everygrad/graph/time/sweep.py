"""Backpropagation through time: the gradient of every quantity of a cell at every step, in one pass over a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

from everygrad.engines import Array
from everygrad.graph.time.backloop import backloop
from everygrad.graph.time.loop import beside
from everygrad.graph.time.phases import phases, singly
from everygrad.graph.time.run import Run
from everygrad.graph.time.terms import Terms, add


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """Gradients of a run: arrays (time, batch, units) in the order of processing.

    ``total``: of every quantity with a name and of the input, through all later steps. ``initial``: of the initial
    states, (batch, units). ``parameters``: summed over steps and samples. What no gradient reaches is not there.
    ``direct`` and ``final``: what the sweep was given.
    """

    total: Mapping[str, Array]
    initial: Mapping[str, Array]
    parameters: Mapping[str, Array]
    direct: Mapping[str, Array]
    final: Mapping[str, Array]


def sweep(run: Run, direct: Mapping[str, Array], final: Mapping[str, Array] | None = None, carry: bool = True) -> Sweep:
    """The gradients of a run from those that arrive from outside.

    ``direct``: quantity -> (time, batch, units), what the loss says of it at each step; ``final``: state -> (batch,
    units), what it says of the state after the last step. The total gradient of the states obeys

        ∇s_k = ∇⁺s_k + (∂s_{k+1}/∂s_k)ᵀ ∇s_{k+1},

    with ∇⁺ the direct part; that of a parameter is Σ_k (∂⁺s_k/∂W)ᵀ ∇s_k, taken after the loop as one product over
    all steps and samples. ``carry=False`` cuts the second term: the direct gradients of everything, without a loop.
    Cost: local slopes of all steps at once; per step, one product for all gates together.
    """
    final = final or {}
    todo = phases(run.cell)
    looped = {node.name for node in singly(todo.loop)} | {previous for _, previous in run.cell.states}
    direct = {name: _present(run, g) for name, g in direct.items()}
    found = dict(direct)
    terms = Terms(run)
    for task in reversed(todo.after):
        terms.send(task, found)
    initial: dict[str, Array] = {}
    if carry:
        initial = backloop(run, found, final, terms)
    else:
        for name, g in final.items():
            add(found, name, _at_last_step(run, g))
    for task in reversed(todo.loop):
        terms.send(task, found, (lambda name: name not in looped) if carry else (lambda name: True))
    for task in reversed(todo.before):
        terms.send(task, found)
    if not carry:
        initial = {name: _at_first_step(run, found[p]) for name, p in run.cell.states if p in found}
    shown = {run.cell.input, *run.cell.quantities}
    total = {name: g for name, g in found.items() if name in shown}
    shared = {name: found[name] for name in run.cell.parameters if name in found}
    return Sweep(*map(MappingProxyType, (total, initial, shared, direct, dict(final))))


def _present(run: Run, g: Array) -> Array:
    """Zero where a sequence has no step."""
    if run.mask is None:
        return g
    xp = run.kind.xp
    return xp.where(beside(run.mask, g), g, run.kind.zeros(()))


def _at_last_step(run: Run, g: Array) -> Array:
    """A gradient of the final state as one of the state at each sequence's last step, zero at the others."""
    xp, zero = run.kind.xp, run.kind.zeros(())
    last = xp.arange(run.steps) == run.steps - 1
    if run.mask is None:
        return xp.where(xp.reshape(last, (-1, *(1,) * g.ndim)), g, zero)
    present = xp.astype(run.mask, xp.int32)
    later = xp.sum(present, axis=0) - xp.cumulative_sum(present, axis=0)  # the steps that follow
    return xp.where(beside(run.mask & (later == 0), g[None]), g, zero)


def _at_first_step(run: Run, g: Array) -> Array:
    """Of gradients of the states before each step, that of each sequence's first one: the initial state."""
    if run.mask is None:
        return g[0]
    xp = run.kind.xp
    present = xp.astype(run.mask, xp.int32)
    first = run.mask & (xp.cumulative_sum(present, axis=0) == 1)
    return xp.sum(xp.where(beside(first, g), g, run.kind.zeros(())), axis=0)
