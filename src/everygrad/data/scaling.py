"""Features and targets of mean 0 and standard deviation 1, and the way back."""

from dataclasses import dataclass
from typing import final

import numpy as np


@final
@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """z = (v − offset) / scale for each column; z = 0 where scale is 0 (a column that never changes).

    ``offset`` and ``scale`` have shape (columns,), float64. Rows may have further axes in front of the columns:
    sequences (rows, time, columns) have one offset and one scale for all steps.
    """

    offset: np.ndarray
    scale: np.ndarray

    def apply(self, v: np.ndarray) -> np.ndarray:
        """z of rows v, shape (..., columns), float64."""
        constant = self.scale == 0
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large shows as infinity
            z = (v - self.offset) / np.where(constant, 1.0, self.scale)
        return np.where(constant, 0.0, z)

    def undo(self, z: np.ndarray) -> np.ndarray:
        """v = offset + scale · z: predictions in the units of the data."""
        return self.offset + self.scale * z


def standardise(v: np.ndarray) -> Scaling:
    """Offset = mean and scale = standard deviation (divided by n) of each column of v, shape (n, columns).

    Both are computed from (v − v_0) / max|v − v_0|, which is between −1 and 1: no sum overflows, no square
    underflows, and a column is constant exactly if all its values are equal.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        from_first = v - v[0]
        largest = np.abs(from_first).max(axis=0)
        unit = from_first / np.where(largest == 0, 1.0, largest)
    return Scaling(v[0] + largest * unit.mean(axis=0), largest * unit.std(axis=0))
