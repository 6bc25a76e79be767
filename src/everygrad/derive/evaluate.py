"""The value of a formula's tree: in floating point, or exactly, with fractions."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from everygrad.derive import expr as e
from everygrad.derive.expr import Expr
from everygrad.engines.numerics import normal_cdf, sigmoid, softplus
from everygrad.errors import UnsupportedError

Values = Mapping[tuple[str, str], Any]
"""(text, step) of a name -> its array of one sample."""


def _softmax(z: np.ndarray) -> np.ndarray:
    shifted = np.exp(z - z.max())
    return shifted / shifted.sum()


_REAL: dict[str, Callable[..., Any]] = {
    "log": np.log,
    "exp": np.exp,
    "softmax": _softmax,
    "tanh": np.tanh,
    "sigmoid": lambda a: sigmoid(np.asarray(a, np.float64)),
    "softplus": lambda a: softplus(np.asarray(a, np.float64)),
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "Phi": lambda a: normal_cdf(np.asarray(a, np.float64)),
    "phi": lambda a: np.exp(-0.5 * np.square(a)) / math.sqrt(2 * math.pi),
}
_RATIONAL: dict[str, Callable[..., Any]] = {
    "max": np.maximum,
    "min": np.minimum,
    "sum": np.sum,
    "vec": np.ravel,
    "mean": lambda a: a,  # over the samples: of one sample the value itself
}


def fraction(x: Any) -> Fraction:
    """The simplest fraction that a floating-point number is rounded from: 0.1 is 1/10, 0.333... (16 digits) is 1/3."""
    if isinstance(x, Fraction):
        return x
    if isinstance(x, int | np.integer):
        return Fraction(int(x))
    simple = Fraction(float(x)).limit_denominator(10**6)
    return simple if float(simple) == float(x) else Fraction(repr(float(x)))


def fractions(array: Any) -> np.ndarray:
    """The array with every number as a `Fraction`."""
    given = np.asarray(array)
    out = np.empty(given.shape, object)
    for index, x in np.ndenumerate(given):
        out[index] = fraction(x)
    return out


def evaluate(expr: Expr, values: Values, exact: bool = False) -> Any:
    """The value of a tree; ``exact``: with fractions throughout. Raises `UnsupportedError` for what has none."""

    def of(node: Expr) -> Any:
        match node:
            case e.Number(value):
                return fraction(value) if exact else float(value)
            case e.Name(text, step, ()):
                if (text, step) in values:
                    return values[text, step]
                if text == "pi" and not exact:
                    return math.pi
                raise UnsupportedError(f"{text!r} has no value here")
            case e.Sum(terms):
                total = of(terms[0])
                for term in terms[1:]:
                    total = total + of(term)
                return total
            case e.Minus(inner):
                return -of(inner)
            case e.Product(factors, sign):
                total = of(factors[0])
                for factor in factors[1:]:
                    total = _times(total, of(factor), sign)
                return total
            case e.Quotient(above, below):
                return of(above) / of(below)
            case e.Power(base, exponent):
                return _power(of(base), of(exponent), exact)
            case e.Call(function, arguments):
                table = _RATIONAL if exact else {**_RATIONAL, **_REAL}
                if function not in table:
                    raise UnsupportedError(f"{function} of a fraction is no fraction")
                return table[function](*map(of, arguments))
            case e.Transpose(inner):
                return np.asarray(of(inner)).T
            case e.Cases(rows):
                *chosen, (last, _) = rows
                found = of(last)
                for value, condition in reversed(chosen):
                    assert condition is not None  # only the last row has none
                    found = np.where(of(condition), of(value), found)
                return found
            case e.Chain((left, right), sign) if left is not None and right is not None:
                u, v = of(left), of(right)
                return {">": u > v, "<": u < v, ">=": u >= v, "<=": u <= v}[sign]
            case e.Iverson(condition):
                holds = np.asarray(of(condition))
                return fractions(holds.astype(int)) if exact else holds.astype(np.float64)
            case e.Stack(parts):
                return np.concatenate([np.atleast_1d(of(part)) for part in parts])
            case e.Where(body, e.Name(text, step), value):
                return evaluate(body, {**values, (text, step): of(value)}, exact)
            case e.At(inner, (e.Words(text),)):
                return _selected(np.asarray(of(inner)), text)
        raise UnsupportedError(f"{type(node).__name__} has no value by itself")

    return of(expr)


def _times(u: Any, v: Any, sign: str) -> Any:
    if sign == "⊗":
        return np.multiply.outer(u, np.ravel(v))
    if sign != "@" or not np.ndim(u) or not np.ndim(v):
        return u * v
    return np.asarray(u) @ np.asarray(v)


def _power(base: Any, exponent: Any, exact: bool) -> Any:
    if not exact:
        return base**exponent
    if Fraction(exponent).denominator != 1:
        raise UnsupportedError("a root of a fraction is no fraction")
    return base ** int(exponent)


def _selected(array: np.ndarray, text: str) -> Any:
    """``2``, ``[0, 2]`` or ``1:5:2``, as `Select` writes it."""
    inside = text.strip("[]")
    if ":" in text:
        parts = [int(p) if p.strip() else None for p in inside.split(":")]
        return array[slice(*parts)]
    try:
        numbers = [int(p) for p in inside.split(",")]
    except ValueError:
        raise UnsupportedError(f"[{text}] is not an index") from None
    return array[numbers] if text.startswith("[") else array[numbers[0]]
