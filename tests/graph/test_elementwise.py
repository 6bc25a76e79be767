import math

import numpy as np
import pytest

from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError, UnknownNameError
from everygrad.graph.elementwise import RULES, Elementwise
from tests.graph.oracle import assert_local


def sigma(a):
    return 1 / (1 + math.exp(-a)) if a >= 0 else math.exp(a) / (1 + math.exp(a))


VALUES = {
    "identity": lambda a: a,
    "sigmoid": sigma,
    "tanh": math.tanh,
    "relu": lambda a: max(a, 0.0),
    "leaky_relu": lambda a: a if a > 0 else 0.01 * a,
    "elu": lambda a: a if a > 0 else math.expm1(a),
    "gelu": lambda a: a * 0.5 * math.erfc(-a / math.sqrt(2)),
    "gelu_tanh": lambda a: 0.5 * a * (1 + math.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))),
    "silu": lambda a: a * sigma(a),
    "softplus": lambda a: math.log1p(math.exp(a)),
    "exp": math.exp,
    "log": math.log,
    "square": lambda a: a * a,
    "power": lambda a: a**2.0,
    "sqrt": math.sqrt,
    "sin": math.sin,
    "cos": math.cos,
}
POSITIVE = {"log", "sqrt"}
SATURATING = ("sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "softplus", "elu", "relu", "leaky_relu", "identity")


def points(name):
    a = np.array([-3.7, -1.0, -0.3, 1e-3, 0.4, 1.0, 2.9])
    return np.abs(a) if name in POSITIVE else a


def test_every_rule_has_a_value_written_by_hand():
    assert set(VALUES) == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_value(name):
    a = points(name)
    reference = np.array([VALUES[name](float(v)) for v in a])
    assert_close(Elementwise(name).value([a], [0]), reference)


@pytest.mark.parametrize("name", RULES)
def test_derivative_is_that_of_the_value(name):
    a = points(name)
    assert_local(Elementwise(name), [a], [0])
    assert_local(Elementwise(name), [np.stack([a, a[::-1].copy()])], [1])
    assert_local(Elementwise(name), [a.reshape(7, 1)], [0])  # a matrix of parameters
    assert_local(Elementwise(name), [np.asarray(a[2])], [0])  # a number
    assert_local(Elementwise(name), [np.stack([a, a[::-1], 0.7 * a]).reshape(3, 7, 1)], [2])  # samples and steps


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("leaky_relu", {"slope": 0.3}),
        ("leaky_relu", {"slope": 1.5}),
        ("elu", {"alpha": 0.5}),
        ("power", {"p": 3.0}),
        ("power", {"p": 1.0}),
        ("power", {"p": 0.0}),
        ("power", {"p": -1.0}),
        ("power", {"p": 5.0}),
    ],
)
def test_constants_enter_value_and_derivative(name, constants):
    op = Elementwise(name, **constants)
    assert dict(op.attributes) == constants
    assert_local(op, [points(name)], [0])
    a = 1.3
    by_hand = {"leaky_relu": a, "elu": a, "power": a ** constants.get("p", 1)}[name]
    assert_close(op.value([np.array([a])], [0]), np.array([by_hand]))
    b = -0.7
    by_hand = {
        "leaky_relu": constants.get("slope", 0) * b,
        "elu": constants.get("alpha", 0) * math.expm1(b),
        "power": b ** constants.get("p", 1),
    }[name]
    assert_close(op.value([np.array([b])], [0]), np.array([by_hand]))


def test_power_of_a_fraction_on_positive_numbers():
    assert_local(Elementwise("power", p=2.5), [np.array([0.2, 1.0, 3.0])], [0])


def test_power_zero_and_one_at_zero():
    zero = np.array([0.0])
    assert Elementwise("power", p=0.0).derivative(zero, np.array([1.0])) == 0.0
    assert Elementwise("power", p=1.0).derivative(zero, zero) == 1.0


@pytest.mark.parametrize("name", SATURATING)
@pytest.mark.parametrize("size", [5.0, 12.0, 25.0])
def test_derivative_keeps_its_digits_in_saturation(name, size):
    """One entry at a time: a large neighbour must not hide the loss of digits."""
    for a in (-size, size):
        assert_local(Elementwise(name), [np.array([a])], [0])


@pytest.mark.parametrize("name", SATURATING)
def test_far_out_everything_is_finite_in_both_dtypes(name):
    for dtype in (np.float32, np.float64):
        a = np.array([-1e4, -90.0, 90.0, 1e4], dtype=dtype)
        op = Elementwise(name)
        with np.errstate(all="raise", under="ignore"):
            h = op.value([a], [0])
            slope = op.derivative(a, h)
        assert h.dtype == slope.dtype == dtype
        assert np.isfinite(h).all()
        assert np.isfinite(slope).all()
        assert_close(h, np.array([VALUES[name](v) if v < 700 or name != "softplus" else v for v in a.tolist()]), 1e-5)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu"])
def test_the_slope_at_the_kink_is_that_of_the_left(name):
    left = {"relu": 0.0, "leaky_relu": 0.01, "elu": 1.0}[name]
    zero = np.array([0.0])
    op = Elementwise(name)
    assert op.derivative(zero, op.value([zero], [0])) == left
    assert_local(op, [zero], [0])  # the value of a complex step takes the same side


def test_the_slope_of_elu_at_the_kink_is_alpha():
    op = Elementwise("elu", alpha=0.5)
    zero = np.array([0.0])
    assert op.derivative(zero, zero) == 0.5
    assert_local(op, [zero], [0])


