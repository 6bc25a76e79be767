"""view, reshape and flatten: which axes are joined and which are cut, worked out without knowing the sizes."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from everygrad.adapters.traced.arithmetic import each
from everygrad.adapters.traced.building import Building
from everygrad.adapters.traced.values import (
    BATCH,
    UNKNOWN_AXES,
    Axis,
    Refused,
    Size,
    Value,
    array_of,
    described,
    size_of,
)
from everygrad.graph.arrange import Concatenate, Flatten, Select

Piece = tuple[int, str | int]
"""A piece of an axis: which, and ``"batch"``, ``"time"``, ``"features"`` of unknown number, or a known size."""

_KINDS = ("batch", "time", "features", "batch x time", "time x batch")


def flattened(building: Building, x: Value, start: int, end: int) -> Value:
    """The axes from ``start`` to ``end`` as one."""
    if x.has("anything"):
        if (start, end) != (1, -1):
            raise Refused("only all axes of a sample are flattened, start_dim=1 and end_dim=-1")
        return _flat(building, x, None)
    first, last = x.dim(start), x.dim(end)
    if first >= last:
        return x
    sizes = [size_of(axis) for axis in x.axes]
    return viewed(building, x, [*sizes[:first], -1, *sizes[last + 1 :]])


def viewed(building: Building, x: Value, sizes: Sequence[Any]) -> Value:
    """x.view(sizes): numbers, sizes of tensors (``x.size(0)``), and at most one −1."""
    if not all(isinstance(s, Size) or (isinstance(s, int) and (s > 0 or s == -1)) for s in sizes):
        raise Refused(f"a shape is made of numbers and sizes of tensors, got {list(sizes)}")
    if x.has("anything"):
        if len(sizes) != 2 or sizes[0] not in (-1, size_of(BATCH)) or isinstance(sizes[1], Size):
            raise Refused(UNKNOWN_AXES)
        return _flat(building, x, sizes[1] if sizes[1] > 0 else None)
    groups = _groups(x, sizes)
    if groups is None:
        shape = ", ".join(map(_text, sizes))
        text = f"a tensor {described(x.axes)} cannot be read with the shape ({shape}): samples, steps and features stay"
        raise Refused(f"{text} apart, and the number of steps is not fixed; the batch is written x.size(0)")
    return _regrouped(building, building.vectors(x), groups)


def _flat(building: Building, x: Value, width: int | None) -> Value:
    return Value(each(x, lambda s: building.apply(Flatten(), s)), (BATCH, Axis("features", width)))


def _text(size: Size | int) -> str:
    if isinstance(size, int):
        return str(size)
    return "*".join((*size.factors, *([str(size.number)] if size.number > 1 else [])))


def _groups(x: Value, sizes: Sequence[Size | int]) -> list[list[Piece]] | None:
    """The pieces of axes that make each axis of the new shape; None if they do not fit."""
    pieces: list[Piece] = []
    for i, axis in enumerate(x.axes):
        pieces += [(i, axis.size)] if axis.size is not None else [(i, part) for part in axis.kind.split(" x ")]
    rest = list(sizes).index(-1) if -1 in sizes else len(sizes)
    same = len(sizes) == len(x.axes)  # then a number can be the size of an axis that is not known
    before = [_take(pieces, size, 0, same) for size in sizes[:rest]]
    after = [_take(pieces, size, -1, same) for size in reversed(sizes[rest + 1 :])][::-1]
    middle = [pieces] if rest < len(sizes) else []
    if not middle and any(piece != 1 for _, piece in pieces):
        return None
    groups = [*before, *middle, *after]
    found = [group for group in groups if group is not None]
    return found if len(found) == len(groups) and all(map(_alike, found)) else None


def _take(pieces: list[Piece], size: Size | int, end: int, same: bool) -> list[Piece] | None:
    """The pieces at one end that make an axis of this size, removed from the list; the last may be cut.

    ``same``: whether there are as many axes after as before.
    """
    wanted = size if isinstance(size, Size) else Size((), size)
    factors, number = list(wanted.factors), wanted.number
    group: list[Piece] = []
    while factors or number > 1:
        if not pieces:
            return None
        axis, piece = pieces.pop(end)
        if isinstance(piece, str) and piece in factors:
            factors.remove(piece)
        elif same and piece in ("time", "features") and not factors and not group:
            number = 1
        elif isinstance(piece, int) and number % piece == 0:
            number //= piece
        elif isinstance(piece, int) and number > 1 and piece % number == 0:
            pieces.insert(0 if end == 0 else len(pieces), (axis, piece // number))
            piece, number = number, 1
        else:
            return None
        group.insert(len(group) if end == 0 else 0, (axis, piece))
    return group


def _alike(group: Sequence[Piece]) -> bool:
    """Whether the pieces can be one axis: samples and steps, or numbers of features and layers."""
    words = [piece for _, piece in group if isinstance(piece, str)]
    numbers = [piece for _, piece in group if isinstance(piece, int) and piece > 1]
    return not words or (" x ".join(words) in _KINDS and not numbers)


def _regrouped(building: Building, x: Value, groups: Sequence[Sequence[Piece]]) -> Value:
    """The value with one axis for each group of pieces."""
    at = x.find("features")
    cuts = [piece for group in groups for axis, piece in group if axis == at and isinstance(piece, int)]
    symbols = _cut(building, x, cuts) if at is not None and len(cuts) > 1 else x.symbols
    left = len(cuts)
    axes: list[Axis] = []
    lengths: list[int] = []
    joined: int | None = None  # the group whose stacks become features
    for number, group in enumerate(groups):
        words = [piece for _, piece in group if isinstance(piece, str)]
        stacks = []
        for i, (axis, piece) in enumerate(group):
            left -= axis == at and isinstance(piece, int)
            if axis == at and isinstance(piece, int) and left == 0 and not words:
                joined = number
                if prod(int(p) for _, p in group[i + 1 :]) != 1:
                    raise Refused("features of different layers would be interleaved: move the features last first")
                left -= 1
            elif isinstance(piece, int):
                stacks.append(piece)
        lengths.append(prod(stacks))
        total = prod(int(piece) for _, piece in group) if not words else None
        kind = " x ".join(map(str, words)) if words else "features" if joined == number else "stack"
        axes.append(Axis(kind, total))  # type: ignore[arg-type]
    symbols = symbols.reshape(lengths)
    if joined is not None:
        symbols = _joined(building, symbols, joined)
    if axes[-1] == Axis("stack", 1) and not any(axis.kind == "features" for axis in axes):
        axes[-1] = Axis("features", 1)
    return Value(symbols.reshape([axis.size or 1 for axis in axes if axis.kind == "stack"]), tuple(axes))


def _cut(building: Building, x: Value, cuts: Sequence[int]) -> np.ndarray:
    """Each vector as parts: new stacks in place of the features, whose last cut remains features."""
    size = cuts[-1]
    parts = [
        building.apply(Select(range(start, start + size)), symbol)
        for symbol in x.symbols.reshape(-1)
        for start in range(0, prod(cuts), size)
    ]
    at = x.find("features")
    assert at is not None  # the caller looked
    stacks = x.symbols.shape
    array = array_of(parts, (*stacks, prod(cuts[:-1])))
    return np.moveaxis(array, -1, x.stack_axis(at))


def _joined(building: Building, symbols: np.ndarray, axis: int) -> np.ndarray:
    """Vectors along an axis joined to longer ones."""
    rows = np.moveaxis(symbols, axis, -1)
    shape = (*symbols.shape[:axis], 1, *symbols.shape[axis + 1 :])
    if rows.shape[-1] == 1:
        return symbols
    joined = [building.apply(Concatenate(), *row) for row in rows.reshape(-1, rows.shape[-1])]
    return array_of(joined, shape)
