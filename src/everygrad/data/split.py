"""Which rows are held out: shuffled, and for classes in equal shares; or the last ones."""

import math

import numpy as np

from everygrad.errors import InputError


def split(
    labels: np.ndarray | None, rows: int, test_fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training rows and of the held-out rows, both in random order.

    round(test_fraction · rows) rows are held out, at least one unless the fraction is 0. With labels
    (whole numbers, shape (rows,)) each class gives its share: ⌊share⌋, and one more for the classes with the
    largest remainders; a class always keeps at least one row for training. Raises `InputError` if no
    row is left for one of the parts.
    """
    wanted = _wanted(rows, test_fraction)
    order = rng.permutation(rows)
    if labels is None:
        groups = [order]
    else:
        shuffled = labels[order]
        by_class = np.argsort(shuffled, kind="stable")
        starts = np.cumsum(np.bincount(labels))[:-1]
        groups = [g for g in np.split(order[by_class], starts) if g.size]
    if wanted > rows - len(groups):
        shortage = "every class needs one row to train on" if labels is not None else "one row is needed to train on"
        raise _too_few(rows, test_fraction, wanted, shortage)
    held_out = np.zeros(rows, dtype=bool)
    for group, count in zip(groups, _shares([g.size for g in groups], wanted), strict=True):
        held_out[group[:count]] = True
    return order[~held_out[order]], order[held_out[order]]


def split_in_order(rows: int, test_fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """The first rows to train on, and the last ones held out: of rows that follow each other in time.

    As many are held out as `split` holds out. Raises `InputError` if no row is left to train on.
    """
    wanted = _wanted(rows, test_fraction)
    if wanted >= rows:
        raise _too_few(rows, test_fraction, wanted, "one row is needed to train on")
    order = np.arange(rows)
    return order[: rows - wanted], order[rows - wanted :]


def _wanted(rows: int, test_fraction: float) -> int:
    return max(1, round(test_fraction * rows)) if test_fraction else 0


def _too_few(rows: int, test_fraction: float, wanted: int, shortage: str) -> InputError:
    return InputError(
        f"{rows} rows cannot be split with test_fraction={test_fraction:g}: {wanted} would be held out, and "
        f"{shortage}. Add rows, or take a smaller test_fraction (0 holds nothing out)"
    )


def _shares(sizes: list[int], wanted: int) -> list[int]:
    """How many of each group: in proportion, ``wanted`` in all, and never a whole group."""
    exact = [wanted * size / sum(sizes) for size in sizes]
    counts = [min(math.floor(e), size - 1) for e, size in zip(exact, sizes, strict=True)]
    by_remainder = sorted(range(len(sizes)), key=lambda i: counts[i] - exact[i])  # stable: ties by class
    missing = wanted - sum(counts)
    while missing:
        for i in by_remainder:
            if missing and counts[i] < sizes[i] - 1:
                counts[i] += 1
                missing -= 1
    return counts
