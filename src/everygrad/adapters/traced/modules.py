"""Calls of torch's own modules."""

from typing import Any

from torch import nn

from everygrad.adapters.torch_parts import ACTIVATIONS, RECURRENT, known_kind
from everygrad.adapters.traced.arithmetic import each, elementwise, linear
from everygrad.adapters.traced.building import Building
from everygrad.adapters.traced.recurrent import recurrent
from everygrad.adapters.traced.values import Axis, Held, Refused, Value, what_is
from everygrad.adapters.traced.viewing import flattened
from everygrad.graph.sequence import Embedding


def called(building: Building, m: Any, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a call of a module gives that has a counterpart; raises `Refused` for what it is called with."""
    kind = known_kind(m)
    options = dict(kwargs)
    x, *rest = (*([options.pop("input")] if "input" in options else []), *args, *options.values())
    if len(rest) > (kind in RECURRENT):
        raise Refused(f"it takes one tensor, got {1 + len(rest)} arguments")
    if kind in RECURRENT:
        return recurrent(building, m, x, *rest)
    if not isinstance(x, Value):
        raise Refused(f"it takes a tensor that depends on the data, got {what_is(x)}")
    stem = f"{path}." if path else ""
    if kind is nn.Embedding:
        return embedded(building, x, Held(m.weight, f"{stem}weight"), path)
    if kind is nn.Linear:
        bias = None if m.bias is None else Held(m.bias, f"{stem}bias")
        return linear(building, x, Held(m.weight, f"{stem}weight"), bias, path)
    if kind is nn.Flatten:
        return flattened(building, x, m.start_dim, m.end_dim)
    return elementwise(building, x, ACTIVATIONS[kind](m)) if kind in ACTIVATIONS else x


def embedded(building: Building, x: Value, table: Held, path: str) -> Value:
    """E[x] for each token. Embedding number i gives ``ei`` from ``Ei``."""
    if not x.raw:
        raise Refused("it takes the tokens as they come, whole numbers (batch, time) or (batch,)")
    number = building.number("embedding")
    E = building.held(table, f"E{number}")
    symbols = each(x, lambda s: building.apply(Embedding(), s, E, name=f"e{number}"))
    building.call_alias(path, list(symbols.reshape(-1)))
    return Value(symbols, (*x.axes, Axis("features", table.tensor.shape[1])))
