"""What every reader gives: rows as they stand in the source, before any split or scaling."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from everygrad.errors import FileFormatError, NonFiniteError

MAX_BYTES = 1 << 29
"""How large a data file may be, by default: 512 MiB, as it is on disk and as it is unpacked."""

SHOWN = 10
"""How many problems of one file are listed."""


@final
@dataclass(frozen=True, eq=False)
class Steps:
    """What belongs to the steps of sequences.

    ``used`` (rows, time): which steps count; the others are padding. ``given``: how the source says it, as
    ``"lengths"`` (of each row the first so many steps), as a ``"mask"``, or not (every step counts).
    ``per_step``: whether the target has one value for each step, and not one for the sequence.
    ``weight``: float64, (rows,), or (rows, time) if the target is per step.
    """

    used: np.ndarray
    given: Literal["lengths", "mask"] | None = None
    per_step: bool = False
    weight: np.ndarray | None = None


@final
@dataclass(frozen=True, eq=False)
class Raw:
    """``x`` (rows, features) float64 and finite; ``y`` (rows,) or (rows, outputs) of whole numbers, floats or text.

    ``classes`` are names for the labels 0..K−1, if the source has them. ``trained``: the source is split
    already, and its first so many rows are those to train on. ``divisor`` scales all features alike, instead
    of standardising them. ``in_order``: the rows follow each other in time, and the last ones are held out.

    Sequences have ``steps``. Their ``x`` is (rows, time, features), or (rows, time) of tokens, int64; a ``y``
    per step is (rows, time) or (rows, time, outputs). What stands in steps that do not count is arbitrary,
    but for x, which is 0 there.
    """

    name: str
    source: str
    x: np.ndarray
    y: np.ndarray
    features: tuple[str, ...]
    target: str
    classes: tuple[str, ...] | None = None
    trained: int | None = None
    divisor: float | None = None
    in_order: bool = False
    steps: Steps | None = None

    @property
    def has_tokens(self) -> bool:
        """Whether x holds tokens, and not features."""
        return self.x.dtype.kind == "i"


@final
class Problems:
    """Everything that is wrong with a file, counted in full and listed as far as `SHOWN`."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.shown: list[str] = []
        self.count = 0
        self.only_nonfinite = True

    def add(self, text: str, nonfinite: bool = False) -> None:
        self.count += 1
        self.only_nonfinite &= nonfinite
        if len(self.shown) < SHOWN:
            self.shown.append(text)

    def raise_any(self) -> None:
        """One `FileFormatError` for all; `NonFiniteError` if NaN and infinity are all that is wrong."""
        if not self.count:
            return
        head = f"{self.where}: {self.count} problem{'s' if self.count > 1 else ''}"
        rest = [f"... and {self.count - len(self.shown)} more"] if self.count > len(self.shown) else []
        error = NonFiniteError if self.only_nonfinite else FileFormatError
        raise error("\n  - ".join([head, *self.shown, *rest]))
