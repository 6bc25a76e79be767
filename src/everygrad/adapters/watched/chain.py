"""Calls of a cell or of a layer, one after the other in a user's own loop, as one sequence."""

from collections.abc import Sequence
from typing import Any, final
from weakref import ref

import torch

from everygrad.adapters.watched.capture import Captured
from everygrad.adapters.watched.cells import cell_of
from everygrad.adapters.watched.joined import joined_calls, rest
from everygrad.adapters.watched.recorder import Arrivals
from everygrad.adapters.watched.weights import split
from everygrad.graph.time import run, sweep

Steps = dict[str, torch.Tensor]

End = tuple[ref[torch.Tensor], int, bool]


@final
class Chain:
    """Calls of which each was given the states that the one before it gave.

    Those of a cell are steps; those of a layer have any number of steps each.
    """

    def __init__(self, first: Captured, ends: Sequence[Any]) -> None:
        self.steps = [first]
        self._ends = _ends(ends)

    @property
    def arrived(self) -> int:
        """How many gradients autograd delivered to the steps."""
        return sum(step.arrived for step in self.steps)

    def continued(self, step: Captured, states: Sequence[Any], ends: Sequence[Any]) -> bool:
        """Add a call, if it is the next one: given the very tensors that the last one gave, with the same weights.

        Tensors that were written to or cut from the graph since are others.
        """
        last = self.steps[-1]
        same = len(states) == len(self._ends) and all(
            end[0]() is s and end[1:] == _condition(s) for end, s in zip(self._ends, states, strict=True)
        )
        if not same or any(step.weights[name] is not w for name, w in last.weights.items()):
            return False
        self.steps.append(step)
        self._ends = _ends(ends)
        return True

    def joined(self) -> Captured:
        """One call with a step for each call of the cell, (time, batch, units).

        Autograd delivers the total gradient to the states after a step, since the later steps take these tensors
        themselves. The direct one is what is left without the part that the next step sends back,
        ∇⁺s_k = ∇s_k − (∂s_{k+1}/∂s_k)ᵀ ∇s_{k+1}; where nothing is left but rounding it is zero.
        """
        first, names = self.steps[0], self.steps[0].setting.state_names
        if not first.setting.is_cell:
            return first if len(self.steps) == 1 else joined_calls(self.steps)
        direct: Steps = {}
        delivered: Steps = {}
        if self.arrived:
            before = {n: torch.stack([_initial(step, n) for step in self.steps]) for n in names}
            delivered = {n: torch.stack([_delivered(step, n, before[n][0]) for step in self.steps]) for n in names}
            direct = self._direct(before, delivered)
        gradients = {"output" if n == "h" else n: g for n, g in direct.items()}
        return Captured(
            name=first.name,
            setting=first.setting,
            layout=first.layout,
            x=torch.stack([step.x for step in self.steps]),
            initial=first.initial,
            output=torch.stack([step.output for step in self.steps]),
            weights=first.weights,
            random=None,
            arrivals=Arrivals(gradients, self.arrived, any(step.arrivals.recorded for step in self.steps)),
            weight_arrivals=first.weight_arrivals,
            delivered=delivered,
        )

    def _direct(self, before: Steps, delivered: Steps) -> Steps:
        """The states' direct gradients: every step alone, all of them as one batch."""
        first = self.steps[0]
        x = torch.stack([step.x for step in self.steps])
        alone = run(
            cell_of(first.setting),
            x.reshape(1, -1, x.shape[-1]),
            {n: s.reshape(-1, s.shape[-1]) for n, s in before.items()},
            split(first.setting, first.weights),
        )
        outside = dict(delivered)
        if first.c_before_h:  # then what h says of c within the step has been delivered to c already
            inside = alone.jacobian("h", "c").pull(delivered["h"].reshape(1, -1, delivered["h"].shape[-1]))
            outside["c"] = delivered["c"] - inside.reshape(delivered["c"].shape)
        back = sweep(alone, {}, {n: g.reshape(-1, g.shape[-1]) for n, g in outside.items()})
        asked = torch.tensor([step.arrived > 0 for step in self.steps], device=x.device)
        direct = {}
        for name, g in outside.items():
            sent = torch.zeros_like(g)
            sent[:-1] = back.initial[name].reshape(g.shape)[1:]
            sent[~asked] = 0.0  # autograd was not asked for what lies before these steps
            direct[name] = rest(g, sent, (delivered[name] - g).abs())
        return direct


def _ends(states: Sequence[Any]) -> tuple[End, ...]:
    return tuple((ref(state), *_condition(state)) for state in states)


def _condition(state: torch.Tensor) -> tuple[int, bool]:
    """What changes when it is written to, or cut from the graph in place."""
    return 0 if state.is_inference() else state._version, state.requires_grad


def _initial(step: Captured, name: str) -> torch.Tensor:
    if name in step.initial:
        return step.initial[name]
    units = step.setting.outputs if name == "h" else step.setting.units
    return step.x.new_zeros((*step.x.shape[:-1], units))


def _delivered(step: Captured, name: str, like: torch.Tensor) -> torch.Tensor:
    return step.arrivals.gradients.get(f"{name}_n", torch.zeros_like(like))
