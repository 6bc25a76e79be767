"""From an ordinary Python function of symbols to a graph: ``eg.graph(f)``."""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from types import CodeType, FrameType, MappingProxyType
from typing import Any, final

import numpy as np

from everygrad.errors import InputError
from everygrad.graph.affine import Affine
from everygrad.graph.arithmetic import Add, Divide, Multiply, Subtract
from everygrad.graph.arrange import Select, Transpose
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.graph import Graph, Node, Role
from everygrad.graph.operation import Operation


@final
class Builder:
    """The nodes of a graph while its function runs."""

    def __init__(self, code: CodeType | None = None) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.code = code  # of the user's function, whose variables name the quantities
        self.frame: FrameType | None = None  # that function at work, found at its first operation

    def given(self, name: str | None, role: Role, constant: float | None = None, lead: int | None = None) -> "Symbol":
        """A new quantity that is not computed; data have one leading axis, the samples, or two with time."""
        lead = (1 if role == "data" else 0) if lead is None else lead
        self.nodes.append({"name": name, "role": role, "constant": constant, "lead": lead, "inputs": ()})
        return Symbol(self, len(self.nodes) - 1)

    def apply(self, operation: Operation, *operands: Any, name: str | None = None) -> "Symbol":
        """A new quantity: the operation's output. Numbers among the operands become constants."""
        if self.code is not None and self.frame is None:
            self.frame = _frame_of(self.code)
        symbols = [self._symbol(operand) for operand in operands]
        leads = tuple(self.nodes[s.position]["lead"] for s in symbols)
        record: dict[str, Any] = {"name": name, "role": "quantity", "operation": operation, "leads": leads}
        record |= {"inputs": tuple(s.position for s in symbols), "lead": operation.lead(leads)}
        self.nodes.append(record)
        return Symbol(self, len(self.nodes) - 1)

    def _symbol(self, operand: Any) -> "Symbol":
        if isinstance(operand, Symbol):
            if operand.builder is not self:
                raise InputError("a symbol of another graph was used: symbols live in the function they are given to")
            return operand
        if isinstance(operand, Real) and not isinstance(operand, bool):
            return self.given(None, "constant", float(operand))
        raise InputError(
            f"expected a symbol or a number, got {type(operand).__name__}: make arrays parameters of the function"
        )

    def name_by_variables(self) -> None:
        """Give the quantities that have no name yet those of the variables of the user's function."""
        # a frame that is still referred to keeps its variables after the function has returned
        variables = {} if self.frame is None else dict(self.frame.f_locals)
        self.frame = None
        taken = {record["name"] for record in self.nodes} - {None}
        for name, symbol in _symbols(variables):
            record = self.nodes[symbol.position]
            if record["name"] is None and name not in taken:
                record["name"] = name
                taken.add(name)

    def graph(self, output: "Symbol", aliases: Mapping[str, str] | None = None) -> Graph:
        """The finished graph; quantities without a name are called after their operation.

        What has no name and is not needed for the output (half of ``h @ W.T``, say) is left out.
        """
        names = self._names()
        used = {output.position}
        for position in reversed(range(len(self.nodes))):
            if position in used or self.nodes[position]["name"] is not None:
                used.update((position, *self.nodes[position]["inputs"]))
        nodes = []
        for position, (record, name) in enumerate(zip(self.nodes, names, strict=True)):
            if position not in used:
                continue
            inputs = tuple(names[i] for i in record["inputs"])
            fields: dict[str, Any] = {**record, "name": name, "inputs": inputs}
            nodes.append(Node(**fields))
        return Graph(tuple(nodes), names[output.position], MappingProxyType(dict(aliases or {})))

    def _names(self) -> list[str]:
        taken = {record["name"] for record in self.nodes}
        counts: dict[str, int] = {}
        names = []
        for record in self.nodes:
            name = record["name"]
            while name is None or (record["name"] is None and name in taken):
                stem = "constant" if record["role"] == "constant" else record["operation"].name
                counts[stem] = counts.get(stem, 0) + 1
                name = f"{stem}_{counts[stem]}"
            names.append(name)
        return names


