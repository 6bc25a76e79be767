"""The parts of the record behind further pictures: distributions, weights, and the sparse tensor of a step."""

from dataclasses import dataclass
from typing import Any, Literal, final

from everygrad.engines.shapes import Float, Int

Array = Any


@final
@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How many of an array's numbers lie in each bin: from one edge up to, but not with, the next; the last has both.

    ``scale`` ``"linear"``: equal bins from the least number to the largest. ``"symmetric"``: powers of ten to both
    sides of 0; the bin in the middle has what is smaller, and 0 itself. ``zeros`` are exactly 0, ``broken`` NaN or
    infinite and in no bin. ``quantiles`` of the finite numbers: least, 5 %, median, 95 %, largest; ``magnitude`` is
    the median of |v|; NaN if there are none.
    """

    scale: Literal["linear", "symmetric"]
    edges: Float[Array, " edges"]
    counts: Int[Array, " bins"]
    zeros: int
    broken: int
    quantiles: tuple[float, float, float, float, float]
    magnitude: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """The values and the gradients of one quantity, over units, samples and steps.

    ``seen`` of ``total`` numbers were looked at: all, or so many spread evenly. Padding does not count. The bins of
    the gradients are the same for all quantities that are shown together.
    """

    name: str
    total: int
    seen: int
    value: Histogram
    gradient: Histogram


@final
@dataclass(frozen=True, slots=True, eq=False)
class WeightMap:
    """∂L/∂W of one matrix, in cells of ``every`` = (rows, columns) entries, and W itself if it is small.

    Each cell has the entry of largest magnitude with its sign, the positive one if two are as large; NaN if one of
    its entries is. ``largest`` is the largest magnitude among the finite cells, ``at`` the entry that has it,
    ``zeros`` the number of entries that are exactly 0. ``weight`` is W, None if it is not small.
    """

    name: str
    shape: tuple[int, int]
    every: tuple[int, int]
    values: Float[Array, "rows columns"]
    largest: float
    at: tuple[int, int]
    zeros: int
    weight: Float[Array, "all_rows all_columns"] | None
    weight_largest: float | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class TensorPicture:
    """T[p, q, r] = ∂state[p]/∂W[q, r] of one sample (and step): ``slope``[p] · ``vector``[r] if p = q, else 0.

    Over time it is the immediate derivative ∂⁺: the state before the step is held constant. ``slope``[p] is
    ∂state[p]/∂a[p] (g′(a[p]) for state = g(a)), a = W · vector + ...; ``vector`` is what W multiplies. The plane
    p = q in cells: the largest magnitude with its sign of each of the ranges that begin at ``rows`` (p) and
    ``columns`` (r). ``nonzero`` of the shape's product of entries can be nonzero, and ``stored`` numbers are kept.
    """

    state: str
    weight: str
    before: str
    multiplied: str
    sample: int
    step: int | None
    shape: tuple[int, int, int]
    nonzero: int
    stored: int
    slope: Float[Array, " p"]
    vector: Float[Array, " r"]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    plane: Float[Array, "rows columns"]
    largest: float
