"""What is asked: one gradient, who consumes the quantity, and by which routes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from everygrad.derive import expr as e
from everygrad.derive.expr import Expr, Name
from everygrad.derive.formula import simplest
from everygrad.derive.routes import of_weight, pointwise, pulled
from everygrad.derive.setting import Setting
from everygrad.derive.written import Route


@final
@dataclass(frozen=True, eq=False)
class Use:
    """One consumer of the quantity by one route. ``own``: only the component of the same index meets the element."""

    consumer: str
    route: Route

    @property
    def own(self) -> bool:
        return pointwise(self.route) or of_weight(self.route)


@final
@dataclass(frozen=True, eq=False)
class Asked:
    """∂L/∂v for the node ``name``, or one element of it."""

    s: Setting
    name: str
    index: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of v in one sample."""
        return self.s.written.shape(self.name)

    @property
    def letters(self) -> tuple[str, ...]:
        """The index of the element that is derived first: as asked, or letters."""
        if self.index or not self.shape:
            return tuple(map(str, self.index))
        return ("j",) if len(self.shape) == 1 else ("q", "r", "u", "v")[: len(self.shape)]

    @cached_property
    def uses(self) -> list[Use]:
        """Who consumes it on the way to what is differentiated."""
        reached = set(self.s.gradients.arrays)
        return [Use(u, route) for u, route in self.s.written.consumers[self.name] if u in reached]

    @property
    def over_samples(self) -> bool:
        """Whether all samples share it, so that their terms add up."""
        return not self.s.numbers.of_samples(self.name) and self.s.samples > 1

    def component(self, use: Use, letter: str = "m") -> tuple[str, ...]:
        """The index of the consumer's components: its own one, or a letter to sum over."""
        shape = self.s.written.shape(use.consumer)
        if not shape:
            return ()
        if pointwise(use.route):
            return self.letters
        if of_weight(use.route):
            return self.letters[:1]
        return (letter,) if len(shape) == 1 else (letter, "n'")[: len(shape)]


def grouped(asked: Asked) -> list[tuple[list[Use], Expr, Expr, str]]:
    """Uses that are alike but for the time step: (the uses, the equation's two sides with k for the step, range)."""
    s = asked.s
    found: dict[tuple[Any, ...], list[Use]] = {}
    for use in asked.uses:
        base, t = s.written.times.get(use.consumer, (use.consumer, None))
        tree = s.written.formula(use.consumer)
        shifted_ = tree if t is None else shifted(tree, t)
        slots = tuple((edge.slot, edge.kind) for edge in use.route)
        found.setdefault((base, shifted_, slots), []).append(use)
    groups = []
    for uses in found.values():
        steps = [s.written.times[u.consumer][1] for u in uses if u.consumer in s.written.times]
        first = uses[0].consumer
        left, right, where = s.name(first), s.written.formula(first), ""
        if len(uses) > 1 and steps:
            t = s.written.times[first][1]
            left, right = shifted(left, t), shifted(right, t)  # type: ignore[assignment]
            where = f"k = {min(steps)}, …, {max(steps)}"
        groups.append((uses, left, right, where))
    return groups


def shifted(node: Expr, t: int) -> Expr:
    """The formula of step t with k for t, k-1 for the step before."""
    if isinstance(node, Name) and node.step.lstrip("-").isdigit():
        d = int(node.step) - t
        return Name(node.text, "k" if not d else f"k{d:+d}", node.index, node.shape)
    return e.mapped(node, lambda part: shifted(part, t))


def components(asked: Asked, use: Use) -> list[tuple[str, ...]]:
    """The components of a consumer that the element meets."""
    p = asked.component(use)
    if use.own or not p:
        return [p]
    return [tuple(map(str, i)) for i in np.ndindex(*asked.s.written.shape(use.consumer))]


def term(asked: Asked, use: Use, p: tuple[str, ...]) -> Expr:
    """∂L/∂u[p] · ∂u[p]/∂v."""
    s = asked.s
    factor = e.Partial(s.name(use.consumer, p), s.name(asked.name, asked.letters))
    return factor if use.consumer == s.of else e.times(e.Partial(s.target, s.name(use.consumer, p)), factor)


def collected(asked: Asked) -> Expr:
    """The right-hand side of ∂L/∂v with whole vectors."""
    s = asked.s
    if s.made is not None:  # numbers: the factors in their simplest form
        return e.plus(*(e.times(s.partial(use.consumer), simplest(s.made, use.route)) for use in asked.uses))
    return e.plus(*(pulled(use.route, s.partial(use.consumer)) for use in asked.uses))


def over_steps(asked: Asked) -> Expr:
    """`collected`, with one sum over k for the terms that are alike but for the step."""
    s = asked.s
    found: list[Expr] = []
    for uses, _, _, where in grouped(asked):
        if not where:
            found += [pulled(use.route, s.partial(use.consumer)) for use in uses]
            continue
        first = uses[0]
        one = shifted(pulled(first.route, s.partial(first.consumer)), s.written.times[first.consumer][1])
        found.append(summed(one, where))
    return e.plus(*found)


def summed(one: Expr, where: str) -> Expr:
    """Σ over the steps of a range such as ``k = 0, …, 2``."""
    return e.Big("Σ", "k", one, where.split(" ")[2].rstrip(","), where.rsplit(" ", 1)[1])


def element_name(asked: Asked) -> Name:
    """The element that is asked for."""
    return asked.s.name(asked.name, asked.letters)