@final
class Symbol:
    """A quantity of a graph under construction: use it like a number, a vector or a matrix.

    ``+ - * / **`` act element by element; ``W @ h`` and ``h @ W.T`` are the product of a weight
    matrix and a vector; ``h[2:5]``, ``h[3]``, ``h[[0, 2]]`` select; ``s.named("h1")`` gives a name.
    """

    __slots__ = ("builder", "position")
    __array_ufunc__ = None  # so that NumPy scalars and arrays leave the operators to us

    def __init__(self, builder: Builder, position: int) -> None:
        self.builder = builder
        self.position = position

    def named(self, name: str) -> "Symbol":
        """The same symbol, after giving the quantity this name. The arguments of the function keep theirs."""
        if self._record()["role"] != "quantity":
            raise InputError(f"{self._record()['name']!r} is an argument of the function: its name cannot be changed")
        self.builder.nodes[self.position]["name"] = name
        return self

    def _record(self) -> dict[str, Any]:
        return self.builder.nodes[self.position]

    def __add__(self, other: Any) -> "Symbol":
        return self.builder.apply(Add(), self, other)

    def __radd__(self, other: Any) -> "Symbol":
        return self.builder.apply(Add(), other, self)

    def __sub__(self, other: Any) -> "Symbol":
        return self.builder.apply(Subtract(), self, other)

    def __rsub__(self, other: Any) -> "Symbol":
        return self.builder.apply(Subtract(), other, self)

    def __mul__(self, other: Any) -> "Symbol":
        return self.builder.apply(Multiply(), self, other)

    def __rmul__(self, other: Any) -> "Symbol":
        return self.builder.apply(Multiply(), other, self)

    def __truediv__(self, other: Any) -> "Symbol":
        return self.builder.apply(Divide(), self, other)

    def __rtruediv__(self, other: Any) -> "Symbol":
        return self.builder.apply(Divide(), other, self)

    def __neg__(self) -> "Symbol":
        return self.builder.apply(Multiply(), -1.0, self)

    def __pos__(self) -> "Symbol":
        return self

    def __pow__(self, exponent: Any) -> "Symbol":
        if isinstance(exponent, Symbol):  # u**v = exp(v log u)
            logarithm = self.builder.apply(Elementwise("log"), self)
            return self.builder.apply(Elementwise("exp"), exponent * logarithm)
        if not isinstance(exponent, Real) or isinstance(exponent, bool):
            raise InputError(f"an exponent must be a number or a symbol, got {type(exponent).__name__}")
        if exponent == 2:
            return self.builder.apply(Elementwise("square"), self)
        return self.builder.apply(Elementwise("power", p=float(exponent)), self)

    def __rpow__(self, base: int | float) -> "Symbol":
        return self.builder.apply(Elementwise("exp"), self * self.builder.apply(Elementwise("log"), base))

    @property
    def T(self) -> "Symbol":
        """The transposed matrix."""
        record = self._record()
        if isinstance(record.get("operation"), Transpose):
            return Symbol(self.builder, record["inputs"][0])
        return self.builder.apply(Transpose(), self)

    def __matmul__(self, other: Any) -> "Symbol":
        if not isinstance(other, Symbol):
            return NotImplemented
        if self._record()["lead"] > other._record()["lead"]:  # rows times a matrix: h @ W.T
            return self.builder.apply(Affine(), self, other.T)
        return self.builder.apply(Affine(), other, self)

    def __getitem__(self, key: Any) -> "Symbol":
        if isinstance(key, np.ndarray) and key.ndim == 1 and key.dtype.kind in "iu":
            key = key.tolist()
        if isinstance(key, slice) and key.step != 0:
            return self.builder.apply(Select(part=(key.start, key.stop, key.step)), self)
        if isinstance(key, Integral) and not isinstance(key, bool):
            return self.builder.apply(Select((int(key),), scalar=True), self)
        if isinstance(key, Sequence) and all(isinstance(i, Integral) and not isinstance(i, bool) for i in key):
            return self.builder.apply(Select(key), self)
        raise InputError(f"a symbol is indexed by an integer, a slice or a list of integers, got {key!r}")

    def __iter__(self) -> Iterable["Symbol"]:
        raise InputError("a symbol has no length until data arrive: index it, h[0], h[1:3]")

    def __bool__(self) -> bool:
        raise InputError("a symbol has no value: a graph cannot depend on one with 'if' or 'while'")

    def __repr__(self) -> str:
        return f"Symbol({self._record()['name'] or self.position})"


