"""The closed form held against autograd: the gradients of the watched weights, both ways."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import final

import torch

from everygrad.adapters.watched.capture import Captured
from everygrad.adapters.watched.chain import Chain
from everygrad.adapters.watched.layer import Layer
from everygrad.adapters.watched.recorder import Arrivals
from everygrad.checks.tolerance import relative_error
from everygrad.errors import UnsupportedError

ROUNDING = {torch.float32: 1e-4, torch.float64: 1e-10}
"""A larger difference, relative by norm, is no rounding: the parameter has another use."""


@final
@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the closed form of one parameter's gradient is from what autograd delivered (relative, by norm)."""

    name: str
    error: float
    ok: bool


def agreement(layers: Iterable[Layer]) -> tuple[Agreement, ...]:
    """One row for each parameter of a recurrent module to which autograd delivered a gradient in this block.

    A parameter that several modules share has the sum of all. Where a row is not ok the parameter has another use
    that adds to its gradient (a penalty, a module that is not watched), or torch.autograd.grad asked for others only.
    """
    sums: dict[int, tuple[str, torch.Tensor, torch.Tensor]] = {}
    for name, arrivals, g in _terms(layers):
        if "gradient" in arrivals.gradients:
            known = sums.get(id(arrivals))
            ours = g if known is None else known[1] + g
            sums[id(arrivals)] = (known[0] if known else name, ours, arrivals.gradients["gradient"])
    rows = [(name, relative_error(ours, theirs), ours.dtype) for name, ours, theirs in sums.values()]
    return tuple(Agreement(name, error, error <= ROUNDING[dtype]) for name, error, dtype in rows)


def _terms(layers: Iterable[Layer]) -> Iterator[tuple[str, Arrivals, torch.Tensor]]:
    """(name, what autograd delivered in all, the closed form of this call) for each parameter of each call."""
    for layer in layers:
        for i, met in enumerate(layer.met):
            call = met.captured.steps[0] if isinstance(met.captured, Chain) else met.captured
            if isinstance(call, Captured) and met.arrived:
                try:
                    weights = layer.explained(i).weights
                except UnsupportedError:
                    continue  # whoever asks for this layer is told why
                for name, g in weights.items():
                    yield f"{layer.name}.{name}", call.weight_arrivals[name], g
