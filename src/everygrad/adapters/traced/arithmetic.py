"""Elementwise functions, sums and products of tensors of torch, Linear layers and means."""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from everygrad.adapters.traced.building import Building
from everygrad.adapters.traced.values import Axis, Held, Refused, Value, Zeros, array_of, described, single, what_is
from everygrad.graph import Operation, Symbol
from everygrad.graph.affine import Affine
from everygrad.graph.arithmetic import Add, Multiply
from everygrad.graph.arrange import Transpose
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.sequence import MeanOverTime


def each(value: Value, function: Callable[[Symbol], Symbol]) -> np.ndarray:
    """The function of each symbol of a value."""
    return array_of([function(s) for s in value.symbols.reshape(-1)], value.symbols.shape)


def elementwise(building: Building, x: Value, operation: Elementwise) -> Value:
    """g(x). What follows Linear number i is called ``hi``, then ``hi_2`` ..."""

    def apply(symbol: Symbol) -> Symbol:
        layer = building.after_layer(symbol)
        result = building.apply(operation, symbol, name=None if layer is None else f"h{layer}")
        building.after_layer(result, symbol)
        return result

    return Value(each(x, apply), x.axes, x.raw)


def number_of(operand: Any) -> float | None:
    """A plain number, or a constant tensor of one element, as a number; None for anything else."""
    if isinstance(operand, Held) and operand.name is None and operand.tensor.numel() == 1:
        return float(operand.tensor)
    return float(operand) if isinstance(operand, int | float) and not isinstance(operand, bool) else None


def as_operand(building: Building, operand: Any) -> Value | float:
    """A value or a number; a parameter of the user's own becomes a value."""
    number = number_of(operand)
    if number is not None:
        return number
    if isinstance(operand, Value):
        return building.vectors(operand)
    if isinstance(operand, Zeros):
        raise Refused("zeros are read as initial states only: leave them out")
    if not isinstance(operand, Held):
        raise Refused(f"a tensor or a number is expected, got {what_is(operand)}")
    held = operand
    if held.name is None:
        raise Refused(f"a tensor of {held.tensor.numel()} constants: only numbers, and parameters (nn.Parameter)")
    shape = tuple(held.tensor.shape)
    if len(shape) > 1:
        raise Refused(f"a parameter of shape {shape}: one vector (features,) or number is expected here")
    return single(building.held(held, held.name), *(Axis("features", n) for n in shape))


def binary(building: Building, operation: Operation, x: Any, y: Any) -> Value:
    """x ∘ y with torch's broadcasting, as far as it does not join different kinds of axes."""
    u, v = as_operand(building, x), as_operand(building, y)
    if isinstance(u, Value) and not isinstance(v, Value):
        return Value(each(u, lambda s: building.apply(operation, s, v)), u.axes)
    if isinstance(v, Value) and not isinstance(u, Value):
        return Value(each(v, lambda s: building.apply(operation, u, s)), v.axes)
    if not isinstance(u, Value) or not isinstance(v, Value):
        raise Refused("it joins two constants: make one of them")
    axes = _joined(u, v)
    left, right = np.broadcast_arrays(_over(u, axes), _over(v, axes))
    pairs = zip(left.reshape(-1), right.reshape(-1), strict=True)
    return Value(array_of([building.apply(operation, a, b) for a, b in pairs], left.shape), axes)


def _joined(u: Value, v: Value) -> tuple[Axis, ...]:
    """The axes of the result, side by side from the last on."""
    axes: list[Axis] = []
    fits = True
    for p, q in zip_longest(reversed(u.axes), reversed(v.axes), fillvalue=Axis("stack", 1)):
        fits = fits and (_fits(p, q) or _fits(q, p))
        axes.append(p if _fits(p, q) else q)
    own = [part for axis in axes if axis.kind != "stack" for part in axis.kind.split(" x ")]
    if not fits or len(set(own)) < len(own):  # twice the samples, say: each with each
        raise Refused(f"it joins tensors {described(u.axes)} and {described(v.axes)}: give both the same axes")
    return tuple(reversed(axes))


