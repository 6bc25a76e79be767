"""From the text of a formula to an ordinary graph, by a white list: nothing is evaluated but numbers."""

import ast
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import final

from everygrad.errors import InputError, UnknownNameError, unknown_name
from everygrad.graph import Graph, Operation, Symbol
from everygrad.graph.arithmetic import Add, Divide, Multiply, Subtract
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.symbol import Builder
from everygrad.paths.source import Source, Statement, describe
from everygrad.paths.symbolic import Atom, Monomial, atom, constant, exact, value_of

FUNCTIONS = (
    "cos",
    "elu",
    "exp",
    "gelu",
    "leaky_relu",
    "log",
    "relu",
    "sigmoid",
    "silu",
    "sin",
    "softplus",
    "sqrt",
    "square",
    "tanh",
)
CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e}
"""Unless the formula or the caller gives these names another value."""

RESERVED = ("k", "of", "params", "sample", "wrt")
"""Names that `paths` takes for its own arguments: such variables are given in a dict."""

_ARITHMETIC: Mapping[type[ast.operator], tuple[Callable[[], Operation], str]] = {
    ast.Add: (Add, "+"),
    ast.Sub: (Subtract, "-"),
    ast.Mult: (Multiply, "*"),
    ast.Div: (Divide, "/"),
}


@final
@dataclass(frozen=True, slots=True)
class Value:
    """A part of the formula: its quantity, or its number; how it reads, and what it is as a monomial."""

    text: Atom
    monomial: Monomial
    symbol: Symbol | None = None
    number: float | None = None


@final
@dataclass(frozen=True, slots=True)
class Made:
    """A node that an operation made: what it was made of, and how its expression reads."""

    operands: tuple[Value, ...]
    text: Atom


@final
@dataclass(frozen=True)
class Expression:
    """A formula as a graph: every variable is a parameter, the last assignment the output.

    ``named``: the names that the user gave; the other quantities are called by their expressions.
    ``made``: what the symbolic derivatives need to know of each computed quantity.
    """

    graph: Graph
    variables: tuple[str, ...]
    named: frozenset[str]
    made: Mapping[str, Made]


def expression(source: Source, given: Iterable[str]) -> Expression:
    """The graph of a formula; ``given`` are the names that have values. Raises `InputError` with the place."""
    return _Compiler(source, frozenset(given)).run()


