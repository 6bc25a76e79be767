"""The record of one backward pass: every quantity's gradient."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import final

import numpy as np

from everygrad.backprop import table
from everygrad.backprop.trace import Trace, not_kept
from everygrad.engines import Array, to_numpy
from everygrad.errors import UnknownNameError
from everygrad.graph.time import Sweep


@final
@dataclass(frozen=True, slots=True, eq=False)
class Gradients(Mapping[str, Array]):
    """∂L/∂v by the name of v, in the order of the graph; values are in ``trace``.

    Iterate over the names, index by name or alias, ``print`` for a table of name, shape and norm. Arrays
    may share memory with each other (through a sum, the gradient passes as it is) and with the trace:
    copy before writing to one. Over time they are *total* gradients, through all later steps; ``direct`` has
    the part that arrives at each step itself (see `Direct`). ``sweeps``: those inside each scan, by its label.
    """

    trace: Trace
    of: str
    arrays: MappingProxyType[str, Array]
    sweeps: Mapping[str, Sweep] = field(default_factory=dict)
    direct: Mapping[str, Array] = field(default_factory=dict)

    @property
    def loss(self) -> Array:
        """The value that was differentiated."""
        return self.trace[self.of]

    def __getitem__(self, name: str) -> Array:
        name = self.trace.graph.resolve(name)
        if name in self.arrays:
            return self.arrays[name]
        node = self.trace.graph.by_name[name]
        why = "a constant" if node.role == "constant" else f"not on the way to {self.of!r}, or made of whole numbers"
        if not_kept(node):
            why = "not kept with remember='sqrt', which saves memory: use remember='all'"
        raise UnknownNameError(f"{name!r} has no gradient: it is {why}. Those that have: {', '.join(self.arrays)}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def rows(self) -> list[tuple[str, str, tuple[int, ...], float]]:
        """(name, role, shape, Frobenius norm) for each quantity."""
        role = {name: node.role for name, node in self.trace.graph.by_name.items()}
        return [(name, role[name], tuple(g.shape), norm(g)) for name, g in self.arrays.items()]

    def _table(self) -> list[table.Row]:
        rows = [table.cells(name, shape, size) for name, _, shape, size in self.rows()]
        return [("quantity", "shape", "norm of gradient"), *rows]

    def _title(self) -> str:
        value = to_numpy(self.loss)
        text = f"{float(value):.6g}" if value.ndim == 0 else f"{value.shape[0]} values, sum {float(value.sum()):.6g}"
        return f"{self.of} = {text}"

    def __str__(self) -> str:
        return table.as_text(self._title(), self._table())

    def __repr__(self) -> str:
        return f"Gradients({self._title()}; {', '.join(self.arrays)})"

    def _repr_html_(self) -> str:
        return table.as_html(self._title(), self._table())


def norm(array: Array) -> float:
    """The Frobenius norm, in float64, without under- or overflow on the way."""
    x = to_numpy(array).astype(np.float64).ravel()
    scale = float(np.abs(x).max(initial=0.0))
    return scale * float(np.linalg.norm(x / scale)) if scale and np.isfinite(scale) else scale
