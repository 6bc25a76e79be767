"""What torch does with axes: reorder, add, remove, join and cut them. Mostly nothing happens in our graph."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from everygrad.adapters.traced.arithmetic import each
from everygrad.adapters.traced.building import Building
from everygrad.adapters.traced.values import Axis, Refused, Value, array_of, described
from everygrad.graph.arrange import Concatenate, Select
from everygrad.graph.sequence import AtStep


def permuted(x: Value, order: Sequence[int]) -> Value:
    """The axes in another order."""
    dims = [x.dim(d) for d in order]
    if sorted(dims) != list(range(len(x.axes))):
        raise Refused(f"the order {tuple(order)} does not fit a tensor {described(x.axes)}")
    stacks = [x.stack_axis(d) for d in dims if x.axes[d].kind == "stack"]
    return replace(x, symbols=x.symbols.transpose(stacks), axes=tuple(x.axes[d] for d in dims))


def transposed(x: Value, dim0: int, dim1: int) -> Value:
    """Two axes exchanged."""
    order = list(range(len(x.axes)))
    a, b = x.dim(dim0), x.dim(dim1)
    order[a], order[b] = b, a
    return permuted(x, order)


def unsqueezed(building: Building, x: Value, dim: int) -> Value:
    """A new axis of one: of features if there is none and it is the last, else a stack of one."""
    at = x.dim(dim, extra=1)
    if at == len(x.axes) and not x.has("features", "anything"):
        return replace(building.vectors(x), axes=(*x.axes, Axis("features", 1)))
    axes = (*x.axes[:at], Axis("stack", 1), *x.axes[at:])
    return replace(x, symbols=np.expand_dims(x.symbols, x.stack_axis(at)), axes=axes)


def squeezed(x: Value, dim: int | None) -> Value:
    """Without an axis of one, or all of them. Samples and steps are taken to be several: then torch leaves them."""
    if dim is None:
        for i in reversed([i for i, axis in enumerate(x.axes) if axis.size == 1]):
            x = squeezed(x, i)
        return x
    at = x.dim(dim)
    axis, rest = x.axes[at], (*x.axes[:at], *x.axes[at + 1 :])
    if axis.kind in ("features", "anything") and axis.size is None:
        raise Refused(f"it would remove the axis {axis} of {described(x.axes)} if that were of size one")
    if axis.size != 1:
        return x
    return replace(_without_stack(x, at, 0) if axis.kind == "stack" else x, axes=rest)


def _without_stack(x: Value, at: int, index: int) -> Value:
    return replace(x, symbols=_array(np.take(x.symbols, index, axis=x.stack_axis(at)), x.symbols.ndim - 1))


def _array(symbols: Any, rank: int) -> np.ndarray:
    """What NumPy gives of an array of objects as an array again, also if it is one object."""
    return symbols if isinstance(symbols, np.ndarray) and symbols.ndim == rank else array_of([symbols], ())


def indexed(building: Building, x: Value, key: Any) -> Value:
    """x[key]: one step, features by number, slice or list, one of a stack; all of the others."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(k, list) for k in keys) and sum(isinstance(k, int | list) for k in keys) > 1:
        raise Refused("a list among the indices beside another one: index in two steps")
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if any(k is Ellipsis for k in keys):
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        keys[at : at + 1] = [slice(None)] * (len(x.axes) - used)
    dim = 0
    for k in keys:
        if k is None:
            x, dim = unsqueezed(building, x, dim), dim + 1
        elif isinstance(k, slice) and k == slice(None):
            dim += 1
        else:
            x = _taken(building, x, x.dim(dim), k)
            dim += isinstance(k, slice | list)
    return x


def _taken(building: Building, x: Value, at: int, key: Any) -> Value:
    axis, rest = x.axes[at], (*x.axes[:at], *x.axes[at + 1 :])
    whole = isinstance(key, int) and not isinstance(key, bool)
    if axis.kind == "time":
        if not whole:
            raise Refused(f"steps {_text(key)} of the time axis: one fixed step, as in out[:, -1], is read")
        x = building.vectors(x)
        return Value(each(x, lambda s: building.apply(AtStep(key), s)), rest)
    if axis.kind == "stack" and axis.size is not None:
        if whole and -axis.size <= key < axis.size:
            return replace(_without_stack(x, at, key), axes=rest)
        if not isinstance(key, slice):
            raise Refused(f"the index {_text(key)} of an axis of {axis.size}")
        chosen = list(range(axis.size)[key])
        symbols = np.take(x.symbols, chosen, axis=x.stack_axis(at))
        return replace(x, symbols=symbols, axes=x.with_axis(at, Axis("stack", len(chosen))).axes)
    if axis.kind != "features":
        what = f"[{_text(key)}] of the axis {axis} of {described(x.axes)}"
        raise Refused(f"{what}: samples stay together; out[:, -1] is the last step where the batch comes first")
    if isinstance(key, slice) and axis.size is None and _plain(key):  # its length shows when the data come
        cut = Select(part=(key.start, key.stop, key.step))
        return Value(each(x, lambda s: building.apply(cut, s)), x.with_axis(at, Axis("features")).axes)
    indices = _features(axis, key, whole)
    symbols = each(x, lambda s: building.apply(Select(indices), s))
    return Value(symbols, rest if whole else x.with_axis(at, Axis("features", len(indices))).axes)


