"""The sum over chunks: one tree that depends on the number of chunks only, so that the bits do not change."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import final

import numpy as np

from everygrad.engines import Array


@final
@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one chunk, or several next to each other, add up to.

    ``loss``: Σ w ℓ; ``share``: what they add to the denominator of a mean; ``gradients``: of the parameters.
    """

    loss: Array
    share: Array | int
    samples: int
    chunks: int
    gradients: Mapping[str, Array]

    def __add__(self, later: "Part") -> "Part":
        with np.errstate(all="ignore"):  # whatever is not finite is reported at the end, with its name
            return Part(
                self.loss + later.loss,
                self.share + later.share,
                self.samples + later.samples,
                self.chunks + later.chunks,
                {name: g + later.gradients[name] for name, g in self.gradients.items()},
            )


@final
@dataclass(frozen=True, slots=True, eq=False)
class PairwiseSum:
    """Chunks, added one by one in their order, summed in pairs, pairs of pairs, ...

    ``parts`` are complete subtrees of decreasing sizes, as the digits of a binary counter: for n chunks at most
    log2 n + 1 sums. Rounding grows with log2 n, not with n (Higham 2002, chapter 4).
    """

    parts: tuple[Part, ...] = ()

    def plus(self, part: Part) -> "PairwiseSum":
        """With the next chunk, a part with ``chunks=1``."""
        parts = self.parts
        while parts and parts[-1].chunks == part.chunks:
            parts, part = parts[:-1], parts[-1] + part
        return PairwiseSum((*parts, part))

    @property
    def chunks(self) -> int:
        """How many chunks were added."""
        return sum(part.chunks for part in self.parts)

    def total(self) -> Part:
        """All of them, from the smallest subtree to the largest."""
        return reduce(lambda later, earlier: earlier + later, reversed(self.parts))
