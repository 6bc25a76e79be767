"""Recurrent networks, written down as plain records, with their numbers: what the oracles and the library both compute.

The names are the library's: ``W_i_l1_reverse`` is the recurrent weight of gate i in the backward half of the second
layer; a network of one layer and one direction has no suffix.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from everygrad.checks.tolerance import assert_close

ACTIVATIONS = (
    "tanh",
    "relu",
    "sigmoid",
    "identity",
    "leaky_relu",
    "elu",
    "gelu",
    "gelu_tanh",
    "silu",
    "softplus",
    "sin",
    "cos",
)
BOUNDED = ("tanh", "sigmoid", "sin", "cos")


@dataclass(frozen=True)
class Layer:
    """One direction of one layer."""

    level: int
    reverse: bool
    suffix: str
    inputs: int

    @property
    def label(self) -> str:
        return f"l{self.level}_reverse" if self.reverse else f"l{self.level}"


@dataclass(frozen=True)
class Case:
    """A network and the size of its data; ``seed`` gives every number."""

    cell: str = "lstm"  # elman, lstm, gru, or a cell of one's own: leaky, peephole, minimal
    activation: str = "tanh"  # elman
    projection: int | None = None  # lstm
    reset: str = "after"  # gru
    bias: bool = True
    inputs: int = 3
    units: int = 4
    layers: int = 1
    bidirectional: bool = False
    read: str = "last"
    loss: str = "softmax_cross_entropy"
    outputs: int = 3
    lengths: bool | str = False
    initial: bool = False
    embedding: tuple[int, int] | None = None
    weighted: bool = False
    T: int = 5
    B: int = 3
    seed: int = 0

    @property
    def states(self) -> tuple[str, ...]:
        return ("h", "c") if self.cell in ("lstm", "peephole") else ("h",)

    @property
    def output(self) -> int:
        """The size of h."""
        return self.projection or self.units

    def size(self, state: str) -> int:
        return self.output if state == "h" else self.units

    @property
    def quantities(self) -> tuple[str, ...]:
        """What every oracle knows of one step."""
        return {
            "elman": ("a", "h"),
            "lstm": ("a_i", "i", "a_f", "f", "a_g", "g", "a_o", "o", "c", "h"),
            "gru": ("a_r", "r", "a_z", "z", "a_n", "n", "h"),
            "leaky": ("a", "h"),
            "peephole": ("a_i", "i", "a_f", "f", "a_g", "g", "a_o", "o", "c", "h"),
            "minimal": ("a_f", "f", "a_n", "n", "h"),
        }[self.cell]

    def width(self, quantity: str) -> int:
        return self.output if quantity == "h" else self.units

    @property
    def stack(self) -> tuple[Layer, ...]:
        """The layers from below, each direction by itself."""
        alone = self.layers == 1 and not self.bidirectional
        directions = (False, True) if self.bidirectional else (False,)
        first = self.embedding[1] if self.embedding else self.inputs
        return tuple(
            Layer(
                level=k,
                reverse=reverse,
                suffix="" if alone else f"_l{k}" + ("_reverse" if reverse else ""),
                inputs=first if k == 0 else self.output * len(directions),
            )
            for k in range(self.layers)
            for reverse in directions
        )

    def cell_shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        """The parameters of one cell."""
        gates = {
            "elman": ("",),
            "lstm": ("_i", "_f", "_g", "_o"),
            "gru": ("_r", "_z", "_n"),
            "leaky": ("",),
            "peephole": ("_i", "_f", "_g", "_o"),
            "minimal": ("_f", "_n"),
        }[self.cell]
        shapes: dict[str, tuple[int, ...]] = {}
        for gate in gates:
            shapes[f"U{gate}"] = (self.units, inputs)
            shapes[f"W{gate}"] = (self.units, self.output)
            if self.bias:
                shapes[f"b{gate}"] = (self.units,)
        if self.cell == "gru" and self.reset == "after" and self.bias:
            shapes["b_hn"] = (self.units,)
        if self.cell == "peephole":
            shapes |= {f"p_{gate}": (self.units,) for gate in "ifo"}
        if self.projection:
            shapes["R"] = (self.projection, self.units)
        return shapes

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"E": self.embedding} if self.embedding else {}
        for layer in self.stack:
            shapes |= {name + layer.suffix: shape for name, shape in self.cell_shapes(layer.inputs).items()}
        width = self.output * (2 if self.bidirectional else 1)
        return {**shapes, "V": (self.outputs, width), "b_V": (self.outputs,)}


@dataclass(frozen=True)
class Made:
    """A case with its numbers."""

    case: Case
    params: Mapping[str, np.ndarray]
    x: np.ndarray  # (B, T, i), or tokens (B, T)
    y: np.ndarray
    mask: np.ndarray  # (B, T): False is padding
    initial: Mapping[str, np.ndarray]  # "h0" + suffix -> (B, n); zeros where the case gives none
    weight: np.ndarray | None

    def cell(self, layer: Layer) -> dict[str, np.ndarray]:
        """The parameters of one layer by the cell's own names."""
        return {name: self.params[name + layer.suffix] for name in self.case.cell_shapes(layer.inputs)}

    @property
    def lengths(self) -> np.ndarray:
        return self.mask.sum(1)

    @property
    def coefficients(self) -> np.ndarray:
        """∂L/∂ℓ: (B, T) if the loss is read at each step, else (B,); the losses' reduction is the mean."""
        each = self.case.read == "each"
        w = np.ones(self.mask.shape if each else len(self.mask)) if self.weight is None else self.weight
        w = w * self.mask if each else w
        return w / w.sum()

    def replace(self, **changes: Any) -> "Made":
        return dataclasses.replace(self, **changes)


