"""Calls of one recurrent layer, of which each goes on where the one before it ended, as one call."""

from collections.abc import Sequence

import torch

from everygrad.adapters.watched.capture import Captured
from everygrad.adapters.watched.cells import cell_of
from everygrad.adapters.watched.recorder import Arrivals
from everygrad.adapters.watched.weights import split
from everygrad.graph.time import run, sweep

States = dict[str, torch.Tensor]

ROUNDING = 512
"""What is less than so many machine epsilons, relative to the largest gradient among the units, is rounding."""


def rest(g: torch.Tensor, sent: torch.Tensor, more: torch.Tensor | float = 0.0) -> torch.Tensor:
    """g − sent, exactly zero where nothing but rounding is left; ``more`` is what else took part in g."""
    size = (g.abs() + sent.abs() + more).amax(-1, keepdim=True)
    left = g - sent
    return torch.where(left.abs() > ROUNDING * torch.finfo(g.dtype).eps * size, left, 0.0)


def is_joinable(call: Captured) -> bool:
    """Whether calls like this one can be put one behind the other: one layer, one direction, not packed."""
    setup = call.setting
    return not setup.is_cell and setup.layers == 1 and setup.directions == 1 and call.layout.packing is None


def joined_calls(calls: Sequence[Captured]) -> Captured:
    """One call of all their steps.

    Autograd delivers to the states h_n after a call what comes from outside and what the next call sends back,
    (∂L/∂h_0 of the next call). The latter is computed in closed form and taken away: what is left arrives from
    outside at the last step of the call; where nothing is left but rounding it is zero.
    """
    first, names = calls[0], calls[0].setting.state_names
    time = 1 if first.layout.batched and first.layout.batch_first else 0
    gradients: States = {}
    delivered: States = {}
    if any(call.arrived for call in calls):
        outputs = [_output(call) for call in calls]
        ends = [{name: _end(call, name) for name in names} for call in calls]
        sent = _sent_back(calls, outputs, ends)
        outside = {name: [] for name in names}
        for call, output, end, back in zip(calls, outputs, ends, [*sent[1:], None], strict=True):
            for name in names:
                g = output.clone() if name == "h" else output.new_zeros((len(output), *end[name].shape))
                g[-1] += rest(end[name], back[name]) if back is not None and call.arrived else end[name]
                outside[name].append(g)
        gradients = {
            "output" if name == "h" else name: first.layout.leave(torch.cat(parts)) for name, parts in outside.items()
        }
        delivered = {"output": first.layout.leave(torch.cat(outputs)), **_ends_of(calls[-1])}
    return Captured(
        name=first.name,
        setting=first.setting,
        layout=first.layout,
        x=torch.cat([call.x for call in calls], time),
        initial=first.initial,
        output=torch.cat([call.output for call in calls], time),
        weights=first.weights,
        random=None,
        arrivals=Arrivals(gradients, sum(c.arrived for c in calls), any(c.arrivals.recorded for c in calls)),
        weight_arrivals=first.weight_arrivals,
        delivered=delivered,
    )


def _output(call: Captured) -> torch.Tensor:
    """What was delivered to the output, time-major."""
    return call.layout.enter(call.arrivals.gradients.get("output", torch.zeros_like(call.output)))


def _end(call: Captured, name: str) -> torch.Tensor:
    """What was delivered to h_n or c_n, (batch, units)."""
    g = call.arrivals.gradients.get(f"{name}_n")
    if g is not None:
        return call.layout.enter_state(g)[0]
    batch = call.layout.enter(call.x).shape[1]
    return call.x.new_zeros((batch, call.setting.outputs if name == "h" else call.setting.units))


def _ends_of(call: Captured) -> States:
    return {name: g for name, g in call.arrivals.gradients.items() if name != "output"}


def _sent_back(calls: Sequence[Captured], outputs: Sequence[torch.Tensor], ends: Sequence[States]) -> list[States]:
    """The gradient of h_0 (and c_0) of every call; calls of one length are run together, as one batch."""
    found: list[States] = [{} for _ in calls]
    lengths = [len(output) for output in outputs]
    for length in dict.fromkeys(lengths):
        here = [i for i, other in enumerate(lengths) if other == length]
        first = calls[here[0]]
        weights = {name.removesuffix(first.setting.suffix(0, 0)): w for name, w in first.weights.items()}
        before = {n: torch.cat([_before(calls[i], n, ends[i][n]) for i in here]) for n in ends[0]}
        x = torch.cat([calls[i].layout.enter(calls[i].x) for i in here], 1)
        done = run(cell_of(first.setting), x, before, split(first.setting, weights))
        last = {n: torch.cat([ends[i][n] for i in here]) for n in ends[0]}
        back = sweep(done, {"h": torch.cat([outputs[i] for i in here], 1)}, last).initial
        parts = {n: back.get(n, torch.zeros_like(g)).split(len(ends[0][n])) for n, g in last.items()}
        for k, i in enumerate(here):
            found[i] = {n: part[k] for n, part in parts.items()}
    return found


def _before(call: Captured, name: str, like: torch.Tensor) -> torch.Tensor:
    return call.layout.enter_state(call.initial[name])[0] if name in call.initial else torch.zeros_like(like)
