"""Recurrent networks: layers of a cell over a sequence, read at the last step, at each, or in the mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, final

import numpy as np

from everygrad.engines import Array
from everygrad.errors import EverygradError, all_mismatches
from everygrad.graph import Graph, Operation, Shape, ops
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import Loss
from everygrad.graph.symbol import Builder, Symbol
from everygrad.networks.arguments import count_problems, is_count, loss_of
from everygrad.networks.cells import RecurrentCell
from everygrad.networks.initialise import Scheme, float_dtype, generator, weight_matrix
from everygrad.networks.written import Written, target_example

Read = Literal["last", "each", "mean"]
Lengths = Literal[False, True, "mask"]
Remember = Literal["all", "sqrt"]


@final
@dataclass(frozen=True, slots=True)
class Layer:
    """One direction of one layer: its ``label`` (``l0_reverse``), what its names end in, its cell, its direction."""

    label: str
    suffix: str
    cell: RecurrentCell
    reverse: bool


@final
@dataclass(frozen=True, init=False)
class Recurrent(Written):
    """A recurrent network: ``Recurrent(eg.LSTM(8, 32), outputs=10, read="last")``.

    ``cell``: `Elman`, `LSTM`, `GRU` or `Cell`, a function of one's own. ``layers`` of it are stacked: each reads the
    first state of the one below. ``bidirectional`` gives each layer a second cell, which reads from the end; the two
    states are joined. ``read``: out = V h + b_V of the state after the ``"last"`` step (of the backward half after its
    own last one, the first in time), of ``"each"`` step, or of the ``"mean"`` over time. ``loss`` compares out with the
    target: a name or a loss operation. ``embedding=(vocabulary, size)``: x are whole numbers, looked up in the table E.

    Data, in this order: ``x`` (batch, time, inputs), or tokens (batch, time); ``y``, for each sequence or, with
    ``read="each"``, for each step; with ``lengths=True`` ``lengths`` (batch,), with ``lengths="mask"`` a boolean
    ``mask`` (batch, time): what stands in the padding neither counts nor receives a gradient; with ``weighted=True``
    ``weight``, one for each y; with ``initial=True`` the initial states ``h0``, ``c0``, which otherwise are zero.

    Quantities carry the cell's names; those of several layers or directions end as in torch (``h_l1_reverse``; its
    initial state is ``h0_l1_reverse``); those of a single one have both names. ``h_end`` is the state after the last
    step. ``remember="sqrt"`` keeps O(√T) numbers and computes the rest again. Raises `InputError` with every problem.
    """

    cell: RecurrentCell
    outputs: int
    read: Read
    depth: int
    bidirectional: bool
    loss: Loss
    lengths: Lengths
    initial: bool
    embedding: tuple[int, int] | None
    weighted: bool
    remember: Remember

    def __init__(
        self,
        cell: RecurrentCell,
        outputs: int,
        read: Read = "last",
        layers: int = 1,
        bidirectional: bool = False,
        loss: str | Operation = "softmax_cross_entropy",
        lengths: Lengths = False,
        initial: bool = False,
        embedding: Sequence[int] | None = None,
        weighted: bool = False,
        remember: Remember = "all",
    ) -> None:
        problems = count_problems(outputs=outputs, layers=layers)
        if not isinstance(cell, RecurrentCell):
            problems.append(f"cell={cell!r}: expected an Elman, LSTM, GRU or Cell, like eg.LSTM(8, 32)")
        for what, value, choices in (
            ("read", read, ("last", "each", "mean")),
            ("lengths", lengths, (False, True, "mask")),
            ("remember", remember, ("all", "sqrt")),
        ):
            if not any(value is choice or (isinstance(choice, str) and value == choice) for choice in choices):
                problems.append(f"{what}={value!r}: expected one of {', '.join(map(repr, choices))}")
        flags = {"bidirectional": bidirectional, "initial": initial, "weighted": weighted}
        for what, flag in flags.items():
            if not isinstance(flag, bool | np.bool):
                extra = ": the states themselves are data, given with x and y" if what == "initial" else ""
                problems.append(f"{what}={flag!r}: expected True or False{extra}")
        problems += _embedding_problems(embedding, cell)
        chosen = None
        try:
            chosen = loss_of(loss)
        except EverygradError as error:
            problems.append(str(error))
        all_mismatches("Recurrent", problems)
        fields = {
            "cell": cell,
            "outputs": int(outputs),
            "read": read,
            "depth": int(layers),
            "bidirectional": bool(bidirectional),
            "loss": chosen,
            "lengths": lengths,
            "initial": bool(initial),
            "embedding": None if embedding is None else (int(embedding[0]), int(embedding[1])),
            "weighted": bool(weighted),
            "remember": remember,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        all_mismatches("Recurrent", self._taken_names())

    @property
    def directions(self) -> int:
        """1, or 2 if the network is bidirectional."""
        return 2 if self.bidirectional else 1

    @property
    def alone(self) -> bool:
        """Whether there is one layer with one direction: then names have no suffix."""
        return self.depth == self.directions == 1

    @property
    def prediction(self) -> str:
        """The quantity that the loss compares with the target."""
        return "out"

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers from below, each direction by itself, forward first."""
        found = []
        for level in range(self.depth):
            cell = self.cell if level == 0 else self.cell.with_inputs(self.cell.output * self.directions)
            for reverse in (False, True)[: self.directions]:
                label = f"l{level}" + ("_reverse" if reverse else "")
                found.append(Layer(label, "" if self.alone else f"_{label}", cell, reverse))
        return tuple(found)

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Parameter name -> shape."""
        shapes: dict[str, Shape] = {} if self.embedding is None else {"E": self.embedding}
        for layer in self.layers:
            shapes |= {name + layer.suffix: shape for name, shape in layer.cell.shapes.items()}
        shapes["V"] = (self.outputs, self.cell.output * self.directions)
        shapes["b_V"] = (self.outputs,)
        return MappingProxyType(shapes)

    @cached_property
    def graph(self) -> Graph:
        """The network as a graph of named quantities; the layers are scans in it."""
        builder = Builder()
        given = {"x": builder.given("x", "data", lead=2)}
        given["y"] = builder.given("y", "data", lead=2 if self.read == "each" else 1)
        counting = None
        if self.lengths:
            masked = self.lengths == "mask"
            counting = builder.given("mask" if masked else "lengths", "data", lead=2 if masked else 1)
        weight = builder.given("weight", "data", lead=2 if self.read == "each" else 1) if self.weighted else None
        starts = {
            f"{state}0{layer.suffix}": builder.given(f"{state}0{layer.suffix}", "data")
            for layer in self.layers
            if self.initial
            for state in layer.cell.states
        }
        parameters = {name: builder.given(name, "parameter") for name in self.shapes}

        h = given["x"] if counting is None else ops.keep_steps(given["x"], counting).named("x_kept")
        if self.embedding is not None:
            h = ops.embedding(h, parameters["E"]).named("embedded")
        state = next(iter(self.cell.states))
        ends: list[Symbol] = []
        for level in range(self.depth):
            halves = self.layers[level * self.directions : (level + 1) * self.directions]
            scans = []
            for layer in halves:
                suffix, cell = layer.suffix, layer.cell
                own = {name: parameters[name + suffix] for name in cell.shapes}
                begin = {s: starts[f"{s}0{suffix}"] for s in cell.states} if self.initial else dict(cell.states)
                scans.append(
                    ops.scan(cell.cell, h, own, begin, counting, layer.reverse, self.remember, layer.label, suffix)
                )
            h = _joined([s[state] for s in scans], f"{state}_l{level}_both")
            ends = [s.end[state] for s in scans]
        if self.read == "last":
            h = _joined(ends, f"{state}_both_end")
        elif self.read == "mean":
            h = ops.mean_over_time(h, counting).named(f"{state}_mean")
        out = ops.affine(h, parameters["V"], parameters["b_V"]).named("out")
        target = given["y"]
        if self.read == "each" and counting is not None:
            target = ops.keep_steps(target, counting).named("y_kept")
            weight = ops.step_weight(out, counting, weight).named("step_weight")
        loss = builder.apply(self.loss, out, target, *([] if weight is None else [weight]), name="loss")
        return builder.graph(loss, self._second_names())

    def init(
        self, seed: int | np.random.Generator, dtype: Any = np.float64, scheme: Scheme | None = None
    ) -> dict[str, Array]:
        """Random parameters: those of the cells by their own rule (see `RecurrentCell.init`), E normal, b_V zero.

        ``scheme``: for the matrices that are not recurrent; by default Glorot's for U, LeCun's for V. The same seed
        gives the same numbers in both dtypes, rounded.
        """
        rng, dtype = generator(seed), float_dtype(dtype)
        params: dict[str, Array] = {} if self.embedding is None else {"E": rng.normal(size=self.embedding)}
        for layer in self.layers:
            params |= {name + layer.suffix: p for name, p in layer.cell.init(rng, scheme or "glorot").items()}
        rows, columns = self.shapes["V"]
        params["V"] = weight_matrix(rng, rows, columns, scheme or "lecun", Elementwise("identity"))
        params["b_V"] = np.zeros(self.outputs)
        return {name: params[name].astype(dtype) for name in self.shapes}

    def example(self, samples: int, steps: int) -> list[Array]:
        """Zeros of the right shapes, all sequences of full length."""
        lead = (samples, steps) if self.read == "each" else (samples,)
        tokens = self.embedding is not None
        x = np.zeros((samples, steps), np.int64) if tokens else np.zeros((samples, steps, self.cell.inputs))
        arrays = [x, target_example(self.loss, lead, self.outputs)]
        if self.lengths:
            full = np.ones((samples, steps), bool) if self.lengths == "mask" else np.full(samples, steps)
            arrays.append(full)
        if self.weighted:
            arrays.append(np.ones(lead))
        states = [size for layer in self.layers for size in layer.cell.states.values()] if self.initial else []
        return [*arrays, *(np.zeros((samples, size)) for size in states)]

    def _second_names(self) -> dict[str, str]:
        """The names that end as torch's do, for a single layer with one direction."""
        if not self.alone:
            return {}
        cell = self.cell
        states = [*(f"{s}0" for s in cell.states if self.initial)]
        names = [*cell.cell.quantities, *cell.shapes, *states]
        return {f"{name}_l0": name for name in names} | {f"{s}_l0_end": f"{s}_end" for s in cell.states}

    def _taken_names(self) -> list[str]:
        """The cell's names that the network needs itself."""
        own = {"x", "x_kept", "y", "y_kept", "lengths", "mask", "weight", "step_weight", "E", "embedded"}
        own |= {"V", "b_V", "out", "loss"}
        found = []
        for layer in self.layers:
            names = [*layer.cell.cell.quantities, *layer.cell.shapes]
            found += [n for n in names if n + layer.suffix in own]
        return [f"the cell's {name!r} has a name that the network needs itself: give it another" for name in found]

    def __str__(self) -> str:
        stack = f", {self.depth} layers" if self.depth > 1 else ""
        both = ", bidirectional" if self.bidirectional else ""
        count = sum(int(np.prod(s)) for s in self.shapes.values())
        return f"Recurrent {self.cell}{stack}{both}, read {self.read}, {self.loss.name}, {count:,} parameters"


def _joined(halves: Sequence[Symbol], name: str) -> Symbol:
    return halves[0] if len(halves) == 1 else ops.concatenate(*halves).named(name)


def _embedding_problems(embedding: Any, cell: Any) -> list[str]:
    if embedding is None:
        return []
    if not isinstance(embedding, Sequence) or len(embedding) != 2 or not all(is_count(n) for n in embedding):
        return [f"embedding={embedding!r}: expected (vocabulary, size), two whole numbers of at least 1"]
    if isinstance(cell, RecurrentCell) and embedding[1] != cell.inputs:
        return [f"embedding={embedding!r} gives {embedding[1]} numbers for a token, the cell takes {cell.inputs}"]
    return []