def _fits(axis: Axis, other: Axis) -> bool:
    """Whether the axis is that of the result, when another one meets it."""
    if axis == other or other == Axis("stack", 1):
        return True
    return axis.kind == other.kind == "features" and (other.size in (1, None))


def _over(value: Value, axes: Sequence[Axis]) -> np.ndarray:
    """The symbols of a value over the stacks of a result with these axes."""
    missing = len(axes) - len(value.axes)
    own = [axis.size or 1 if axis.kind == "stack" else 1 for axis in value.axes]
    shape = [own[i - missing] if i >= missing else 1 for i, axis in enumerate(axes) if axis.kind == "stack"]
    return value.symbols.reshape(shape)


def linear(building: Building, x: Any, weight: Held, bias: Held | None, path: str = "") -> Value:
    """a = W x + b for each sample and step. Linear number i gives ``ai`` from ``Wi`` and ``bi``."""
    if not isinstance(x, Value):
        raise Refused("it takes a tensor that depends on the data")
    if weight.name is None or (bias is not None and bias.name is None):
        raise Refused("its weights must be parameters (nn.Parameter)")
    rows, columns = weight.tensor.mT.shape if weight.transposed else weight.tensor.shape
    last = x.axes[-1] if x.axes else None
    if last is None or last.kind not in ("features", "anything"):
        raise Refused(f"it needs {columns} features in the last axis and gets {described(x.axes)}")
    if last.size not in (None, columns):
        raise Refused(f"it needs {columns} features and gets {last.size}")
    layer = building.number("linear")
    W = building.held(weight, f"W{layer}")
    if weight.transposed:
        W = building.apply(Transpose(), W)
    b = [] if bias is None else [building.held(bias, f"b{layer}")]

    def apply(symbol: Symbol) -> Symbol:
        a = building.apply(Affine(), symbol, W, *b, name=f"a{layer}")
        building.starts_layer(a, layer)
        return a

    symbols = each(x, apply)
    building.call_alias(path, list(symbols.reshape(-1)))
    return Value(symbols, (*x.axes[:-1], Axis("features", rows)))


def matmul(building: Building, x: Any, y: Any) -> Value:
    """x @ W of a tensor and a parameter: `linear` with the transposed matrix."""
    if not isinstance(x, Value) or not isinstance(y, Held) or y.name is None or y.tensor.ndim != 2:
        raise Refused("a product of matrices is read as x @ W with a parameter W, a matrix")
    return linear(building, x, Held(y.tensor, y.name, not y.transposed), None)


def mean(building: Building, x: Value, dim: int, total: bool = False) -> Value:
    """The mean over time, or over layers; with ``total`` the sum, of layers only."""
    x = building.vectors(x)
    at = x.dim(dim)
    rest = (*x.axes[:at], *x.axes[at + 1 :])
    kind, size = x.axes[at].kind, x.axes[at].size
    if kind == "time" and not total:
        return Value(each(x, lambda s: building.apply(MeanOverTime(), s)), rest)
    if kind != "stack" or size is None:
        what = "a sum" if total else "a mean"
        where = "layers or directions" if total else "time (or layers)"
        raise Refused(f"{what} over the axis {x.axes[at]} of {described(x.axes)}: only over {where}")
    parts = np.moveaxis(x.symbols, x.stack_axis(at), 0)
    added = list(parts[0:1].reshape(-1))
    for i in range(1, size):
        added = [building.apply(Add(), a, b) for a, b in zip(added, parts[i : i + 1].reshape(-1), strict=True)]
    result = Value(array_of(added, parts.shape[1:]), rest)
    return result if total else Value(each(result, lambda s: building.apply(Multiply(), s, 1.0 / size)), rest)
