"""From what was captured of a recurrent call to what is read: names, layouts, one record per layer and direction."""

from collections.abc import Iterable

import torch

from everygrad.adapters.watched.capture import Captured
from everygrad.adapters.watched.chain import Chain
from everygrad.adapters.watched.inside import Backward, Direction, Forward, Tensors, backward, forward, initial
from everygrad.adapters.watched.records import Call, Part, Quantities
from everygrad.adapters.watched.setting import Setting
from everygrad.backprop.replay import Later
from everygrad.errors import UnsupportedError

Named = dict[str, torch.Tensor]


def explain(captured: Captured | Chain, missing: str) -> Call:
    """Everything inside one call, in closed form; ``missing`` is why there are no gradients, if there are none.

    Raises `UnsupportedError` if the call did not compute what the module's equations say, or if backward was
    itself recorded. Cost: a forward pass and a backward pass; the direct gradients, which need no loop, are made when
    they are asked for.
    """
    device = (captured.steps[0] if isinstance(captured, Chain) else captured).x.device
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        call = captured.joined() if isinstance(captured, Chain) else captured
        if call.arrivals.recorded:
            raise UnsupportedError(
                f"{call.name!r}: it was differentiated with create_graph=True: what gradients of gradients add does "
                "not pass through its output. Watch a step without"
            )
        done = forward(call)
        found = list(backward(call, done)) if call.arrivals.gradients else []
        found.reverse()  # first layer first
        names = {f"{n}{d.suffix}": (b.weights, n) for d, b in found for n in b.weights}
        weights = Later(names, lambda: {name: of[n] for name, (of, n) in names.items()})
        total = _gradients(call, [(d, b.total) for d, b in found])
        only = done.directions[0].suffix if len(done.directions) == 1 else ""
        return Call(
            total=Quantities("gradient", Later(weights, lambda: weights, total | _initial(call, found)), only, missing),
            values=Quantities("value", _values(call, done), only),
            direct=Quantities("direct gradient", Later(total, lambda: _direct(call, found)), only, missing),
            weights=Quantities("weight gradient", weights, only, missing),
            delivered=Quantities("delivered gradient", _delivered(call), missing=missing),
            parts=tuple(Part(d.suffix, d.reverse, d.run, b.sweep, b.direct) for d, b in found),
        )


def _values(call: Captured, done: Forward) -> Named:
    found = {_input(call.setting, layer): call.layout.leave(x) for layer, x in enumerate(done.inputs)}
    for d in done.directions:
        found |= _quantities(call, d, d.laid(d.run.values))
    found |= {f"{n}_0": call.layout.leave_state(s) for n, s in initial(call, done.inputs[0].shape[1]).items()}
    return found | dict(call.weights)


def _gradients(call: Captured, found: Iterable[tuple[Direction, Tensors]]) -> Named:
    """In the layout of the call; the two directions of a layer share their input, whose gradient is the sum."""
    named: Named = {}
    for d, arrays in found:
        x, g = _input(call.setting, d.layer), call.layout.leave(arrays[d.run.cell.input])
        named[x] = named[x] + g if x in named else g
        named |= _quantities(call, d, arrays)
    return named


def _direct(call: Captured, found: Iterable[tuple[Direction, Backward]]) -> Named:
    with torch.no_grad():
        return _gradients(call, [(d, d.laid(b.direct().total)) for d, b in found])


def _quantities(call: Captured, d: Direction, arrays: Tensors) -> Named:
    return {f"{q}{d.suffix}": call.layout.leave(arrays[q]) for q in d.run.cell.quantities}


def _input(setup: Setting, layer: int) -> str:
    return f"x{setup.suffix(layer, 0)}" if layer else "x"


def _initial(call: Captured, found: list[tuple[Direction, Backward]]) -> Named:
    """The gradients of h_0 and c_0, as torch stacks them."""
    states = call.setting.state_names if found else ()
    return {f"{n}_0": call.layout.leave_state(torch.stack([b.initial[n] for _, b in found])) for n in states}


def _delivered(call: Captured) -> Named:
    if call.delivered is not None:
        return dict(call.delivered)
    enter = {"output": lambda g: call.layout.leave(call.layout.enter(g))}  # pads what is packed
    return {name: enter.get(name, torch.clone)(g) for name, g in call.arrivals.gradients.items()}