def made(case: Case) -> Made:
    """The numbers of a case: parameters that neither saturate nor explode, and data with arbitrary padding."""
    rng = np.random.default_rng(case.seed)
    B, T = case.B, case.T
    params = {}
    for name, shape in case.shapes.items():
        scale = 0.5 if len(shape) == 1 or name == "E" else 0.8 / np.sqrt(shape[1])
        params[name] = scale * rng.normal(size=shape)
        if name[0] == "W" and case.activation not in BOUNDED:  # else the states leave the range of numbers
            params[name] *= 0.8 / max(0.8, float(np.linalg.norm(params[name], 2)))
    mask = np.ones((B, T), bool)
    if case.lengths == "mask":  # holes anywhere, but at least one step of each sample counts
        mask = rng.uniform(size=(B, T)) < 0.7
        mask[np.arange(B), rng.integers(0, T, B)] = True
    elif case.lengths:
        mask = np.arange(T) < rng.integers(1, T + 1, B)[:, None]
    x = rng.integers(0, case.embedding[0], (B, T)) if case.embedding else rng.normal(size=(B, T, case.inputs))
    at = (B, T) if case.read == "each" else (B,)
    labels = case.loss == "softmax_cross_entropy"
    y = rng.integers(0, case.outputs, at) if labels else rng.normal(size=(*at, case.outputs))
    initial = {}
    for layer in case.stack:
        for state in case.states:
            start = 0.5 * rng.normal(size=(B, case.size(state)))
            initial[f"{state}0{layer.suffix}"] = start if case.initial else 0 * start
    weight = rng.uniform(0.2, 2.0, at) if case.weighted else None
    return Made(case, params, x, y, mask, initial, weight)


def drawn(seed: int, longest: int = 40, batch: int = 5, units: int = 7, layers: int = 3) -> Case:
    """Any recurrent network of the library's own cells, up to these sizes, each choice equally often."""
    rng = np.random.default_rng(seed)

    def pick(*options: Any) -> Any:
        return options[rng.integers(len(options))]

    def whole(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    cell, n = pick("elman", "lstm", "gru"), whole(1, units)
    return Case(
        cell=cell,
        activation=pick("tanh", *ACTIVATIONS) if cell == "elman" else "tanh",
        projection=pick(None, whole(1, n - 1)) if cell == "lstm" and n > 1 else None,
        reset=pick("after", "before") if cell == "gru" else "after",
        bias=pick(True, True, True, False),
        inputs=whole(1, units),
        units=n,
        layers=whole(1, layers),
        bidirectional=pick(False, True),
        read=pick("last", "each", "mean"),
        loss=pick("softmax_cross_entropy", "squared_error"),
        outputs=whole(2, 5),
        lengths=pick(False, True, "mask"),
        initial=pick(False, True),
        embedding=pick(None, None, None, (whole(2, 6), whole(1, 4))),  # one word alone: constant input, ∂L/∂z cancels
        weighted=pick(False, True),
        T=whole(1, longest),
        B=whole(1, batch),
        seed=whole(0, 10**6),
    )


def cases(longest: int = 40, batch: int = 5, units: int = 7, layers: int = 3) -> st.SearchStrategy[Case]:
    """`drawn`: hypothesis draws the seed alone, for it likes to repeat its small choices."""
    return st.integers(0, 10**9).map(lambda seed: drawn(seed, longest, batch, units, layers))


def agree(actual: Any, reference: Mapping[str, np.ndarray], tolerance: float, what: str) -> None:
    """Raise unless every array of ``reference`` is in ``actual``, equal by norm; ``what`` names the comparison."""
    for name, array in reference.items():
        assert_close(actual[name], array, tolerance, f"{what} {name}")
