"""What calls of a compiled loop with arrays of the same sizes and strides have in common: worked out once."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, final

import numpy as np

from everygrad.engines.pool import SMALLEST

LINE = 64
"""Bytes at whose multiples arrays begin."""
Shape = tuple[int, ...]


@final
@dataclass(frozen=True, slots=True)
class Slot:
    """A line of the table that the compiled function reads: where an array is, and how far its parts are apart.

    ``number``: the place of the array among those of its sort. ``moving``: each step has its own part of it.
    """

    sort: str
    number: int
    moving: bool = False


@final
@dataclass(frozen=True, slots=True)
class Frame:
    """``table``: for each slot the bytes to add to the array's address, from step to step, and from sample to sample.

    ``changed``: (argument, dtype) of those that are copied first: rows with gaps, and whole numbers. The memory of a
    call is one block of ``nbytes``: ``inside`` has the (slot, offset) of what is in it, ``kept`` the shape, the dtype
    and the offset of what is kept; if that is large, it has memory of its own, and -1 stands there.
    """

    table: tuple[int, ...]
    changed: tuple[tuple[int, np.dtype], ...]
    inside: tuple[tuple[int, int], ...]
    kept: tuple[tuple[Shape, np.dtype, int], ...]
    nbytes: int


def framed(
    slots: Sequence[Slot],
    given: Sequence[np.ndarray],
    kept: Sequence[tuple[Shape, np.dtype, bool]],
    own: Sequence[tuple[Shape, np.dtype]],
    where: tuple[int, int, bool],
    dtype: np.dtype,
) -> Frame:
    """The frame of a call with these arrays.

    ``kept``: shape, dtype, whether there is one step more; ``own``: what lies in the block; ``where``: samples, steps,
    whether the last step comes first.
    """
    batch, steps, reverse = where
    read = {slot.number for slot in slots if slot.sort == "given"}
    changed = {i: target for i in read if (target := _other(given[i], dtype)) is not None}
    small = sum(prod(shape) * kind.itemsize for shape, kind, _ in kept) < SMALLEST
    offsets, at = [], 0
    for shape, kind in (*own, *((shape, kind) for shape, kind, _ in kept if small)):
        offsets.append(at)
        at += -(-prod(shape) * kind.itemsize // LINE) * LINE
    table: list[int] = []
    inside: list[tuple[int, int]] = []
    for i, slot in enumerate(slots):
        first = 0
        if slot.sort == "given":
            array = given[slot.number]
            shape, kind = array.shape, changed.get(slot.number, array.dtype)
            strides = array.strides if slot.number not in changed else _strides(shape, kind)
        elif slot.sort == "kept":
            shape, kind, more = kept[slot.number]
            strides = _strides(shape, kind)
            first, shape = strides[0] * more, (steps, *shape[1:])
            if small:
                inside.append((i, offsets[len(own) + slot.number]))
        elif slot.sort == "own":
            shape, kind = own[slot.number]
            strides = _strides(shape, kind)
            inside.append((i, offsets[slot.number]))
        else:
            shape = given[slot.number].shape
            strides = _strides(shape, dtype)
        time = 0
        if slot.moving:
            time, strides, shape = strides[0], strides[1:], shape[1:]
            if reverse:
                first, time = first + (steps - 1) * time, -time
        of_samples = slot.moving or slot.sort in ("carry", "taken") or len(shape) == 2
        row = strides[0] if of_samples and shape and shape[0] == batch else 0
        table += [first, time, row]
    places = [offsets[len(own) + k] if small else -1 for k in range(len(kept))]
    found = tuple((shape, kind, place) for (shape, kind, _), place in zip(kept, places, strict=True))
    return Frame(tuple(table), tuple(changed.items()), tuple(inside), found, at + LINE)


def _other(array: np.ndarray, dtype: np.dtype) -> np.dtype | None:
    """The type of a copy that is needed: the numbers of a row must lie side by side, whole ones become others."""
    if array.dtype.kind in "iu":
        return dtype
    gaps = array.ndim and array.shape[-1] > 1 and array.strides[-1] != array.itemsize
    return array.dtype if gaps else None


def _strides(shape: Shape, kind: np.dtype) -> Shape:
    """Those of an array without gaps."""
    return tuple(kind.itemsize * prod(shape[i + 1 :]) for i in range(len(shape)))


def address(array: Any) -> int:
    """Where the first number is."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # three times as fast
    except (TypeError, ValueError, BufferError):  # not to be written to, or with gaps, or empty
        return array.__array_interface__["data"][0]
