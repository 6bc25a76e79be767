"""What the gradient of one quantity should be: every entry if that can be paid for, else a sample and directions."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from everygrad.backprop.gradients import norm
from everygrad.checks.sweep import Sweep
from everygrad.checks.tolerance import relative_error

LIMIT = 4096
"""Entries of one quantity that are all checked; of a larger one, a sample and directions are."""
SAMPLED = 256
DIRECTIONS = 8
BUDGET = 4e9
"""Multiply-adds that may be spent on one quantity; less is checked if its entries cost more (never under 8)."""

Progress = Callable[[str, int, int], None]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The oracle's numbers for one quantity: entries at flat positions, and inner products with directions.

    A wrong entry anywhere changes every inner product with a random direction, with probability one.
    ``left_out``: how many positions of the sample the oracle cannot tell (next to a kink, for differences).
    """

    shape: tuple[int, ...]
    index: np.ndarray
    entries: np.ndarray
    seed: tuple[int, ...]
    products: np.ndarray
    left_out: int = 0

    @property
    def full(self) -> np.ndarray | None:
        """The whole gradient, if every entry is known."""
        whole = len(self.index) == math.prod(self.shape)
        return self.entries.reshape(self.shape) if whole else None

    @property
    def size(self) -> float:
        """‖r‖, or its estimate: E⟨r, d⟩² = ‖r‖² for normal d."""
        return norm(self.products) / math.sqrt(len(self.products)) if len(self.products) else norm(self.entries)

    @property
    def how(self) -> str:
        """What was compared, in words."""
        size = math.prod(self.shape)
        if len(self.products):
            entries = f"{len(self.index):,} of {size:,} entries and {len(self.products)} directions"
        elif len(self.index) == size:
            entries = f"all {size:,} entries" if size > 1 else "the one entry"
        else:
            entries = f"{len(self.index):,} of {size:,} entries"
        return f"{entries}; {self.left_out:,} left out, at a kink or lost in rounding" if self.left_out else entries

    def error(self, g: np.ndarray) -> float:
        """The relative error of g in the entries, or in the directions, whichever is larger."""
        mine = g.reshape(-1)[self.index]
        if not len(self.products):
            return relative_error(mine, self.entries)
        if not np.isfinite(g).all():
            return float("inf")
        products = np.array([np.sum(d * g) for d in directions(self.seed, self.shape, len(self.products))])
        share = self.size * math.sqrt(len(self.index) / g.size)
        among = norm(mine - self.entries) / (max(share, norm(self.entries)) or 1.0)
        return max(among, relative_error(products, self.products))


def directions(seed: tuple[int, ...], shape: tuple[int, ...], count: int) -> list[np.ndarray]:
    """Seeded random directions."""
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)) for _ in range(count)]


def reference(
    name: str,
    sweep: Sweep,
    seed: tuple[int, ...],
    limit: int,
    progress: Progress | None,
    second: Sweep | None = None,
) -> Reference:
    """The oracle's numbers for the quantity of a sweep; ``name`` is what `progress` is told.

    ``second``, another oracle of the same precision, marks the entries on which the two disagree: there is
    a kink, or a difference lost in rounding, and neither can tell. They are left out, and so are the
    directions if the two disagree on one.
    """
    size, shape = sweep.x.size, sweep.x.shape
    index = _chosen(sweep, seed, limit)
    count = 0 if len(index) == size else DIRECTIONS
    told = _teller(name, progress, len(index))
    entries = sweep.entries(index, told)
    products = np.array([sweep.direction(d) for d in directions(seed, shape, count)])
    if second is None:
        return Reference(shape, index, entries, seed, products)
    others = second.entries(index)
    scale = float(np.abs(entries[np.isfinite(entries)]).max(initial=0.0))
    sure = np.abs(entries - others) <= 1e-6 * scale  # NaN is not sure
    if count:
        again = np.array([second.direction(d) for d in directions(seed, shape, count)])
        if not (np.abs(products - again) <= 1e-6 * np.abs(products).max()).all():
            products = products[:0]
    return Reference(shape, index[sure], entries[sure], seed, products, int((~sure).sum()))


def _chosen(sweep: Sweep, seed: tuple[int, ...], limit: int) -> np.ndarray:
    size = sweep.x.size
    if size <= limit and sweep.work(size) <= BUDGET:
        return np.arange(size)
    most = min(SAMPLED, limit, size)
    while most > 8 and sweep.work(most) > BUDGET:
        most //= 2
    return np.sort(np.random.default_rng((*seed, 1)).choice(size, min(most, size), replace=False))


def _teller(name: str, progress: Progress | None, total: int) -> Callable[[int], None] | None:
    return None if progress is None else lambda done: progress(name, done, total)
