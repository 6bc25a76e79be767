"""What a recurrent network needs of a cell: its graph, the sizes of its states, the shapes of its parameters."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from everygrad.graph import Shape
from everygrad.graph.affine import Affine
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.time import Cell, cell
from everygrad.networks.initialise import Scheme, orthogonal, weight_matrix


@dataclass(frozen=True)
class RecurrentCell(ABC):
    """A cell with its sizes; subclasses are frozen records whose `step` is the cell's graph."""

    inputs: int
    units: int

    @property
    @abstractmethod
    def states(self) -> Mapping[str, int]:
        """State -> size, in the order in which the step takes and gives them; the first is what is read."""

    @property
    @abstractmethod
    def shapes(self) -> Mapping[str, Shape]:
        """Parameter -> shape."""

    @abstractmethod
    def step(self, x: Any, states: Any, p: Any) -> Any:
        """One time step on symbols: from the input and the states before it to the states after it."""

    @abstractmethod
    def with_inputs(self, inputs: int) -> "RecurrentCell":
        """The same cell for another number of inputs, for the layers above the first; raises `InputError`."""

    @cached_property
    def cell(self) -> Cell:
        """The step as a graph."""
        return cell(self.step, tuple(self.states))

    @property
    def output(self) -> int:
        """The size of the first state, which the next layer and the read-out see."""
        return next(iter(self.states.values()))

    def init(self, rng: np.random.Generator, scheme: Scheme = "glorot") -> dict[str, np.ndarray]:
        """Random parameters, float64, as in Keras.

        Recurrent matrices, which multiply something made of a previous state, are orthogonal; the others follow
        ``scheme`` (see `weight_matrix`); vectors are zero.
        """
        identity, recurrent = Elementwise("identity"), self._recurrent
        params: dict[str, np.ndarray] = {}
        for name, shape in self.shapes.items():
            if len(shape) != 2:
                params[name] = np.zeros(shape)
            elif name in recurrent:
                params[name] = orthogonal(rng, shape[0], shape[1])
            else:
                params[name] = weight_matrix(rng, shape[0], shape[1], scheme, identity)
        return params

    @property
    def _recurrent(self) -> frozenset[str]:
        """The parameters that multiply something made of a previous state."""
        made = {previous for _, previous in self.cell.states}
        found = set()
        for node in self.cell.graph.nodes:
            if isinstance(node.operation, Affine) and node.inputs[0] in made:
                found.add(node.inputs[1])
            if any(name in made for name in node.inputs):
                made.add(node.name)
        return frozenset(found)


def gate_shapes(gates: Sequence[str], units: int, inputs: int, output: int, bias: bool) -> dict[str, Shape]:
    """The shapes of U, b (if there is one) and W of each gate: a = U x + b + W h, ``output`` being the size of h."""
    shapes: dict[str, Shape] = {}
    for gate in gates:
        shapes[f"U_{gate}"] = (units, inputs)
        if bias:
            shapes[f"b_{gate}"] = (units,)
        shapes[f"W_{gate}"] = (units, output)
    return shapes
