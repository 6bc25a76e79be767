"""Derivatives in symbols, lightly simplified: a coefficient, times powers of names, times opaque factors.

1/(y1*y2) · y2 becomes 1/y1, and that is all that is meant: sums are not taken apart.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import final

from everygrad.graph import Operation

MOST_BITS = 512
"""The longest coefficient that is multiplied out."""


@final
@dataclass(frozen=True, slots=True)
class Atom:
    """What is not taken apart: a name, ``cos(x)``, ``1 + x`` (compound: needs parentheses as a factor)."""

    text: str
    compound: bool = False

    def __str__(self) -> str:
        return f"({self.text})" if self.compound else self.text


@final
@dataclass(frozen=True, slots=True)
class Monomial:
    """coefficient · Π atom^power."""

    coefficient: Fraction = Fraction(1)
    powers: Mapping[Atom, Fraction] = field(default_factory=lambda: MappingProxyType({}))

    def times(self, other: "Monomial") -> "Monomial":
        powers = dict(self.powers)
        for atom, power in other.powers.items():
            powers[atom] = powers.get(atom, Fraction(0)) + power
        kept = {atom: power for atom, power in powers.items() if power}
        return Monomial(self.coefficient * other.coefficient, MappingProxyType(kept))

    def scaled(self, c: int | Fraction) -> "Monomial":
        return Monomial(self.coefficient * c, self.powers)

    def inverse(self) -> "Monomial":
        return Monomial(1 / self.coefficient, MappingProxyType({atom: -power for atom, power in self.powers.items()}))

    def raised(self, p: Fraction, whole: Atom) -> "Monomial":
        """The power p; of ``whole``, the same value as an atom, where (u v)^p = u^p v^p need not hold."""
        if p.denominator == 1 and self.coefficient and _bits(self.coefficient) * abs(p.numerator) <= MOST_BITS:
            powers = MappingProxyType({atom: power * p for atom, power in self.powers.items()} if p else {})
            return Monomial(self.coefficient ** int(p), powers)
        return atom(whole, p)

    @property
    def number(self) -> Fraction | None:
        """The value if there are no atoms."""
        return None if self.powers else self.coefficient

    def __str__(self) -> str:
        c = self.coefficient
        if not c:
            return "0"
        above = [(a, p) for a, p in self.powers.items() if p > 0]
        below = [(a, -p) for a, p in self.powers.items() if p < 0]
        sign, top, bottom = "-" if c < 0 else "", abs(c), Fraction(1)
        if top.denominator > 1 and (below or not _terminates(top)) and max(_bits(top), 1) <= 40:
            top, bottom = Fraction(top.numerator), Fraction(top.denominator)
        upper = _product(top, above, alone=not below and bottom == 1 and not sign)
        if not below and bottom == 1:
            return sign + upper
        lower = _product(bottom, below, alone=False)
        several = len(below) + (bottom != 1) > 1
        return f"{sign}{upper}/({lower})" if several else f"{sign}{upper}/{lower}"


def atom(of: Atom, power: int | Fraction = 1) -> Monomial:
    """One atom to a power."""
    return Monomial(Fraction(1), MappingProxyType({of: Fraction(power)} if power else {}))


def constant(value: int | Fraction) -> Monomial:
    """A number."""
    return Monomial(Fraction(value))


def _bits(c: Fraction) -> int:
    return max(c.numerator.bit_length(), c.denominator.bit_length()) - 1


def _terminates(c: Fraction) -> bool:
    """Whether c has a short decimal expansion."""
    return (c * 10**6).denominator == 1


def number_text(c: Fraction) -> str:
    """A number to read."""
    if c.denominator == 1 and abs(c) < 10**15:
        return str(c.numerator)
    try:
        return repr(float(c)) if _terminates(c) or _bits(c) > 40 else f"{c}"
    except OverflowError:
        return f"1e{math.floor((c.numerator.bit_length() - c.denominator.bit_length()) * math.log10(2))}"


def _product(c: Fraction, parts: list[tuple[Atom, Fraction]], alone: bool) -> str:
    texts = [number_text(c)] if c != 1 or not parts else []
    for base, power in parts:
        if power == 1:
            texts.append(base.text if alone and len(parts) == 1 and c == 1 else str(base))
        elif power == Fraction(1, 2):
            texts.append(f"sqrt({base.text})")
        else:
            exponent = number_text(power)
            texts.append(f"{base}**({exponent})" if "/" in exponent else f"{base}**{exponent}")
    return "*".join(texts)


def value_of(operation: Operation, operands: tuple[Monomial, ...], whole: Atom, parts: tuple[Atom, ...]) -> Monomial:
    """The operation's output as a monomial of its operands', or as the atom ``whole`` if it is none."""
    match operation.name:
        case "identity":
            return operands[0]
        case "multiply":
            return operands[0].times(operands[1])
        case "divide" if operands[1].coefficient:
            return operands[0].times(operands[1].inverse())
        case "square" | "power":
            p = 2.0 if operation.name == "square" else operation.attributes["p"]
            return operands[0].raised(exact(p), parts[0])
        case "sqrt":
            return atom(parts[0], Fraction(1, 2))
    return atom(whole)


def local(
    operation: Operation, slot: int, operands: tuple[Monomial, ...], whole: Atom, parts: tuple[Atom, ...]
) -> Monomial:
    """∂output/∂operand as a monomial; ``parts`` are the operands and ``whole`` the output as atoms."""
    u, text = operands[0], parts[0].text
    match operation.name:
        case "identity" | "add":
            return constant(1)
        case "subtract":
            return constant(1 - 2 * slot)
        case "multiply":
            return operands[1 - slot]
        case "divide":
            v = operands[1].inverse()
            return v if slot == 0 else u.times(v).times(v).scaled(-1)
        case "square":
            return u.scaled(2)
        case "power":
            p = exact(operation.attributes["p"])
            return u.raised(p - 1, parts[0]).scaled(p)
        case "sqrt":
            return atom(parts[0], Fraction(-1, 2)).scaled(Fraction(1, 2))
        case "exp":
            return atom(whole)
        case "log":
            return u.inverse()
        case "sin":
            return atom(Atom(f"cos({text})"))
        case "cos":
            return atom(Atom(f"sin({text})")).scaled(-1)
        case "sigmoid":
            return atom(Atom(f"sigmoid({text})")).times(atom(Atom(f"1 - sigmoid({text})", compound=True)))
        case "tanh":
            return atom(Atom(f"1 - tanh({text})**2", compound=True))
    formula = operation.local_formula(slot, *map(str, parts)).replace(f"(({text}))", f"({text})")
    return atom(Atom(formula, compound=" " in formula and not formula.startswith("[")))


def exact(p: float) -> Fraction:
    """A floating-point number as it is written: 0.1 is 1/10."""
    return Fraction(repr(float(p)))