def _features(axis: Axis, key: Any, whole: bool) -> list[int]:
    if isinstance(key, list) and all(isinstance(k, int) and not isinstance(k, bool) for k in key):
        indices = key
    elif whole:
        indices = [key]
    elif isinstance(key, slice) and axis.size is not None and _plain(key):
        indices = list(range(axis.size)[key])
    else:
        raise Refused(f"the index {_text(key)} of features: a number, a slice or a list of numbers is read")
    if not indices or (axis.size is not None and not all(-axis.size <= i < axis.size for i in indices)):
        raise Refused(f"the index {_text(key)} does not fit {axis.size} features")
    return indices


def _plain(key: slice) -> bool:
    """Whether the ends of a slice are numbers."""
    return all(end is None or isinstance(end, int) for end in (key.start, key.stop, key.step))


def _text(key: Any) -> str:
    if isinstance(key, slice):
        ends = ["" if end is None else str(end) for end in (key.start, key.stop, key.step)]
        return ":".join(ends if key.step is not None else ends[:2])
    return str(key) if isinstance(key, int | list) else "of a tensor"


def pieces(building: Building, x: Value, sizes: Sequence[int], dim: int) -> tuple[Value, ...]:
    """Consecutive parts of these sizes along an axis."""
    at = x.dim(dim)
    ends = np.cumsum([0, *sizes]).tolist()
    if x.axes[at].kind not in ("features", "stack") or ends[-1] != x.axes[at].size:
        raise Refused(f"parts of {list(sizes)} along the axis {x.axes[at]} of {described(x.axes)}")
    return tuple(_taken(building, x, at, slice(i, j)) for i, j in pairwise(ends))


def part_sizes(x: Value, dim: int, size: int | None = None, count: int | None = None) -> list[int]:
    """The sizes of parts of at most ``size``, or of ``count`` parts as torch cuts them."""
    whole = x.axes[x.dim(dim)].size
    if whole is None:
        raise Refused(f"it cuts the axis {x.axes[x.dim(dim)]} of {described(x.axes)}, whose size is not known here")
    each_size = -(-whole // count) if count else size
    if not isinstance(each_size, int) or each_size < 1:
        raise Refused(f"parts of size {each_size}")
    return [min(each_size, whole - start) for start in range(0, whole, each_size)]


def concatenated(building: Building, values: Sequence[Any], dim: int) -> Value:
    """Tensors joined along their features, or along a stack."""
    if not values or not all(isinstance(v, Value) for v in values):
        raise Refused("it joins tensors that depend on the data only")
    first = building.vectors(values[0])
    values = [building.vectors(v) for v in values]
    at = first.dim(dim)
    kind = first.axes[at].kind
    for v in values:
        same = len(v.axes) == len(first.axes) and all(
            p == q if i != at else p.kind == q.kind for i, (p, q) in enumerate(zip(v.axes, first.axes, strict=True))
        )
        if not same:
            raise Refused(f"it joins tensors {described(first.axes)} and {described(v.axes)} along axis {at}")
    if kind == "stack":
        symbols = np.concatenate([v.symbols for v in values], axis=first.stack_axis(at))
        return replace(first, symbols=symbols, axes=first.with_axis(at, _sum_of(values, at)).axes)
    if kind != "features":
        raise Refused(f"it joins tensors along the axis {first.axes[at]}: only features (and layers) can be joined")
    together = zip(*(v.symbols.reshape(-1) for v in values), strict=True)
    symbols = array_of([building.apply(Concatenate(), *parts) for parts in together], first.symbols.shape)
    return Value(symbols, first.with_axis(at, _sum_of(values, at)).axes)


def _sum_of(values: Sequence[Value], at: int) -> Axis:
    sizes = [v.axes[at].size for v in values]
    known = [n for n in sizes if n is not None]
    return replace(values[0].axes[at], size=sum(known) if len(known) == len(sizes) else None)
