"""The data of a training: validated once, then cut into batches without looking again."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from everygrad.engines import Array, Kind, to_numpy


@final
@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Data arrays by the graph's names, and the samples that take part: all, but for those of weight zero.

    A sample of weight zero adds nothing to a loss or a gradient; left in, it could make up a whole
    batch, whose weighted mean would be 0/0. ``weight`` is (samples,), or (samples, time) of a loss that has a
    term for each step, and then 0 in the padding; without it each of the ``losses`` of a sample weighs the same.
    ``time``: the steps of a sequence, 1 for samples that are none.
    """

    arrays: Mapping[str, Array]
    rows: np.ndarray
    weight: np.ndarray | None
    kind: Kind
    losses: int = 1
    time: int = 1

    def batches(self, size: int, order: np.ndarray) -> Iterator[np.ndarray]:
        """The rows of each batch, in ``order``; the last batch may be short."""
        for start in range(0, len(order), size):
            yield order[start : start + size]

    def take(self, rows: np.ndarray) -> dict[str, Array]:
        """The data of some rows, by name."""
        index = self.kind.indices(rows)
        return {name: array[index] for name, array in self.arrays.items()}

    def mass(self, rows: np.ndarray) -> float:
        """The number of losses of these samples, or the sum of their weights."""
        if self.weight is None:
            return float(len(rows) * self.losses)
        return float(self.weight[rows].sum(dtype=np.float64))

    def summed(self, values: np.ndarray, rows: np.ndarray) -> float:
        """Σ of one value per loss of these rows, weighted."""
        weighed = values if self.weight is None else values * self.weight[rows]
        return float(weighed.sum(dtype=np.float64))

    def digest(self) -> str:
        """A short hash of every number, dtype and shape, to tell these data from others."""
        seen = hashlib.blake2b(digest_size=8)
        for name, array in self.arrays.items():
            numbers = np.asarray(to_numpy(array), order="C")
            seen.update(f"{name} {numbers.dtype.str} {numbers.shape} ".encode())
            seen.update(numbers.reshape(-1).data)
        return seen.hexdigest()
