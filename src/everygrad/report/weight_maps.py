"""∂L/∂W of every weight matrix as a map, in cells if the matrix is large."""

import numpy as np

from everygrad.backprop import Gradients
from everygrad.engines import Array, to_numpy
from everygrad.report.cells import every, largest, strongest
from everygrad.report.picture import both_ends
from everygrad.report.picture_records import WeightMap

MOST_CELLS = 64
"""Rows and columns of a map: more would be smaller than a point of the screen."""
MOST_WEIGHTS = 512
"""Entries of a matrix that is shown itself, beside its gradient."""
MOST_MATRICES = 24
"""Matrices that are shown: the first and the last."""


def weight_maps(gradients: Gradients) -> tuple[tuple[WeightMap, ...], int]:
    """The maps of the parameters with two axes that have a gradient, and how many such parameters there are.

    Cost: two passes over each gradient that is shown, and no copy of it.
    """
    trace = gradients.trace
    parameters = [n.name for n in trace.nodes if n.role == "parameter" and n.name in gradients.arrays]
    matrices = [name for name in parameters if gradients.arrays[name].ndim == 2 and 0 not in gradients[name].shape]
    shown = both_ends(matrices, MOST_MATRICES)
    return tuple(weight_map(name, gradients[name], trace[name]) for name in shown), len(matrices)


def weight_map(name: str, gradient: Array, weight: Array) -> WeightMap:
    """One matrix's gradient, and the matrix itself if it is small."""
    g = to_numpy(gradient)
    rows, columns = g.shape
    sizes = every(rows, MOST_CELLS), every(columns, MOST_CELLS)
    values = strongest(g, sizes)
    at = _place(np.abs(np.where(np.isfinite(values), values, 0.0)))
    top = at[0] * sizes[0], at[1] * sizes[1]
    inside = _place(np.abs(g[top[0] : top[0] + sizes[0], top[1] : top[1] + sizes[1]]))
    W = to_numpy(weight).astype(np.float64) if g.size <= MOST_WEIGHTS else None
    return WeightMap(
        name=name,
        shape=(rows, columns),
        every=sizes,
        values=values,
        largest=largest(values),
        at=(top[0] + inside[0], top[1] + inside[1]),
        zeros=g.size - int(np.count_nonzero(g)),
        weight=W,
        weight_largest=None if W is None else largest(W),
    )


def _place(x: np.ndarray) -> tuple[int, int]:
    i, j = np.unravel_index(int(x.argmax()), x.shape)
    return int(i), int(j)