@pytest.mark.parametrize("name", RULES)
def test_steepest_is_the_largest_slope(name):
    rule = RULES[name]
    assert Elementwise(name).steepest == rule.steepest
    if math.isinf(rule.steepest):
        assert name in ("exp", "log", "square", "power", "sqrt")
        return
    a = np.linspace(-12, 12, 240_001)
    op = Elementwise(name)
    top = np.abs(op.derivative(a, op.value([a], [0]))).max()
    assert rule.steepest == math.ceil(1e4 * top - 1e-6) / 1e4  # a bound: rounded up to four decimals


@pytest.mark.parametrize("name", RULES)
def test_keeps_finite_is_true(name):
    """A rule that claims it gives finite values for every finite argument, up to the largest."""
    op = Elementwise(name)
    assert op.keeps_finite is RULES[name].keeps_finite
    big = np.finfo(float).max
    a = np.array([-big, -1e200, -1.0, 0.0, 1.0, 1e200, big])
    with np.errstate(all="ignore"):
        finite = bool(np.isfinite(op.value([a], [0])).all())
    assert finite is op.keeps_finite


FORMULAS = {
    "identity": ("u", "1"),
    "sigmoid": ("sigmoid(u)", "sigmoid(u)*(1 - sigmoid(u))"),
    "tanh": ("tanh(u)", "1 - tanh(u)**2"),
    "relu": ("max(u, 0)", "[u > 0]"),
    "leaky_relu": ("max(u, 0) + 0.01*min(u, 0)", "1 if u > 0 else 0.01"),
    "elu": ("u if u > 0 else 1*(exp(u) - 1)", "1 if u > 0 else 1*exp(u)"),
    "gelu": ("u*Phi(u)", "Phi(u) + u*phi(u)"),
    "gelu_tanh": (
        "u/2*(1 + tanh(sqrt(2/pi)*(u + 0.044715*u**3)))",
        "(1 + t)/2 + u/2*(1 - t**2)*sqrt(2/pi)*(1 + 0.134145*u**2) with t = tanh(sqrt(2/pi)*(u + 0.044715*u**3))",
    ),
    "silu": ("u*sigmoid(u)", "sigmoid(u)*(1 + u*(1 - sigmoid(u)))"),
    "softplus": ("log(1 + exp(u))", "sigmoid(u)"),
    "exp": ("exp(u)", "exp(u)"),
    "log": ("log(u)", "1/u"),
    "square": ("u**2", "2*u"),
    "power": ("u**2", "2*u**(2 - 1)"),
    "sqrt": ("sqrt(u)", "1/(2*sqrt(u))"),
    "sin": ("sin(u)", "cos(u)"),
    "cos": ("cos(u)", "-sin(u)"),
}


def readable(text, u):
    """The number that a formula for people means."""
    names = {n: getattr(math, n) for n in ("exp", "log", "sqrt", "sin", "cos", "tanh", "pi")}
    names |= {"sigmoid": sigma, "max": max, "min": min, "u": u}
    names |= {"Phi": lambda a: 0.5 * math.erfc(-a / math.sqrt(2))}
    names |= {"phi": lambda a: math.exp(-a * a / 2) / math.sqrt(2 * math.pi)}
    if " with t = " in text:
        text, definition = text.split(" with t = ")
        names["t"] = eval(definition, names)  # a test's own strings
    if text.startswith("["):
        return float(eval(text[1:-1], names))
    return eval(text, names)


@pytest.mark.parametrize("name", RULES)
def test_formulas_mean_what_the_code_computes(name):
    op = Elementwise(name)
    assert (op.formula("u"), op.local_formula(0, "u")) == FORMULAS[name]
    for a in points(name)[[0, 1, 4, 6]]:
        h = op.value([np.array([a])], [0])
        assert readable(op.formula("u"), float(a)) == pytest.approx(float(h[0]), rel=1e-13)
        slope = op.derivative(np.array([a]), h)
        assert readable(op.local_formula(0, "u"), float(a)) == pytest.approx(float(slope[0]), rel=1e-12)


def test_constants_show_in_the_formulas():
    op = Elementwise("leaky_relu", slope=0.25)
    assert op.formula("a1") == "max(a1, 0) + 0.25*min(a1, 0)"
    assert repr(op) == "Elementwise('leaky_relu', slope=0.25)"
    assert repr(Elementwise("tanh")) == "Elementwise('tanh')"


def test_unknown_constants_are_refused():
    with pytest.raises(InputError, match=r"^tanh takes no constants, not \['slope'\]$"):
        Elementwise("tanh", slope=1.0)
    with pytest.raises(InputError, match=r"^elu takes \['alpha'\], not \['beta', 'slope'\]$"):
        Elementwise("elu", slope=1.0, beta=2.0)


def test_identity_has_an_identity_for_a_derivative():
    a = np.ones((4, 3), dtype=np.float32)
    J = Elementwise("identity").local(0, [a], a, [1])
    assert repr(J).startswith("Identity(3")
    assert J.dense().dtype == np.float32


def test_an_unknown_rule_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown activation 'tahn'\. Did you mean 'tanh'"):
        Elementwise("tahn")


def test_steepest_follows_the_constants():
    assert Elementwise("tanh").steepest == 1.0
    assert Elementwise("leaky_relu", slope=3.0).steepest == 3.0
    assert Elementwise("elu", alpha=2.5).steepest == 2.5
    assert math.isinf(Elementwise("square").steepest)


def test_operations_are_equal_when_they_do_the_same():
    assert Elementwise("elu", alpha=0.5) == Elementwise("elu", alpha=0.5)
    assert hash(Elementwise("elu", alpha=0.5)) == hash(Elementwise("elu", alpha=0.5))
    assert Elementwise("elu", alpha=0.5) != Elementwise("elu")
    assert Elementwise("tanh") != Elementwise("sin")
    assert Elementwise("tanh") != "tanh"
