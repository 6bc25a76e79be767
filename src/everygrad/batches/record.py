"""The record of a batch in chunks: the gradients of the parameters, and where the rest was put."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import final

import numpy as np

from everygrad.backprop import table
from everygrad.backprop.gradients import norm
from everygrad.batches.folder import kept_in
from everygrad.engines import Array, to_numpy
from everygrad.errors import InputError, UnknownNameError
from everygrad.graph import Graph


@final
@dataclass(frozen=True, slots=True, eq=False)
class ChunkedGradients(Mapping[str, Array]):
    """∂L/∂p by the name of each parameter p, over all samples of all chunks.

    ``loss``: L over all samples; of a loss that is a number per sample, their sum, which is what is differentiated.
    ``divided_by``: the D of a mean L = Σ_n w_n ℓ_n / D, Σ_n w_n over all samples, or their number without weights; 1
    for a sum. ``samples``, ``chunks``: how many there were. ``folder``: where the quantities of ``keep`` are.
    """

    graph: Graph
    of: str
    loss: Array
    arrays: MappingProxyType[str, Array]
    divided_by: Array | int
    samples: int
    chunks: int
    folder: Path | None

    def __getitem__(self, name: str) -> Array:
        name = self.graph.resolve(name)
        if name in self.arrays:
            return self.arrays[name]
        raise UnknownNameError(
            f"the gradient of {name!r} was not summed: over chunks those of parameters are, {', '.join(self.arrays)}. "
            f"Of quantities of each sample, keep={(name,)!r} with folder= writes them to disk, each= hands them over"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def kept(self) -> Iterator[dict[str, np.ndarray]]:
        """The gradients of the quantities of ``keep`` in the order of the chunks, one chunk in memory at a time.

        ∂L/∂v of the loss over *all* samples: what is on disk, divided by ``divided_by``. Raises `InputError` if
        nothing was kept, `FileFormatError` if a file is damaged or gone.
        """
        if self.folder is None:
            raise InputError("nothing was kept: give keep=('h1', ...) and folder=")
        d = self.divided_by if isinstance(self.divided_by, int) else to_numpy(self.divided_by)
        for index in range(self.chunks):
            yield {name: g / d for name, g in kept_in(self.folder, index)}

    def _title(self) -> str:
        over = f"{self.samples:,} samples in {self.chunks:,} chunk{'' if self.chunks == 1 else 's'}"
        return f"{self.of} = {float(to_numpy(self.loss)):.6g} over {over}"

    def _table(self) -> list[table.Row]:
        rows = [table.cells(name, tuple(g.shape), norm(g)) for name, g in self.arrays.items()]
        return [("parameter", "shape", "norm of gradient"), *rows]

    def __str__(self) -> str:
        return table.as_text(self._title(), self._table())

    def __repr__(self) -> str:
        return f"ChunkedGradients({self._title()}; {', '.join(self.arrays)})"

    def _repr_html_(self) -> str:
        return table.as_html(self._title(), self._table())
