"""Rule 3, nonlinearity: h = g(a), element by element, ∂h/∂a = diag(g′(a)). One row each."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from everygrad.engines import Array, kind_of, namespace
from everygrad.engines.arrays import take_real
from everygrad.engines.numerics import normal_cdf, sigmoid, sigmoid_slope, softplus, tanh, tanh_slope
from everygrad.errors import InputError, unknown_name
from everygrad.graph.operation import Operation, Shape, feature_shape
from everygrad.jacobians import Diagonal, Identity, Jacobian


@final
@dataclass(frozen=True, slots=True)
class Rule:
    """One elementwise function: its value g(a), its derivative g′ from (a, h = g(a)), its formula.

    ``steepest`` is max |g′| at the default constants, see `Elementwise.steepest`.
    """

    name: str
    value: Callable[..., Array]
    derivative: Callable[..., Array]
    formula: str
    derivative_formula: str
    keeps_finite: bool
    steepest: float = math.inf
    defaults: Mapping[str, float] = field(default_factory=dict)


def _gelu_slope(a: Array, h: Array) -> Array:
    density = namespace(a).exp(-0.5 * a * a) * (1.0 / math.sqrt(2.0 * math.pi))
    return normal_cdf(a) + a * density


_C, _D = math.sqrt(2.0 / math.pi), 0.044715  # Hendrycks & Gimpel 2016, section 2


def _gelu_tanh(a: Array) -> Array:
    return a * sigmoid(2.0 * _C * (a + _D * a * a * a))  # (1 + tanh u)/2 = σ(2u), without cancellation


def _gelu_tanh_slope(a: Array, h: Array) -> Array:
    u = 2.0 * _C * (a + _D * a * a * a)
    s = sigmoid(u)
    return s + a * (s * sigmoid(-u)) * (2.0 * _C * (1.0 + 3.0 * _D * a * a))


def _relu(a: Array) -> Array:
    xp = namespace(a)
    return xp.where(take_real(a) > 0, a, 0.0)


def _relu_slope(a: Array, h: Array) -> Array:
    xp = namespace(a)
    return xp.astype(a > 0, a.dtype)  # relu′(0) = 0, as in torch and JAX


def _leaky_relu(a: Array, slope: float) -> Array:
    return namespace(a).where(take_real(a) > 0, a, slope * a)


def _leaky_relu_slope(a: Array, h: Array, slope: float) -> Array:
    xp = namespace(a)
    return xp.where(a > 0, xp.ones_like(a), xp.full_like(a, slope))


def _elu(a: Array, alpha: float) -> Array:
    xp = namespace(a)
    positive = take_real(a) > 0
    return xp.where(positive, a, alpha * xp.expm1(xp.where(positive, 0.0, a)))


def _elu_slope(a: Array, h: Array, alpha: float) -> Array:
    xp = namespace(a)
    return xp.where(a > 0, 1.0, alpha * xp.exp(xp.where(a > 0, 0.0, a)))


def _silu_slope(a: Array, h: Array) -> Array:
    s = sigmoid(a)
    return s * (1.0 + a * sigmoid(-a))


def _power_slope(a: Array, h: Array, p: float) -> Array:
    return p * a ** (p - 1) if p != 0 else 0.0 * a  # 0 · a⁻¹ would be NaN at 0


# name, value(a), derivative(a, h), formula, derivative's formula, finite stays finite, max |g′|, defaults
RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("identity", lambda a: a, lambda a, h: 0.0 * a + 1.0, "{a}", "1", True, 1.0),
        Rule("sigmoid", sigmoid, sigmoid_slope, "sigmoid({a})", "{h}*(1 - {h})", True, 0.25),
        Rule("tanh", tanh, tanh_slope, "tanh({a})", "1 - {h}**2", True, 1.0),
        Rule("relu", _relu, _relu_slope, "max({a}, 0)", "[{a} > 0]", True, 1.0),
        Rule(
            "leaky_relu",
            _leaky_relu,
            _leaky_relu_slope,
            "max({a}, 0) + {slope}*min({a}, 0)",
            "1 if {a} > 0 else {slope}",
            True,
            1.0,
            {"slope": 0.01},
        ),
        Rule(
            "elu",
            _elu,
            _elu_slope,
            "{a} if {a} > 0 else {alpha}*(exp({a}) - 1)",
            "1 if {a} > 0 else {alpha}*exp({a})",
            True,
            1.0,
            {"alpha": 1.0},
        ),
        Rule("gelu", lambda a: a * normal_cdf(a), _gelu_slope, "{a}*Phi({a})", "Phi({a}) + {a}*phi({a})", True, 1.1290),
        Rule(
            "gelu_tanh",
            _gelu_tanh,
            _gelu_tanh_slope,
            "{a}/2*(1 + tanh(sqrt(2/pi)*({a} + 0.044715*{a}**3)))",
            "(1 + t)/2 + {a}/2*(1 - t**2)*sqrt(2/pi)*(1 + 0.134145*{a}**2)"
            " with t = tanh(sqrt(2/pi)*({a} + 0.044715*{a}**3))",
            True,
            1.1290,
        ),
        Rule(
            "silu",
            lambda a: a * sigmoid(a),
            _silu_slope,
            "{a}*sigmoid({a})",
            "sigmoid({a})*(1 + {a}*(1 - sigmoid({a})))",
            True,
            1.0999,
        ),
        Rule("softplus", softplus, lambda a, h: sigmoid(a), "log(1 + exp({a}))", "sigmoid({a})", True, 1.0),
        Rule("exp", lambda a: namespace(a).exp(a), lambda a, h: h, "exp({a})", "exp({a})", False),
        Rule("log", lambda a: namespace(a).log(a), lambda a, h: 1.0 / a, "log({a})", "1/{a}", False),
        Rule("square", lambda a: a * a, lambda a, h: 2.0 * a, "{a}**2", "2*{a}", False),
        Rule("power", lambda a, p: a**p, _power_slope, "{a}**{p}", "{p}*{a}**({p} - 1)", False, math.inf, {"p": 2.0}),
        Rule("sqrt", lambda a: namespace(a).sqrt(a), lambda a, h: 0.5 / h, "sqrt({a})", "1/(2*{h})", False),
        Rule("sin", lambda a: namespace(a).sin(a), lambda a, h: namespace(a).cos(a), "sin({a})", "cos({a})", True, 1.0),
        Rule(
            "cos", lambda a: namespace(a).cos(a), lambda a, h: -namespace(a).sin(a), "cos({a})", "-sin({a})", True, 1.0
        ),
    )
}


@final
class Elementwise(Operation):
    """h = g(a), element by element (rule 3): ∂h/∂a = diag(g′(a)).

    ``rule`` is a name of `RULES`; further arguments are the rule's constants
    (``Elementwise("leaky_relu", slope=0.2)``).
    """

    def __init__(self, rule: str, **constants: float) -> None:
        if rule not in RULES:
            raise unknown_name("activation", rule, RULES)
        row = RULES[rule]
        unknown = sorted(set(constants) - set(row.defaults))
        if unknown:
            raise InputError(f"{rule} takes {sorted(row.defaults) or 'no constants'}, not {unknown}")
        self.rule = row
        self.name = rule
        self.constants = {**row.defaults, **{name: float(value) for name, value in constants.items()}}
        self.keeps_finite = row.keeps_finite

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self.constants

    def shape(self, shapes: Sequence[Shape], leads: Sequence[int]) -> Shape:
        return shapes[0]

    def value(self, xs: Sequence[Array], leads: Sequence[int]) -> Array:
        return self.rule.value(xs[0], **self.constants)

    @property
    def steepest(self) -> float:
        """max |g′|, for people who look for saturation and for bounds."""
        return max(self.rule.steepest, *(abs(self.constants.get(name, 0.0)) for name in ("slope", "alpha")))

    def derivative(self, a: Array, h: Array) -> Array:
        """g′(a), given a and h = g(a)."""
        return self.rule.derivative(a, h, **self.constants)

    def local(self, slot: int, xs: Sequence[Array], y: Array, leads: Sequence[int]) -> Jacobian:
        a = xs[0]
        if self.name == "identity":
            return Identity(kind_of(a), feature_shape(a, leads[0]))
        return Diagonal(self.derivative(a, y), a.ndim - leads[0])

    def _fill(self, formula: str, operand: str) -> str:
        constants = {name: f"{value:g}" for name, value in self.constants.items()}
        h = self.rule.formula.format(a=operand, **constants)
        return formula.format(a=operand, h=h, **constants)

    def formula(self, *operands: str) -> str:
        return self._fill(self.rule.formula, operands[0])

    def local_formula(self, slot: int, *operands: str) -> str:
        return self._fill(self.rule.derivative_formula, operands[0])

    def __repr__(self) -> str:
        inside = ", ".join([repr(self.name), *(f"{k}={v:g}" for k, v in self.constants.items())])
        return f"Elementwise({inside})"
