"""Arrays in memory or on disk, cut into chunks of consecutive samples."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, final

import numpy as np

from everygrad.engines import Array, is_array
from everygrad.errors import InputError, all_mismatches

Chunk = tuple[Array, ...] | Mapping[str, Array]
"""The data of some samples: in the order in which the network takes them, or by name."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Chunks:
    """Chunks of ``size`` samples, the last one may be shorter; can be gone through again, and has a length.

    ``data`` in the order of the network, or ``named``: what each chunk is (a tuple, or a dict by name).
    """

    data: tuple[Any, ...]
    named: Mapping[str, Any]
    samples: int
    size: int

    def __len__(self) -> int:
        return -(-self.samples // self.size)

    def __iter__(self) -> Iterator[Chunk]:
        for start in range(0, self.samples, self.size):
            end = min(start + self.size, self.samples)
            if self.named:
                yield {name: _part(array, start, end) for name, array in self.named.items()}
            else:
                yield tuple(_part(array, start, end) for array in self.data)

    def __repr__(self) -> str:
        return f"Chunks({self.samples:,} samples in {len(self):,} chunks of {self.size:,})"


def chunks(*data: Any, size: int, **named: Any) -> Chunks:
    """Arrays in chunks of ``size`` samples, for `gradients_of_chunks`: ``eg.chunks(x, y, size=1024)``.

    ``data`` in the order in which the network takes them, or all by name (``eg.chunks(x=x, y=y, lengths=n,
    size=64)``): arrays of NumPy, torch or JAX, a `numpy.memmap`, or anything on disk with a shape that gives arrays
    when it is sliced, like a data set of h5py. Nothing is read before its turn; parts of arrays in memory are views.

    Raises `InputError` with every problem: no data, positional and named ones mixed, no shape, unequal numbers of
    samples, no sample, a size that is no whole number of at least 1.
    """
    problems: list[str] = []
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        problems.append(f"size={size!r}: expected a whole number of samples, at least 1")
    if data and named:
        problems.append(f"{len(data)} arrays by position and {', '.join(named)} by name: give all by name, or none")
    given = {f"array {i}": array for i, array in enumerate(data)} | named
    if not given:
        problems.append("no data: eg.chunks(x, y, size=1024)")
    counts: dict[str, int] = {}
    for name, array in given.items():
        shape = getattr(array, "shape", None)
        if not isinstance(shape, tuple) or not hasattr(array, "__getitem__"):
            problems.append(f"{name} is a {type(array).__name__}, expected an array: numpy.asarray(...)")
        elif not shape:
            problems.append(f"{name} is a single number, expected one row per sample")
        elif shape[0] == 0:
            problems.append(f"{name} has no sample, shape {tuple(shape)}")
        else:
            counts[name] = int(shape[0])
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} has {n:,}" for name, n in counts.items())
        problems.append(f"data of different numbers of samples: {listed}")
    all_mismatches("chunks", problems)
    return Chunks(data, MappingProxyType(named), next(iter(counts.values())), int(size))


def _part(array: Any, start: int, end: int) -> Array:
    """Some rows, as an array that the library takes: of a file mapped into memory they are not read here yet."""
    part = array[start:end]
    return part if is_array(part) and not isinstance(part, np.ndarray) else np.asarray(part)


def arguments(chunk: object) -> tuple[tuple[Array, ...], Mapping[str, Array]]:
    """A chunk as positional and named data; raises `InputError`."""
    if isinstance(chunk, Mapping):
        taken = {"network", "params", "check_finite"}.intersection(chunk)  # the other arguments of `gradients`
        if taken:
            raise InputError(
                f"data cannot be given under the name {min(taken)!r}: give a tuple, in the network's order"
            )
        return (), {str(name): array for name, array in chunk.items()}
    if isinstance(chunk, tuple | list):
        return tuple(chunk), {}
    raise InputError(
        f"it is a {type(chunk).__name__}, expected the data of some samples: a tuple (x, y, ...) or a dict of arrays "
        f"by name; eg.chunks(x, y, size=1024) cuts arrays into such chunks"
    )
