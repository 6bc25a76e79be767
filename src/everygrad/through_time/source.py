"""What the analyses start from: a run of one recurrent layer, and the gradients that arrive at it from outside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, final

import numpy as np

from everygrad.backprop import Gradients, Trace, gradients
from everygrad.engines import Array, namespace, to_numpy
from everygrad.errors import InputError, unknown_name
from everygrad.graph.time import Run, Segments, Sweep, run

Source = Any
"""A `Recurrence`, a `Run`, a `Gradients`, a `Trace`, or a network (followed by its parameters and data)."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Recurrence:
    """A run of a layer, and what the loss says of it directly.

    ``direct``: quantity -> (T, B, n), the gradient that arrives from outside at each step (∂L_t/∂s_t, L_t being the
    part of the loss that reads step t); ``final``: state -> (B, n), what arrives at the state after the last step.
    All arrays have the time first, then the samples, in the order in which the layer reads (a reverse layer's step
    0 is the last of the sequence).
    """

    run: Run
    direct: Mapping[str, Array] = field(default_factory=lambda: MappingProxyType({}))
    final: Mapping[str, Array] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        states, T, B = [name for name, _ in self.run.cell.states], self.run.steps, self.run.batch
        for given, known, lead in ((self.direct, self.run.cell.quantities, (T, B)), (self.final, states, (B,))):
            for name, g in given.items():
                if name not in known:
                    raise unknown_name("quantity of the cell", name, known)
                shape = (*lead, *self.run.shapes[name])
                if tuple(g.shape) != shape:
                    raise InputError(f"what arrives at {name!r} has shape {tuple(g.shape)}, expected {shape}")

    def arriving(self) -> dict[str, Array]:
        """All that arrives, (T, B, n): ``direct``, and ``final`` at each sample's own last step; 0 in the padding."""
        kind, xp = self.run.kind, self.run.kind.xp
        live = present(self.run)
        found = dict(self.direct)
        if self.run.mask is not None:
            found = {name: xp.where(_spread(self.run.mask, g), g, kind.zeros(())) for name, g in found.items()}
        later = live.sum(0) - np.cumsum(live, 0)
        last = kind.indices(live & (later == 0))
        for name, g in self.final.items():
            term = xp.where(_spread(last, g[None]), g, kind.zeros(()))
            found[name] = found[name] + term if name in found else term
        return found

    def need_gradient(self, what: str) -> None:
        """`InputError` unless something arrives."""
        if not self.direct and not self.final:
            raise InputError(
                f"{what} needs the gradient that arrives at each step: give a Gradients, a network with its data, "
                "or Recurrence(run, direct={'h': ...}); a Run or a Trace alone has none"
            )


def present(run: Run) -> np.ndarray:
    """(T, B): whether a sample has a step there."""
    return np.ones((run.steps, run.batch), bool) if run.mask is None else to_numpy(run.mask).astype(bool)


def _spread(mask: Array, like: Array) -> Array:
    xp = namespace(mask)
    return xp.reshape(mask, (*mask.shape, *(1,) * (like.ndim - 2)))


def recurrence(source: Source, rest: tuple[Any, ...], layer: str) -> Recurrence:
    """The recurrence of one layer, from whatever is at hand."""
    if isinstance(source, Recurrence):
        return source
    if isinstance(source, Run):
        return Recurrence(source)
    if isinstance(source, Gradients):
        sweep: Sweep = _layer(source.sweeps, layer)
        return Recurrence(_whole(_layer(source.trace.runs, layer)), sweep.direct, sweep.final)
    if isinstance(source, Trace):
        return Recurrence(_whole(_layer(source.runs, layer)))
    if not rest:
        raise InputError(
            f"expected a network with parameters and data, a Gradients, a Trace, a Run or a Recurrence, "
            f"got {type(source).__name__} alone"
        )
    return recurrence(gradients(source, *rest), (), layer)


def _whole(ran: Run | Segments) -> Run:
    """A run that has kept everything; one in segments (``remember="sqrt"``) is run once more."""
    if isinstance(ran, Run):
        return ran
    before = {name: states[0] for name, states in ran.before.items()}
    return run(ran.cell, ran.given[ran.cell.input], before, ran.parameters, ran.mask)


def _layer(by_label: Mapping[str, Any], label: str) -> Any:
    if not by_label:
        raise InputError("there is no recurrent layer in this network: nothing is carried through time")
    if label not in by_label:
        raise unknown_name("recurrent layer", label, by_label)
    return by_label[label]
