"""The gradient of a state, consumer by consumer, at some steps of some sequences of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, final

import numpy as np

from everygrad.engines import Array, to_numpy
from everygrad.graph.time import Cell, Run, Sweep, sweep

When = Literal["outside", "same", "next"]
Terms = dict[tuple[When, str], Array]
"""(when, consumer) -> its term; the consumer is "" outside of the layer."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Some steps of some sequences as a short run, (steps, sequences, units), with all gradients there.

    ``total``: of every quantity, those without a name included. ``outside``: what arrives from outside of the layer.
    """

    run: Run
    total: Mapping[str, Array]
    outside: Mapping[str, Array]

    def direct(self) -> Mapping[str, Array]:
        """What comes through these steps alone: steps do not meet when the recurrence is cut."""
        return sweep(self.run, self.outside, carry=False).total


def consumers(cell: Cell, name: str) -> Iterator[tuple[str, int, str]]:
    """(quantity, slot, in whose name) for each use of a quantity within a step.

    What has no name of its own, W h in U x + W h + b, stands for the quantity that it is a part of.
    """
    graph = cell.graph
    for user, slot in graph.consumers[name]:
        behind, named = [user], []
        while behind:
            at = behind.pop()
            if at in cell.quantities:
                named.append(at)
            else:
                behind += [after for after, _ in graph.consumers[at]]
        if named:
            yield user, slot, ", ".join(dict.fromkeys(sorted(named, key=cell.quantities.index)))


def points(run: Run, swept: Sweep, steps: np.ndarray, rows: np.ndarray) -> Points:
    """These steps, in the order of processing, of the sequences ``rows``; ``steps`` (shown, rows), each its own."""
    t, b = run.kind.indices(steps), run.kind.indices(np.tile(rows, (len(steps), 1)))
    values = {name: v[t, b] if run.over_time(name) else v for name, v in run.values.items()}
    here = replace(run, values=MappingProxyType(values), final=MappingProxyType({}), mask=None)
    outside = {name: g[t, b] for name, g in swept.direct.items()}
    last = run.kind.indices(steps == last_steps(present(run)[:, rows]))
    for name, g in swept.final.items():
        spread = run.kind.xp.reshape(last, (*last.shape, *(1 for _ in run.shapes[name])))
        term = run.kind.xp.where(spread, g[b], run.kind.zeros(()))
        outside[name] = outside[name] + term if name in outside else term
    total = {name: g[t, b] for name, g in swept.total.items()}
    graph = run.cell.graph
    for node in reversed(graph.nodes):
        if node.operation is not None and node.lead and node.name not in run.cell.quantities:
            for user, slot in graph.consumers[node.name]:
                if user in total and run.differentiable(graph.by_name[user], slot):
                    term = here.local(user, slot).pull(total[user])
                    total[node.name] = total[node.name] + term if node.name in total else term
    return Points(here, MappingProxyType(total), MappingProxyType(outside))


def terms(here: Points, after: Points, follows: np.ndarray, state: str, previous: str) -> Terms:
    """The terms of a state's gradient: from outside, from its consumers at the same step, and at the next one.

    ``follows`` (steps, rows): whether there is a next step, whose points are ``after``. They add up to the total
    gradient: ∇s_t = ∇⁺s_t + Σ_u (∂u_t/∂s_t)ᵀ ∇u_t + Σ_u (∂u_{t+1}/∂s_t)ᵀ ∇u_{t+1}. Cost: one product for each.
    """
    found: Terms = {}
    if state in here.outside:
        found["outside", ""] = here.outside[state]
    kind = here.run.kind
    there = kind.indices(follows)
    there = kind.xp.reshape(there, (*there.shape, *(1 for _ in here.run.shapes[state])))
    same: tuple[When, Points, str] = ("same", here, state)
    for when, at, name in (same, ("next", after, previous)):
        for user, slot, consumer in consumers(at.run.cell, name):
            if user in at.total and at.run.differentiable(at.run.cell.graph.by_name[user], slot):
                term = at.run.local(user, slot).pull(at.total[user])
                if when == "next":
                    term = kind.xp.where(there, term, kind.zeros(()))
                key = (when, consumer)
                found[key] = found[key] + term if key in found else term
    return found


def present(run: Run) -> np.ndarray:
    """(T, B): whether a sequence has a step there."""
    return np.ones((run.steps, run.batch), bool) if run.mask is None else to_numpy(run.mask).astype(bool)


def last_steps(live: np.ndarray) -> np.ndarray:
    """The last step of each sequence, −1 if it has none."""
    T = len(live)
    return np.where(live.any(0), T - 1 - live[::-1].argmax(0), -1)


def next_steps(live: np.ndarray) -> np.ndarray:
    """(T, B): the step that each sequence comes to after each one, T if none."""
    T = len(live)
    at = np.where(live, np.arange(T)[:, None], T)
    coming = np.minimum.accumulate(at[::-1], axis=0)[::-1]
    return np.concatenate([coming[1:], np.full((1, live.shape[1]), T)])
