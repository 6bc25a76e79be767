"""Functions of torch that turn, cut, join and convert, with torch's own arguments."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from everygrad.adapters.traced import shaping
from everygrad.adapters.traced.building import Building
from everygrad.adapters.traced.values import (
    BATCH,
    UNKNOWN_AXES,
    Detail,
    Held,
    OpenShape,
    Refused,
    Value,
    Zeros,
    size_of,
    what_is,
)
from everygrad.adapters.traced.viewing import flattened, viewed


def cat(building: Building, tensors: Sequence[Any], dim: int = 0) -> Value:
    """torch.cat."""
    return shaping.concatenated(building, tensors, dim)


def stack(building: Building, tensors: Sequence[Any], dim: int = 0) -> Value:
    """torch.stack."""
    if not all(isinstance(t, Value) for t in tensors):
        raise Refused("it joins tensors that depend on the data only")
    return shaping.concatenated(building, [shaping.unsqueezed(building, t, dim) for t in tensors], dim)


def chunk(building: Building, x: Value, chunks: int, dim: int = 0) -> tuple[Value, ...]:
    """torch.chunk."""
    return shaping.pieces(building, x, shaping.part_sizes(x, dim, count=chunks), dim)


def split(building: Building, x: Value, split_size: Any, dim: int = 0) -> tuple[Value, ...]:
    """torch.split."""
    sizes = list(split_size) if isinstance(split_size, tuple | list) else shaping.part_sizes(x, dim, size=split_size)
    return shaping.pieces(building, x, sizes, dim)


def unbind(building: Building, x: Value, dim: int = 0) -> tuple[Value, ...]:
    """torch.unbind."""
    return tuple(select(building, x, dim, i) for i in range(len(shaping.part_sizes(x, dim, size=1))))


def select(building: Building, x: Value, dim: int, index: Any) -> Value:
    """torch.select."""
    return shaping.indexed(building, x, (*[slice(None)] * x.dim(dim), index))


def item(building: Building, x: Any, key: Any) -> Any:
    """x[key] of a tensor, of several results, or of a shape."""
    if isinstance(x, OpenShape) and key == 0:
        return size_of(BATCH)
    if isinstance(x, OpenShape):
        raise Refused(UNKNOWN_AXES)
    if isinstance(x, Value):
        return shaping.indexed(building, x, key)
    if not isinstance(x, tuple | list):
        raise Refused(f"{what_is(x)} is not indexed")
    try:
        return x[key]
    except (IndexError, TypeError):
        raise Refused(f"the index {key} of {len(x)} results") from None


def transpose(building: Building, x: Any, dim0: int, dim1: int) -> Any:
    """torch.transpose."""
    return flipped(building, x) if isinstance(x, Held) else shaping.transposed(x, dim0, dim1)


def flipped(building: Building, x: Any) -> Held:
    """The transposed of a matrix of parameters."""
    if not isinstance(x, Held) or x.tensor.ndim != 2:
        raise Refused("a matrix of parameters is transposed so; other tensors by x.transpose(0, 1)")
    return Held(x.tensor, x.name, not x.transposed)


def permute(building: Building, x: Value, *dims: Any) -> Value:
    """torch.permute."""
    return shaping.permuted(x, _listed(dims))


def squeeze(building: Building, x: Value, dim: int | None = None) -> Value:
    """torch.squeeze."""
    return shaping.squeezed(x, dim)


def view(building: Building, x: Value, *shape: Any) -> Value:
    """x.view and x.reshape."""
    return viewed(building, x, _listed(shape))


def _listed(given: Sequence[Any]) -> Sequence[Any]:
    """Several arguments, or one list of them."""
    return given[0] if len(given) == 1 and isinstance(given[0], tuple | list) else given


def flatten(building: Building, x: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    """torch.flatten."""
    return flattened(building, x, start_dim, end_dim)


def size(building: Building, x: Any, dim: int | None = None) -> Any:
    """x.size() and x.shape."""
    if isinstance(x, Held):
        return tuple(x.tensor.shape) if dim is None else x.tensor.shape[dim]
    if not isinstance(x, Value):
        raise Refused(f"the size of {what_is(x)}")
    if dim is None:
        return OpenShape() if x.has("anything") else tuple(map(size_of, x.axes))
    return size_of(x.axes[x.dim(dim)])


def rank(building: Building, x: Value) -> int:
    """x.dim() and x.ndim."""
    if x.has("anything"):
        raise Refused(UNKNOWN_AXES)
    return len(x.axes)


def attribute(building: Building, x: Any, name: str) -> Any:
    """x.name."""
    if name == "shape":
        return size(building, x)
    if name in ("device", "dtype"):
        return Detail(name)
    if name == "ndim" and isinstance(x, Value):
        return rank(building, x)
    if name in ("T", "mT"):
        return flipped(building, x)
    raise Refused("it stops the gradient: leave it out" if name == "data" else "this attribute is not read")


def zeros(building: Building, *size: Any, **options: Any) -> Zeros:
    """torch.zeros, for initial states."""
    return Zeros(tuple(_listed(size)))


def new_zeros(building: Building, x: Any, *size: Any, **options: Any) -> Zeros:
    """x.new_zeros, for initial states."""
    return Zeros(tuple(_listed(size)))


def zeros_like(building: Building, x: Any, **options: Any) -> Zeros:
    """torch.zeros_like, for initial states."""
    return x if isinstance(x, Zeros) else Zeros(size(building, x))


def same(building: Building, x: Any, *args: Any, **options: Any) -> Any:
    """What changes neither the numbers nor their axes."""
    return x


def to(building: Building, x: Any, *args: Any, **options: Any) -> Any:
    """x.to of a device, or of the dtype that it has."""
    for given in (*args, *options.values()):
        if isinstance(given, torch.dtype):
            _converted(building, x, given)
    return x


def conversion(dtype: torch.dtype) -> Callable[..., Any]:
    """x.float() and its like, where nothing is to be done."""
    return lambda building, x: _converted(building, x, dtype)


def _converted(building: Building, x: Any, dtype: torch.dtype) -> Any:
    """The tensor itself, if it has this dtype already: ours do not change theirs on the way."""
    whole = dtype in (torch.int64, torch.int32) and isinstance(x, Value) and x.raw
    if not isinstance(x, Zeros) and not whole and dtype != building.dtype:
        raise Refused(f"it converts to {dtype}, the parameters have {building.dtype}: use one dtype for all")
    return x


def only_zeros(building: Building, x: Any, *args: Any) -> Any:
    """What may be done to initial states that are zero."""
    if isinstance(x, Zeros):
        return x
    raise Refused("it changes what has a gradient: leave it out")


def detach(building: Building, x: Any) -> Any:
    """x.detach, which does nothing to zeros."""
    if isinstance(x, Zeros):
        return x
    raise Refused("it stops the gradient: leave it out")


def nothing(building: Building, *args: Any) -> None:
    """An assertion: there are no numbers to look at."""
