"""nn.RNN, nn.LSTM and nn.GRU as scans, with the names of eg.Recurrent and torch's endings."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from everygrad.adapters.traced.building import Building
from everygrad.adapters.traced.values import (
    BATCH,
    TIME,
    Axis,
    Held,
    Refused,
    Value,
    Zeros,
    array_of,
    described,
    single,
    size_of,
    what_is,
)
from everygrad.adapters.watched.setting import Setting, setting
from everygrad.adapters.watched.weights import split
from everygrad.graph import Symbol, ops
from everygrad.graph.arithmetic import Multiply
from everygrad.networks.cells import RecurrentCell

Result = tuple[Value, Value | tuple[Value, ...]]


def recurrent(building: Building, m: nn.Module, x: Any, hx: Any = None) -> Result:
    """(output, h_n) or (output, (h_n, c_n)) of a call, as torch returns them.

    The quantities of a layer end in ``_l0``, ``_l1_reverse``; where the model has several recurrent modules, the path
    of the module stands before that (``h_decoder_l0``), and the number of the call from the second on.
    """
    s = setting(m)
    symbol = _sequence(s, m, x)
    begins = _initial(building, s, hx)
    path = building.paths[m]
    calls = building.number(f"calls of {path}")
    stem = path + ("" if calls == 1 else f"_{calls}")
    ends: dict[str, list[Symbol]] = {state: [] for state in s.state_names}
    for layer in range(s.layers):
        cell = building.cells.of(m, layer)
        halves = []
        for direction in range(s.directions):
            own = s.suffix(layer, direction)
            parameters = _parameters(building, s, m, cell, own, path + own)
            begin = begins[layer * s.directions + direction] or dict(cell.states)
            suffix = stem + own
            scanned = ops.scan(
                cell.cell, symbol, parameters, begin, reverse=direction == 1, label=suffix.lstrip("_"), suffix=suffix
            )
            halves.append(scanned["h"])
            for state in s.state_names:
                ends[state].append(scanned.end[state])
            building.reserve(name + suffix for name in cell.cell.quantities)
            building.reserve(f"{state}{suffix}_end" for state in cell.states)
            _second_names(building, s, cell, suffix)
        symbol = halves[0]
        if s.directions == 2:
            symbol = ops.concatenate(*halves).named(building.name(f"h{stem}_l{layer}_both"))
    first = (BATCH, TIME) if s.batch_first else (TIME, BATCH)
    output = single(symbol, *first, Axis("features", s.outputs * s.directions))
    last = [_stacked(s, ends[state], s.outputs if state == "h" else s.units) for state in s.state_names]
    return output, last[0] if len(last) == 1 else tuple(last)


def _sequence(s: Setting, m: Any, x: Any) -> Symbol:
    """The symbol of the input, whose axes must be as ``batch_first`` says."""
    needed = (BATCH, TIME) if s.batch_first else (TIME, BATCH)
    given = x.axes if isinstance(x, Value) else ()
    if not isinstance(x, Value) or given[:2] != needed or len(given) != 3 or given[2].kind != "features":
        text = (
            f"with batch_first={s.batch_first} it takes a tensor {described((*needed, Axis('features', m.input_size)))}"
        )
        raise Refused(f"{text} and gets {what_is(x)}")
    if given[2].size not in (None, m.input_size):
        raise Refused(f"it needs {m.input_size} features and gets {given[2].size}")
    return x.symbol


def _stacked(s: Setting, symbols: Sequence[Symbol], size: int) -> Value:
    return Value(
        array_of(symbols, (len(symbols),)), (Axis("stack", s.layers * s.directions), BATCH, Axis("features", size))
    )


def _parameters(
    building: Building, s: Setting, m: nn.Module, cell: RecurrentCell, own: str, ending: str
) -> Mapping[str, Symbol]:
    """The symbols of the parameters of one layer and direction, cut out of torch's."""
    torchs = {name: getattr(m, name + own) for name in s.parameters()}
    parts = split(s, {name: tensor.detach() for name, tensor in torchs.items()})
    symbols = {}
    for name in cell.shapes:
        kind = {"U": "weight_ih", "W": "weight_hh", "R": "weight_hr"}.get(name[0])
        if kind is None:
            sources = [torchs["bias_ih"], torchs["bias_hh"]]
        else:
            sources = [torchs[kind]]
        symbols[name] = building.part(tuple(sources), name, parts[name], name + ending)
    return symbols


def _second_names(building: Building, s: Setting, cell: RecurrentCell, suffix: str) -> None:
    """The names without an ending too, where one layer with one direction is all there is."""
    if len(building.paths) == 1 and s.layers == s.directions == 1 and suffix == "_l0":
        for name in (*cell.cell.quantities, *cell.shapes):
            building.alias(name, name + suffix)
        for state in cell.states:
            building.alias(f"{state}_end", f"{state}{suffix}_end")


def _initial(building: Building, s: Setting, hx: Any) -> list[dict[str, Symbol] | None]:
    """The initial states of each layer and direction; None where they are zero."""
    count = s.layers * s.directions
    given = hx if isinstance(hx, tuple | list) else (hx,) * len(s.state_names) if hx is None else (hx,)
    if len(given) != len(s.state_names):
        names = ", ".join(f"{n}_0" for n in s.state_names)
        text = f"its initial states are {len(s.state_names)}: give ({names}), each by itself an argument of forward"
        raise Refused(text)
    sizes = {"h": s.outputs, "c": s.units}
    states = {n: _begin(v, f"{n}_0", count, sizes[n]) for n, v in zip(s.state_names, given, strict=True)}
    if all(v is None for v in states.values()):
        return [None] * count
    zero = [n for n, v in states.items() if v is None]
    if zero and s.projection:
        raise Refused("with proj_size give both initial states, or none")
    begins: list[dict[str, Symbol] | None] = []
    for i in range(count):
        found = {n: v.symbols[i] for n, v in states.items() if v is not None}
        for n in zero:
            found[n] = building.apply(Multiply(), 0.0, next(iter(found.values())))
        begins.append({n: found[n] for n in s.state_names})
    return begins


def _begin(given: Any, name: str, count: int, size: int) -> Value | None:
    """One initial state as a value over the layers; None if it is zero."""
    needed = (Axis("stack", count), BATCH, Axis("features", size))
    if given is None:
        return None
    if isinstance(given, Zeros):
        if len(given.sizes) != 3 or (given.sizes[0], given.sizes[2]) != (count, size) or not _is_batch(given.sizes[1]):
            raise Refused(f"{name} is zeros of another shape than {described(needed)}")
        return None
    if isinstance(given, Held):
        if given.name is None and not given.tensor.any():
            return _begin(Zeros(tuple(given.tensor.shape)), name, count, size)
        raise Refused(f"{name} is a tensor that the module holds: only zeros, and states that depend on the data")
    if not isinstance(given, Value) or given.axes != needed:
        raise Refused(f"{name} must have the axes {described(needed)}, got {what_is(given)}")
    return given


def _is_batch(size: Any) -> bool:
    return size == size_of(BATCH) or isinstance(size, int)


def given_states(m: Any, state: str) -> tuple[int, int, list[str]]:
    """How many initial states of this kind a module takes, their size, and what their names end in."""
    s = setting(m)
    endings = [s.suffix(layer, direction) for layer in range(s.layers) for direction in range(s.directions)]
    return len(endings), s.units if state == "c" else s.outputs, endings
