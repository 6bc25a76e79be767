"""The graph while a traced module is read: its names, and each parameter once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

import torch
from torch import nn

from everygrad.adapters.torch_parts import problems_of_parameter
from everygrad.adapters.traced.values import Held, Refused, Value, array_of
from everygrad.adapters.watched.setting import setting
from everygrad.graph import Builder, Operation, Symbol
from everygrad.graph.arrange import Flatten
from everygrad.networks.cells import GRU, LSTM, Elman, RecurrentCell


@final
class Cells:
    """The cells of a model's recurrent layers, made once for all ways of reading it."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], RecurrentCell] = {}

    def of(self, m: Any, layer: int) -> RecurrentCell:
        """The cell of one layer of an nn.RNN, nn.LSTM or nn.GRU, the same for both directions."""
        s = setting(m)
        inputs = m.input_size if layer == 0 else s.outputs * s.directions
        key = (s.family, inputs, s.units, s.projection, s.bias, s.activation)
        if key not in self._made:
            if s.family == "RNN":
                self._made[key] = Elman(inputs, s.units, s.activation, s.bias)
            elif s.family == "LSTM":
                self._made[key] = LSTM(inputs, s.units, s.projection or None, s.bias)
            else:
                self._made[key] = GRU(inputs, s.units, bias=s.bias)
        return self._made[key]


@final
class Building:
    """A graph under construction: the builder, the parameters with their names, and the second names."""

    def __init__(self, cells: Cells, paths: Mapping[nn.Module, str], dtype: torch.dtype | None) -> None:
        self.builder = Builder()
        self.cells = cells
        self.paths = paths  # of the recurrent layers that are used; what their names carry if there are several
        self.dtype = dtype
        self.tensors: dict[str, torch.Tensor] = {}
        self.aliases: dict[str, str] = {}
        self._taken = {"loss", "y"}
        self._parameters: dict[tuple[Any, ...], tuple[Symbol, str]] = {}
        self._sources: dict[int, bool] = {}  # id of a tensor of torch -> whether it was cut into gates
        self._counts: dict[str, int] = {}
        self._layers: dict[int, int] = {}  # position of a symbol -> number of the Linear that it follows
        self._vectors: dict[int, Symbol] = {}

    def name(self, wanted: str) -> str:
        """The name, with a number if it is taken."""
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name

    def reserve(self, names: Iterable[str]) -> None:
        """Note names that quantities have already."""
        self._taken.update(names)

    def number(self, what: str) -> int:
        """1, 2, ...: how many of these there have been."""
        self._counts[what] = self._counts.get(what, 0) + 1
        return self._counts[what]

    def alias(self, second: str, name: str) -> None:
        """A second name for a quantity; the first one to have it keeps it."""
        self.aliases.setdefault(second, name)

    def call_alias(self, path: str, symbols: Sequence[Symbol]) -> None:
        """The path of a module as a second name of what its first call gives, if that is one quantity."""
        if self.number(f"calls of {path}") == 1 and path and len(symbols) == 1:
            self.alias(path, self.builder.nodes[symbols[0].position]["name"])

    def second_names(self) -> dict[str, str]:
        """The second names that are no other quantity's name."""
        return {second: name for second, name in self.aliases.items() if second not in self._taken}

    def apply(self, operation: Operation, *operands: Any, name: str | None = None) -> Symbol:
        """A new quantity."""
        return self.builder.apply(operation, *operands, name=None if name is None else self.name(name))

    def parameter(self, tensor: torch.Tensor, wanted: str, alias: str | None = None) -> Symbol:
        """The symbol of a parameter of torch, the same at each use; named at its first."""
        if self._sources.get(id(tensor)):
            raise Refused("a weight of a recurrent layer is used outside of it: here it is several parameters")
        self._sources[id(tensor)] = False
        symbol, name = self._given((id(tensor),), tensor, wanted)
        if alias is not None:
            self.alias(alias, name)
        return symbol

    def part(self, sources: tuple[torch.Tensor, ...], what: str, tensor: torch.Tensor, wanted: str) -> Symbol:
        """The symbol of what was cut out of parameters of torch, or added up from them."""
        if any(self._sources.get(id(source)) is False for source in sources):
            raise Refused("a weight of a recurrent layer is used outside of it: here it is several parameters")
        self._sources.update({id(source): True for source in sources})
        return self._given((*map(id, sources), what), tensor, wanted)[0]

    def _given(self, key: tuple[Any, ...], tensor: torch.Tensor, wanted: str) -> tuple[Symbol, str]:
        if key not in self._parameters:
            name = self.name(wanted)
            self.tensors[name] = tensor
            self._parameters[key] = self.builder.given(name, "parameter"), name
        return self._parameters[key]

    def held(self, held: Held, wanted: str) -> Symbol:
        """The symbol of a parameter that the user's own forward uses."""
        problems = problems_of_parameter(held.tensor)
        if problems:
            raise Refused("; ".join(problems))
        return self.parameter(held.tensor, wanted, held.name)

    def after_layer(self, symbol: Symbol, source: Symbol | None = None) -> int | None:
        """The number of the Linear whose output this is, through activations only; ``source``: note that it follows."""
        if source is not None and source.position in self._layers:
            self._layers[symbol.position] = self._layers[source.position]
        return self._layers.get(symbol.position)

    def starts_layer(self, symbol: Symbol, layer: int) -> None:
        """Note that this is the output of Linear number ``layer``."""
        self._layers[symbol.position] = layer

    def vectors(self, value: Value) -> Value:
        """The value with a vector of one where a plain number came from outside."""
        if not value.raw:
            return value
        found = []
        for symbol in value.symbols.reshape(-1):
            if symbol.position not in self._vectors:
                self._vectors[symbol.position] = self.apply(Flatten(), symbol)
            found.append(self._vectors[symbol.position])
        return Value(array_of(found, value.symbols.shape), value.axes)