def graph(
    function: Callable[..., Any], parameters: Iterable[str] | None = None, sequences: Iterable[str] = ()
) -> Graph:
    """The graph of an ordinary Python function of symbols.

    Positional arguments are data (one row per sample), keyword-only arguments are parameters (shared
    by all samples)::

        def f(x, y, *, W1, b1, W2):
            h1 = eg.ops.tanh(W1 @ x + b1)
            a2 = W2 @ h1 + x                    # a skip connection
            return eg.ops.squared_error(a2, y)

        g = eg.gradients(eg.graph(f), params, x, y)

    Quantities take the names of the function's local variables (``h1``, ``a2``; a list ``hs`` gives
    ``hs0``, ``hs1``...) unless ``.named()`` gave one; the rest are called after their operation, and
    what the function returns is called ``loss`` if it has no name.
    ``parameters`` names the parameters instead, for functions without keyword-only arguments. ``sequences`` names the
    data that have a time axis, (batch, time, ...), as `everygrad.ops.scan` reads them.
    The function returns the quantity to differentiate, a dict of named quantities whose last one it
    is, or a tuple likewise. Raises `InputError` for ``*args``, foreign objects, or a wrong result.
    """
    builder = Builder(getattr(inspect.unwrap(function), "__code__", None))
    named = None if parameters is None else set(parameters)
    over_time = {sequences} if isinstance(sequences, str) else set(sequences)
    positional, keyword = [], {}
    for argument in inspect.signature(function).parameters.values():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            raise InputError(f"{argument}: the arguments of a graph's function must be named one by one")
        only_keyword = argument.kind == argument.KEYWORD_ONLY
        is_parameter = only_keyword if named is None else argument.name in named
        lead = 2 if argument.name in over_time and not is_parameter else None
        symbol = builder.given(argument.name, "parameter" if is_parameter else "data", lead=lead)
        if only_keyword:
            keyword[argument.name] = symbol
        else:
            positional.append(symbol)
    for what, asked, role in (("parameters", named or set(), "parameter"), ("sequences", over_time, "data")):
        unknown = asked - {record["name"] for record in builder.nodes if record["role"] == role}
        if unknown:
            called = getattr(function, "__name__", function)
            raise InputError(f"{what} {sorted(unknown)} are not arguments of {called}")

    output = _output(function(*positional, **keyword))
    builder.name_by_variables()
    if output._record()["name"] is None and all(record["name"] != "loss" for record in builder.nodes):
        output.named("loss")
    return builder.graph(output)


def _output(result: Any) -> Symbol:
    if isinstance(result, Mapping):
        for name, symbol in result.items():
            if isinstance(symbol, Symbol) and symbol._record()["name"] is None:
                symbol.named(str(name))
        result = tuple(result.values())
    if isinstance(result, tuple | list) and result:
        result = result[-1]
    if not isinstance(result, Symbol):
        raise InputError(f"the function must return a symbol (the quantity to differentiate), got {result!r}")
    return result


def _symbols(variables: Mapping[str, Any]) -> Iterable[tuple[str, Symbol]]:
    for name, value in variables.items():
        if isinstance(value, Symbol):
            yield name, value
        elif isinstance(value, list | tuple):
            for i, item in enumerate(value):
                if isinstance(item, Symbol):
                    yield f"{name}{i}", item


def _frame_of(code: CodeType) -> FrameType | None:
    """The outermost running call of a function."""
    found, frame = None, sys._getframe(1)
    while frame is not None:
        found = frame if frame.f_code is code else found
        frame = frame.f_back
    return found
