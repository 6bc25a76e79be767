"""One step of a run as a linear map, applied from both sides; nothing of size d × d is formed."""

import math
from collections.abc import Collection, Mapping
from typing import final

import numpy as np

from everygrad.engines import Array, to_numpy
from everygrad.errors import InputError, unknown_name
from everygrad.graph.time import Run
from everygrad.jacobians import Diagonal, Jacobian
from everygrad.through_time.edges import Edges, edges_between, merged, uses

Arrays = dict[str, Array]


@final
class Steps:
    """The steps of a run, each the linear map from a change of the state before it to the state after it.

    Only the quantities between the previous states and ``wrt`` (parameters) on one side, the states and ``ends``
    (where gradients arrive) on the other are visited; with ``merge`` not even those that can be left out. The slopes
    of all steps are taken at once, when this is made; `pull` and `push` then cost one product for each edge, which
    for a weight is (rows · B · d) × d, the rows of all samples in one. At a step that a mask leaves out the map is
    the identity.
    """

    def __init__(self, run: Run, wrt: Collection[str] = (), ends: Collection[str] = (), merge: bool = True) -> None:
        graph = run.cell.graph
        self.run = run
        self.kind = run.kind
        self.states = run.cell.states
        self.shapes = {name: run.shapes[previous] for name, previous in self.states}
        self.sizes = {name: math.prod(shape) for name, shape in self.shapes.items()}
        for name in wrt:
            if name not in graph.parameters:
                raise unknown_name("parameter of the cell", name, graph.parameters)
        before = {previous for _, previous in self.states}
        last = {name for name, _ in self.states}
        self.edges: Edges = edges_between(run, {*before, *wrt}, {*last, *ends})
        self.uses = {name: tuple(uses(run, name, self.edges)) for name in wrt}
        if merge:
            used = {use.quantity for found in self.uses.values() for use in found}
            self.edges = merged(self.edges, {*last, *ends, *used})

    @property
    def count(self) -> int:
        """T, the number of steps."""
        return self.run.steps

    @property
    def size(self) -> int:
        """d, how many numbers the stacked state has."""
        return sum(self.sizes.values())

    @property
    def width(self) -> int:
        """How many numbers of one sample `pull` holds at a time."""
        names = {*self.edges, *(name for edges in self.edges.values() for name, _ in edges)}
        return sum(math.prod(self.run.shapes[name]) for name in names)

    def pull(self, g: Mapping[str, Array], t: int | None = None) -> Arrays:
        """Jᵀ g: the gradients of all quantities of step ``t``, the previous states among them, from those that arrive.

        ``g``: quantity (a state, say) -> (*rows, B, *shape). ``t`` None: all steps, (*rows, T, B, *shape).
        """
        live = self._live(t)
        found = {name: self._kept(live, name, a) for name, a in g.items()}
        for node, edges in reversed(self.edges.items()):
            if node in found:
                for name, J in edges:
                    _add(found, name, _pulled(J, t, found[node]))
        if live is not None:  # where there is no step, the state is carried on
            for name, previous in self.states:
                if name in g or previous in found:
                    lead = self.lead(g)
                    through = found[previous] if previous in found else self.kind.zeros((*lead, *self.shapes[name]))
                    past = g[name] if name in g else self.kind.zeros(())
                    found[previous] = self.kind.xp.where(self._spread(live, name), through, past)
        return found

    def back(self, g: Mapping[str, Array], t: int | None = None) -> Arrays:
        """Jᵀ g from states to the states before them, under the states' names; zeros where no gradient comes."""
        return self.before(self.pull(g, t), self.lead(g))

    def before(self, found: Mapping[str, Array], lead: tuple[int, ...]) -> Arrays:
        """Of what `pull` found, the gradients of the previous states, under the states' names."""
        return {
            name: found[previous] if previous in found else self.kind.zeros((*lead, *self.shapes[name]))
            for name, previous in self.states
        }

    def lead(self, g: Mapping[str, Array]) -> tuple[int, ...]:
        """The leading axes (*rows, B) of arrays by quantity."""
        name, a = next(iter(g.items()))
        return tuple(a.shape[: len(a.shape) - len(self.run.shapes[name])])

    def push(self, v: Mapping[str, Array], t: int | None = None) -> Arrays:
        """J v: the change of the states of step ``t`` from a change of the states before it, both by state name."""
        found = {previous: v[name] for name, previous in self.states}
        for node, edges in self.edges.items():
            for name, J in edges:
                if name in found:
                    _add(found, node, _at(J, t).push(found[name]))
        live = self._live(t)
        after = {}
        for name, _ in self.states:
            new = found[name] if name in found else 0.0 * v[name]
            after[name] = new if live is None else self._kept(live, name, new) + self._dropped(live, name, v[name])
        return after

    def split(self, stacked: Array) -> Arrays:
        """The stacked state (*rows, d) as one array for each state."""
        if stacked.shape[-1] != self.size:
            sizes = " + ".join(f"{n} ({name})" for name, n in self.sizes.items())
            raise InputError(f"a state vector has {self.size} numbers, {sizes}; got shape {tuple(stacked.shape)}")
        found, start, xp = {}, 0, self.kind.xp
        for name, n in self.sizes.items():
            part = stacked[..., start : start + n]
            found[name] = xp.reshape(part, (*part.shape[:-1], *self.shapes[name]))
            start += n
        return found

    def join(self, states: Mapping[str, Array]) -> Array:
        """One array (*rows, d) of all states, in the order of the cell."""
        xp = self.kind.xp
        lead = self.lead(states)
        parts = [xp.reshape(states[name], (*lead, n)) for name, n in self.sizes.items()]
        return parts[0] if len(parts) == 1 else xp.concat(parts, axis=-1)

    def identity(self) -> Arrays:
        """The rows of the identity, as states (d, B, n): the seed of a matrix."""
        xp, d = self.kind.xp, self.size
        rows = xp.broadcast_to(xp.reshape(self.kind.eye(d), (d, 1, d)), (d, self.run.batch, d))
        return self.split(rows)

    def live(self) -> np.ndarray:
        """(T, B): whether a sample has a step there."""
        mask = self.run.mask
        return np.ones((self.count, self.run.batch), bool) if mask is None else to_numpy(mask).astype(bool)

    def _live(self, t: int | None) -> Array | None:
        mask = self.run.mask
        return mask if mask is None or t is None else mask[t]

    def _spread(self, live: Array, name: str) -> Array:
        return self.kind.xp.reshape(live, (*live.shape, *(1 for _ in self.run.shapes[name])))

    def _kept(self, live: Array | None, name: str, a: Array) -> Array:
        """``a`` where there is a step, else 0."""
        if live is None:
            return a
        return self.kind.xp.where(self._spread(live, name), a, self.kind.zeros(()))

    def _dropped(self, live: Array, name: str, a: Array) -> Array:
        """``a`` where there is no step, else 0."""
        return self.kind.xp.where(self._spread(live, name), self.kind.zeros(()), a)


def _at(J: Jacobian, t: int | None) -> Jacobian:
    return J if t is None else J.at(t)


def _pulled(J: Jacobian, t: int | None, g: Array) -> Array:
    """J_tᵀ g; the commonest by far, an elementwise slope, without an object for each step."""
    if t is not None and isinstance(J, Diagonal) and len(J.d.shape) == 3:
        return g * J.d[t]
    return _at(J, t).pull(g)


def _add(found: Arrays, name: str, term: Array) -> None:
    found[name] = found[name] + term if name in found else term
