"""NaN and infinity: found cheaply, then named with the array and the index where they come from."""

import cmath
from collections.abc import Iterable, Mapping

import numpy as np

from everygrad.engines import Array, is_traced, namespace, to_numpy
from everygrad.errors import NonFiniteError

SMALL = 1024
"""Numbers below which copying them costs less than to see how they lie."""


def all_finite(x: Array) -> bool:
    """Whether every element of ``x`` is finite; a traced array counts as finite.

    The squares of NumPy arrays are summed by BLAS, which is several times faster than a mask: a
    non-finite element always shows in the sum. Only if the sum overflows is each element looked at.
    """
    if isinstance(x, np.ndarray | np.generic):
        if x.dtype.kind not in "fc":
            return True
        whole: Array = x
        if x.size < SMALL and cmath.isfinite(np.vdot(whole, whole)):
            return True
        flat: Array = x.reshape(-1) if x.flags.c_contiguous else x.ravel(order="K")
        return cmath.isfinite(flat @ flat) or bool(np.isfinite(flat).all())
    if is_traced(x):
        return True
    xp = namespace(x)
    if xp.isdtype(x.dtype, ("integral", "bool")):
        return True
    result = xp.all(xp.isfinite(x))
    return is_traced(result) or bool(result)  # while JAX compiles, what it does with known arrays is traced as well


def complain(
    arrays: Mapping[str, Array], names: Iterable[str], what: str, leads: Mapping[str, int] | None = None
) -> None:
    """Raise `NonFiniteError` for the first of ``names`` whose array is not finite, if any.

    ``leads``: how many leading axes each has; with two, the second is time, and the earliest step is named.
    """
    for name in names:
        if all_finite(arrays[name]):
            continue
        x = to_numpy(arrays[name])
        bad = np.argwhere(~np.isfinite(x))
        over_time = (leads or {}).get(name) == 2
        index = tuple(map(int, bad[bad[:, 1].argmin()] if over_time else bad[0]))
        where = f"[{', '.join(map(str, index))}]" if index else ""
        first = f" (sample {index[0]}, first at time step {index[1]})" if over_time else ""
        more = f", and {len(bad) - 1} more of {x.size}" if len(bad) > 1 else ""
        raise NonFiniteError(f"{what} {name!r} is not finite: {name}{where} = {x[index]}{first}{more}")
