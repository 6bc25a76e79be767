"""The two closure tables, ∘ and +: for every ordered pair of types one rule and the types it gives.

The tables are empty here and filled, once, when `everygrad.jacobians.algebra` is imported.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from everygrad.errors import InputError
from everygrad.jacobians.shapes import broadcast

Rule = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell of a table: the function, and the names of the types that it may return."""

    rule: Rule
    gives: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rules by pair of types. Of two rules for one pair, the one registered first stays."""

    symbol: str
    entries: dict[tuple[type, type], Entry] = field(default_factory=dict)

    def register(self, left: tuple[type, ...], right: tuple[type, ...], *gives: str) -> Callable[[Rule], Rule]:
        """Decorator: the rule for every pair of a type in ``left`` and a type in ``right``.

        ``gives`` names the possible types of the result; "left" and "right" stand for the operand's own type.
        """

        def decorate(rule: Rule) -> Rule:
            for J in left:
                for K in right:
                    named = {"left": J.__name__, "right": K.__name__}
                    self.entries.setdefault((J, K), Entry(rule, tuple(named.get(g, g) for g in gives)))
            return rule

        return decorate

    def apply(self, J: Any, K: Any) -> Any:
        """The rule of the pair, applied. Shapes are taken to fit."""
        return self.entries[type(J), type(K)].rule(J, K)


COMPOSE = Table("∘")
ADD = Table("+")


def compose(J: Any, K: Any) -> Any:
    """J ∘ K: (J ∘ K)[p, q] = Σ_k J[p, k] K[k, q] for each sample, in the simplest type that holds it."""
    if J.in_shape != K.out_shape:
        raise InputError(
            f"J @ K: the input of J has shape {J.in_shape}, the output of K has shape {K.out_shape}, in {J!r} @ {K!r}; "
            f"they must be the same quantity"
        )
    broadcast(J.batch, K.batch)
    return COMPOSE.apply(J, K)


def add(J: Any, K: Any) -> Any:
    """J + K for two Jacobians of the same quantities, in the simplest type that holds it."""
    if J.out_shape != K.out_shape or J.in_shape != K.in_shape:
        raise InputError(
            f"J + K: J has shape {J.out_shape} <- {J.in_shape}, K has shape {K.out_shape} <- {K.in_shape}, "
            f"in {J!r} + {K!r}; both must be of the same quantities"
        )
    broadcast(J.batch, K.batch)
    return ADD.apply(J, K)