@final
class _Compiler:
    """The state while the statements are read, one after the other."""

    def __init__(self, source: Source, given: frozenset[str]) -> None:
        self.source = source
        self.given = given
        self.statements = source.statements()
        self.assigned = {s.name: s for s in reversed(self.statements)}
        self.builder = Builder()
        self.values: dict[str, Value] = {}
        self.variables: list[str] = []
        self.made: dict[str, Made] = {}
        self.problems: list[str] = []
        self.uses: dict[str, int] = {}  # how often an expression was met: two nodes need two names

    def run(self) -> Expression:
        output = None
        for statement in self.statements:
            self._check_name(statement)
            value = self._evaluate(statement.expression)
            output = self._named(statement.name, value)
        if self.problems:
            raise UnknownNameError("\n".join(self.problems))
        unused = sorted(self.given - set(self.variables))
        if unused:
            known = ", ".join(self.variables) or "none"
            raise InputError(
                f"values were given for {', '.join(unused)}, which the formula does not use; it uses {known}"
            )
        assert output is not None  # there is at least one statement
        graph = self.builder.graph(output)
        named = frozenset([*self.variables, *self.assigned])
        return Expression(graph, tuple(self.variables), named, self.made)

    def _check_name(self, statement: Statement) -> None:
        name = statement.name
        if name in self.values and name in self.variables:
            raise self.source.error(
                statement.target, f"{name!r} was used before this line gives it a value: give it another name"
            )
        if name in self.values:
            line = self.assigned[name].target.lineno
            raise self.source.error(
                statement.target, f"{name!r} was given a value in line {line} already: give this one another name"
            )
        if name in FUNCTIONS:
            raise self.source.error(statement.target, f"{name!r} is a function: give this quantity another name")
        if name in self.given:
            raise self.source.error(
                statement.target, f"{name!r} is computed here, and was given a value as well: leave that out"
            )

    def _named(self, name: str, value: Value) -> Symbol:
        """The quantity under its own name, which from here on stands for it."""
        own = Atom(name)
        record = self.builder.nodes[value.symbol.position] if value.symbol is not None else None
        if record is not None and record["role"] == "quantity" and record["name"] not in self.values:
            old = record["name"]
            self.made[name] = self.made.pop(old)
            symbol = value.symbol.named(name)  # type: ignore[union-attr]  # it has a record
        else:  # a bare name or a number
            symbol = self._apply(Elementwise("identity"), (value,), value.text, name)
        self.values[name] = Value(own, atom(own), symbol)  # no number: there may be a derivative by it
        return symbol

    def _apply(self, operation: Operation, operands: tuple[Value, ...], text: Atom, name: str | None = None) -> Symbol:
        if name is None:
            name = self._free_name(text.text)
        self.made[name] = Made(operands, text)
        inputs = [v.number if v.symbol is None else v.symbol for v in operands]
        return self.builder.apply(operation, *inputs, name=name)

    def _free_name(self, text: str) -> str:
        label = text if len(text) <= 60 else f"{text[:28]} ... {text[-27:]}"
        while True:
            self.uses[label] = count = self.uses.get(label, 0) + 1
            name = label if count == 1 else f"{label} ({count})"
            if name not in self.made and name not in self.assigned and name not in self.values:
                return name

    def _evaluate(self, root: ast.expr) -> Value:
        """The value of an expression: operands first, on a stack of our own, however deep it is."""
        todo: list[tuple[ast.expr, bool]] = [(root, False)]
        done: list[Value] = []
        while todo:
            node, ready = todo.pop()
            operands = self._operands(node)
            if not ready and operands:
                todo.append((node, True))
                todo += [(operand, False) for operand in reversed(operands)]
                continue
            values = tuple(done[len(done) - len(operands) :])
            del done[len(done) - len(operands) :]
            done.append(self._value(node, values))
        return done[0]

    def _operands(self, node: ast.expr) -> tuple[ast.expr, ...]:
        """The white list: what an expression may consist of."""
        if isinstance(node, ast.BinOp):
            if type(node.op) in _ARITHMETIC or isinstance(node.op, ast.Pow):
                return (node.left, node.right)
            raise self.source.error(node, f"only + - * / ** are allowed, got {describe(node.op)}")
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            return (node.operand,)
        if isinstance(node, ast.Call):
            self._check_call(node)
            return (node.args[0],)
        if isinstance(node, ast.Name | ast.Constant):
            return ()
        raise self.source.error(
            node, f"only numbers, names, + - * / ** and functions like exp(x) are allowed, got {describe(node)}"
        )

    def _check_call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Name):
            raise self.source.error(node.func, f"only functions like exp(x) can be called, got {describe(node.func)}")
        if node.func.id not in FUNCTIONS:
            what = str(unknown_name("function", node.func.id, FUNCTIONS))
            raise self.source.error(node, what, UnknownNameError)
        if node.keywords or len(node.args) != 1 or isinstance(node.args[0], ast.Starred):
            raise self.source.error(node, f"{node.func.id} takes one argument: {node.func.id}(x)")

    def _value(self, node: ast.expr, operands: tuple[Value, ...]) -> Value:
        if isinstance(node, ast.Constant):
            return self._number(node)
        if isinstance(node, ast.Name):
            return self._name(node)
        text = Atom(self.source.segment(node), compound=not isinstance(node, ast.Call))
        if all(v.symbol is None for v in operands) and not isinstance(node, ast.Call):
            return self._folded(node, operands, text)
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.UAdd):
                return replace(operands[0], text=text)
            minus = Value(Atom("-1"), constant(-1), number=-1.0)
            return self._operation(Multiply(), (minus, operands[0]), text)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self._operation(Elementwise(node.func.id), operands, text)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            return self._power(operands[0], operands[1], text)
        assert isinstance(node, ast.BinOp)  # the white list ends here
        return self._operation(_ARITHMETIC[type(node.op)][0](), operands, text)

    def _operation(self, operation: Operation, operands: tuple[Value, ...], text: Atom) -> Value:
        symbol = self._apply(operation, operands, text)
        monomials, parts = tuple(v.monomial for v in operands), tuple(v.text for v in operands)
        return Value(text, value_of(operation, monomials, text, parts), symbol)

    def _power(self, base: Value, exponent: Value, text: Atom) -> Value:
        """u**p for a number p; u**v = exp(v log u) otherwise."""
        if exponent.number is not None:
            p = exponent.number
            return self._operation(Elementwise("square") if p == 2 else Elementwise("power", p=p), (base,), text)
        logarithm = self._operation(Elementwise("log"), (base,), Atom(f"log({base.text.text})"))
        product = Atom(f"{exponent.text}*{logarithm.text}", compound=True)
        return self._operation(Elementwise("exp"), (self._operation(Multiply(), (exponent, logarithm), product),), text)

    def _number(self, node: ast.Constant) -> Value:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.source.error(node, f"only numbers are allowed, got {value!r:.40}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isinf(number):
            raise self.source.error(node, "the number is too large: the largest is about 1.8e308")
        written = Fraction(value) if isinstance(value, int) else exact(value)
        return Value(Atom(self.source.segment(node)), constant(written), number=number)

    def _name(self, node: ast.Name) -> Value:
        name = node.id
        if name in FUNCTIONS:
            raise self.source.error(node, f"{name!r} is a function: write {name}(...)")
        if name in self.values:
            return self.values[name]
        if name in self.assigned:
            line = self.assigned[name].target.lineno
            raise self.source.error(node, f"{name!r} is used before it gets its value in line {line}")
        own = Atom(name)
        if name in CONSTANTS and name not in self.given:
            return Value(own, atom(own), number=CONSTANTS[name])
        if name not in self.given:
            self.problems.append(str(self.source.error(node, self._missing(name))))
        self.variables.append(name)
        self.values[name] = Value(own, atom(own), self.builder.given(name, "parameter"))
        return self.values[name]

    def _missing(self, name: str) -> str:
        known = [*self.values, *self.given]
        near = str(unknown_name("name", name, known)).partition(" Known:")[0] if known else f"unknown name {name!r}."
        how = f"in a dict, paths(text, {{{name!r}: 1.0}})" if name in RESERVED else f"{name}=1.0"
        return f"{near} If it is a variable, give it a value: {how}"

    def _folded(self, node: ast.expr, operands: tuple[Value, ...], text: Atom) -> Value:
        """Numbers alone, in floating point: nothing here can grow."""
        numbers = [v.number for v in operands if v.number is not None]
        monomials = [v.monomial for v in operands]
        try:
            if isinstance(node, ast.UnaryOp):
                sign = -1 if isinstance(node.op, ast.USub) else 1
                return Value(text, monomials[0].scaled(sign), number=sign * numbers[0])
            assert isinstance(node, ast.BinOp)  # calls are operations
            u, v = numbers
            if isinstance(node.op, ast.Pow):
                number, monomial = u**v, monomials[0].raised(exact(v), operands[0].text)
            elif isinstance(node.op, ast.Div):
                number, monomial = u / v, monomials[0].times(monomials[1].inverse())
            elif isinstance(node.op, ast.Mult):
                number, monomial = u * v, monomials[0].times(monomials[1])
            else:
                sign = 1 if isinstance(node.op, ast.Add) else -1
                number, left, right = u + sign * v, monomials[0].number, monomials[1].number
                monomial = atom(text) if left is None or right is None else constant(left + sign * right)
        except ZeroDivisionError:
            raise self.source.error(node, "division by zero") from None
        except OverflowError:
            number, monomial = math.inf, atom(text)
        if isinstance(number, complex) or not math.isfinite(number):
            what = "is not a real number" if isinstance(number, complex) else "is too large a number"
            raise self.source.error(node, f"{text.text:.60} {what}")
        return Value(text, monomial, number=number)
