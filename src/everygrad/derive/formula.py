"""A typed formula as a setting: every variable a number, every assignment a quantity."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from everygrad.backprop import forward
from everygrad.derive.expr import Expr
from everygrad.derive.parse import parse
from everygrad.derive.setting import Setting, Wanted, finished
from everygrad.derive.written import Route
from everygrad.errors import InputError
from everygrad.paths.expression import Expression, expression
from everygrad.paths.formula import numbers_of, variable_of
from everygrad.paths.source import source
from everygrad.paths.symbolic import constant, local


def formula_setting(
    text: str, values: Mapping[str, Any], wrt: Wanted | None, of: Wanted | None, exact: bool
) -> tuple[Setting, Wanted]:
    """The setting of a formula, and the variable that was asked for. Raises `InputError` with the place in the text."""
    numbers = numbers_of(values)
    made = expression(source(text), numbers)
    wanted = variable_of(made, wrt, of)
    given = {name: np.asarray(x) for name, x in numbers.items()}
    trace = forward(made.graph, given)
    named = frozenset(made.named)
    return finished(made.graph, trace, {}, {}, named, of, 0, "", None, made, exact), wanted


def simplest(made: Expression, route: Route) -> Expr:
    """A route's factor as the library's symbols simplify it: 1/(y1*y2) · y2 is 1/y1."""
    symbols = constant(1)
    for edge in route:
        node, of = made.graph.by_name[edge.node], made.made[edge.node]
        if node.operation is None:
            raise InputError(f"{node.name!r} is given, not computed")
        monomials, parts = tuple(v.monomial for v in of.operands), tuple(v.text for v in of.operands)
        symbols = symbols.times(local(node.operation, edge.slot, monomials, of.text, parts))
    return parse(str(symbols))
