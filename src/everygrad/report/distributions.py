"""How the values and the gradients of each layer are distributed, over its units and samples."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from everygrad.backprop import Gradients
from everygrad.diagnose import Unrolled
from everygrad.engines import to_numpy
from everygrad.report.maps import MOST_MAPS, worth_a_map
from everygrad.report.picture import both_ends
from everygrad.report.picture_records import Distribution, Histogram

BINS = 24
"""Bins of values, and at most of gradients of one sign."""
MOST_NUMBERS = 2**16
"""Of an array with four times as many numbers so many are looked at: enough for each bin's share to one percent."""
MOST_OVER_TIME = 8
"""Quantities of one recurrent layer."""
FEWEST_DECADES = 4
"""Powers of ten that the gradients' bins cover on each side of 0 at least."""
GOLDEN = (math.sqrt(5) - 1) / 2


def distributions(gradients: Gradients) -> tuple[Distribution, ...]:
    """Of the quantities that have a heat map: the input, a and h of each layer. Cost: a sort of what is looked at."""
    found = []
    for node in both_ends(worth_a_map(gradients), MOST_MAPS):
        found.append((node.name, to_numpy(gradients.trace[node.name]).ravel(), to_numpy(gradients[node.name]).ravel()))
    return _distributions(found)


def distributions_over_time(layer: Unrolled) -> tuple[Distribution, ...]:
    """Of a recurrent layer's states, of the activations in it, and of what they are taken of if there are few."""
    named = [name for name in layer.squashes if name in layer.total]
    before = [s.before for s in layer.squashes.values() if s.before in layer.total]
    wanted = {*layer.states, *named, *(before if len(named) < 3 else ())}
    names = [name for name in layer.total if name in wanted]
    mask = None if layer.mask is None else to_numpy(layer.mask).astype(bool)

    def there(array: np.ndarray) -> np.ndarray:
        return (array if mask is None else array[mask]).ravel()

    found = []
    for name in both_ends(names, MOST_OVER_TIME):
        value, gradient = (there(to_numpy(arrays[name])) for arrays in (layer.values, layer.total))
        found.append((name if name.endswith(")") else name + layer.suffix, value, gradient))
    return _distributions(found)


def _distributions(arrays: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> tuple[Distribution, ...]:
    seen: list[tuple[str, int, np.ndarray, np.ndarray]] = []
    for name, value, gradient in arrays:
        if value.size:
            at = spread(value.size)
            seen.append((name, value.size, value[at].astype(np.float64), gradient[at].astype(np.float64)))
    edges = symmetric_edges([gradient for _, _, _, gradient in seen])
    found = []
    for name, total, value, gradient in seen:
        values = _histogram(value, "linear", linear_edges(value))
        found.append(Distribution(name, total, len(value), values, _histogram(gradient, "symmetric", edges)))
    return tuple(found)


def spread(count: int) -> np.ndarray | slice:
    """Which of so many numbers are looked at: all, or places by the golden ratio, which no order in the array meets.

    Equal distances could fall on one unit again and again.
    """
    if count < 4 * MOST_NUMBERS:
        return slice(None)
    return np.sort((np.arange(MOST_NUMBERS) * GOLDEN % 1.0 * count).astype(np.int64))


def linear_edges(x: np.ndarray) -> np.ndarray:
    """Edges of equal bins from the least finite number to the largest; around it if there is one only."""
    finite = x[np.isfinite(x)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if low == high:
        low, high = low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2
    part = np.arange(BINS + 1) / BINS
    return low * (1 - part) + high * part  # never leaves the numbers of the machine, as high − low may


def symmetric_edges(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Powers of ten (or half of one) on both sides of 0, around the median magnitudes of all arrays and the largest."""
    sizes = [np.abs(x[np.isfinite(x) & (x != 0)]) for x in arrays]
    sizes = [x for x in sizes if x.size]
    largest = max((float(x.max()) for x in sizes), default=1.0)
    typical = min((float(np.median(x)) for x in sizes), default=1.0)
    top = min(max(math.ceil(math.log10(largest)), -300), 308)
    decades = min(max(top - math.floor(math.log10(typical)) + 2, FEWEST_DECADES), BINS)
    bottom = max(top - decades, -307)
    steps = (1 if decades > BINS // 2 else 2) * (top - bottom)
    positive = 10.0 ** np.linspace(bottom, top, steps + 1)
    positive[-1] = max(positive[-1], largest)
    return np.concatenate([-positive[::-1], positive])


def _histogram(x: np.ndarray, scale: Literal["linear", "symmetric"], edges: np.ndarray) -> Histogram:
    finite = x[np.isfinite(x)]
    quantiles = np.quantile(finite, (0.0, 0.05, 0.5, 0.95, 1.0)) if finite.size else np.full(5, math.nan)
    least, low, middle, high, most = map(float, quantiles)
    return Histogram(
        scale=scale,
        edges=edges,
        counts=np.histogram(finite, edges)[0],
        zeros=int(np.count_nonzero(x == 0)),
        broken=len(x) - len(finite),
        quantiles=(least, low, middle, high, most),
        magnitude=float(np.median(np.abs(finite))) if finite.size else math.nan,
    )
