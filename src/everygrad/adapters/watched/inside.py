"""The inside of one call of a recurrent module in closed form: values and gradients at every step."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import final

import torch

from everygrad.adapters.watched.capture import Captured
from everygrad.adapters.watched.cells import cell_of
from everygrad.adapters.watched.dropout import masks
from everygrad.adapters.watched.views import run_of, sweep_of
from everygrad.adapters.watched.weights import join, split
from everygrad.backprop.replay import Later
from everygrad.errors import UnsupportedError
from everygrad.graph.time import Run, Sweep

Tensors = Mapping[str, torch.Tensor]

FORWARD_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8}
"""How far the output may be from what the module gave; more is another function, or a chaotic one."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """One layer in one direction: its run, in the order of processing; ``k`` counts them all, as h_n does."""

    k: int
    layer: int
    reverse: bool
    suffix: str
    run: Run

    def turned(self, array: torch.Tensor) -> torch.Tensor:
        """Between the order of time and the order of processing: it is its own inverse."""
        return array.flip(0) if self.reverse else array

    def laid(self, arrays: Tensors) -> Tensors:
        """Every quantity of the cell and its input in the order of time; zero in the padding and where none is."""
        found = {}
        for name in (self.run.cell.input, *self.run.cell.quantities):
            array = arrays[name] if name in arrays else torch.zeros_like(self.run.values[name])
            if self.run.mask is not None:
                array = torch.where(self.run.mask[..., None], array, 0.0)
            found[name] = self.turned(array)
        return MappingProxyType(found)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """All directions, the first layer's first, and the input of each layer, time-major.

    ``dropped``: what the output of the layer below was multiplied with, None if with nothing.
    """

    directions: tuple[Direction, ...]
    inputs: tuple[torch.Tensor, ...]
    dropped: tuple[torch.Tensor | None, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Backward:
    """Gradients of one direction, (time, batch, units) in the order of time.

    ``initial``: of the states before the first step; ``weights``: under torch's names without suffix; ``sweep``
    and ``direct``: the total and the direct one, in the order of processing; the latter is made when it is asked for.
    """

    total: Tensors
    sweep: Sweep
    direct: Callable[[], Sweep]
    initial: Tensors
    weights: Tensors


def forward(call: Captured) -> Forward:
    """Run every layer as torch did; raises `UnsupportedError` if another output comes out."""
    setup = call.setting
    x = call.layout.enter(call.x)
    mask = call.layout.mask(x.device)
    drawn = _dropped(call, x)
    directions: list[Direction] = []
    inputs: list[torch.Tensor] = []
    for layer in range(setup.layers):
        inputs.append(x)
        here = [_run(call, layer, reverse, x, mask) for reverse in range(setup.directions)]
        x = torch.cat([d.laid(d.run.values)["h"] for d in here], dim=-1)
        if layer < len(drawn):
            x = x * drawn[layer]
        directions += here
    _compare(call, x)
    return Forward(tuple(directions), tuple(inputs), (None, *drawn) if drawn else (None,) * setup.layers)


def _run(call: Captured, layer: int, reverse: int, x: torch.Tensor, mask: torch.Tensor | None) -> Direction:
    setup = call.setting
    k = layer * setup.directions + reverse
    suffix = setup.suffix(layer, reverse)
    weights = {name: call.weights[name + suffix] for name in setup.parameters()}
    first = {name: states[k] for name, states in initial(call, x.shape[1]).items()}
    if reverse:
        x, mask = x.flip(0), None if mask is None else mask.flip(0)
    done = run_of(cell_of(setup), x, first, split(setup, weights), mask)
    return Direction(k, layer, bool(reverse), suffix, done)


def initial(call: Captured, batch: int) -> dict[str, torch.Tensor]:
    """h_0 (and c_0) as (layers x directions, batch, units): those given, or zeros."""
    setup = call.setting
    count = setup.layers * setup.directions
    sizes = {"h": setup.outputs, "c": setup.units}
    return {
        name: call.layout.enter_state(call.initial[name])
        if name in call.initial
        else call.x.new_zeros((count, batch, sizes[name]))
        for name in setup.state_names
    }


def backward(call: Captured, done: Forward) -> Iterator[tuple[Direction, Backward]]:
    """The gradients of every layer and direction, from the last to the first."""
    setup, layout = call.setting, call.layout
    arrived = call.arrivals.gradients
    above = layout.enter(arrived["output"]) if "output" in arrived else None
    last = {name: layout.enter_state(arrived[f"{name}_n"]) for name in setup.state_names if f"{name}_n" in arrived}
    for layer in reversed(range(setup.layers)):
        below = []
        for d in reversed(done.directions[layer * setup.directions : (layer + 1) * setup.directions]):
            columns = slice(d.reverse * setup.outputs, (d.reverse + 1) * setup.outputs)
            outside = {} if above is None else {"h": d.turned(above[..., columns])}
            outside |= {n: layout.enter(arrived[n]) for n in setup.state_names if n in arrived}  # of a chain of cells
            found = _sweep(call, d, outside, {name: g[d.k] for name, g in last.items()})
            below.append(found.total[d.run.cell.input])
            yield d, found
        above = torch.stack(below).sum(0)
        dropped = done.dropped[layer]
        above = above if dropped is None else above * dropped


def _sweep(call: Captured, d: Direction, outside: Tensors, last: Tensors) -> Backward:
    total = sweep_of(d.run, outside, last)

    @cache
    def direct() -> Sweep:
        with torch.no_grad(), torch.autocast(call.x.device.type, enabled=False):
            return sweep_of(d.run, outside, last, carry=False)

    def weights() -> Tensors:
        with torch.no_grad(), torch.autocast(call.x.device.type, enabled=False):
            found = {n: total.parameters.get(n, torch.zeros_like(d.run.values[n])) for n in d.run.cell.parameters}
            return join(call.setting, found)

    first = {name: total.initial.get(name, torch.zeros_like(state)) for name, state in d.run.final.items()}
    return Backward(
        total=d.laid(total.total),
        sweep=total,
        direct=direct,
        initial=MappingProxyType(first),
        weights=Later(call.setting.parameters(), weights),
    )


def _dropped(call: Captured, x: torch.Tensor) -> list[torch.Tensor]:
    """The dropout masks between the layers, time-major; none if there is no dropout."""
    setup, packing = call.setting, call.layout.packing
    if call.random is None:
        return []
    shape = (*(x.shape[:2] if packing is None else call.x.shape[:1]), setup.outputs * setup.directions)
    drawn = masks(shape, x, setup.layers - 1, setup.dropout, call.random)
    return drawn if packing is None else [packing.padded(mask) for mask in drawn]


def _compare(call: Captured, output: torch.Tensor) -> None:
    """Raise unless the output is what the module gave: then nothing else was at work inside of it."""
    expected = call.layout.enter(call.output)
    quick = float((output - expected).norm()), float(expected.norm())  # finite if all are
    if quick[0] <= FORWARD_TOLERANCE[output.dtype] * quick[1] < math.inf:
        return
    same = (output == expected) | (output.isnan() & expected.isnan())
    difference = torch.where(same, 0.0, output - expected).norm()
    size = torch.where(same & ~expected.isfinite(), 0.0, expected).norm()
    error = float(difference / size if size > 0 else difference)
    tolerance = FORWARD_TOLERANCE[output.dtype]
    if error <= tolerance:
        return
    text = (
        f"{call.name!r}: what it gave differs by {error:.2g} from what its equations give "
        f"(relative; at most {tolerance:g} is rounding)"
    )
    if call.setting.dropout:
        raise UnsupportedError(
            f"{text}: the dropout between its layers is drawn inside of the fused operation, where it cannot be seen. "
            "Watch in eval mode, set its dropout to 0 for this step, or use one module per layer with "
            "nn.Dropout between them (on a GPU also: torch.backends.cudnn.flags(enabled=False))"
        )
    raise UnsupportedError(
        f"{text}: a hook or a subclass changes what it computes; or rounding grows from step "
        "to step in a chaotic network, then watch it in float64 or on a shorter sequence"
    )
