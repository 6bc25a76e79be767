"""Paths through formulas: against the complex step, and each factor's symbols against its number."""

import json
import math
import re

import numpy as np
import pytest
import scipy.special
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import everygrad
from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError, NonFiniteError
from everygrad.paths import paths

NAMES = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: x if np.real(x) > 0 else 0 * x,
    "square": lambda x: x * x,
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * NAMES["Phi"](x),
    "elu": lambda x: x if np.real(x) > 0 else np.exp(x) - 1,
    "leaky_relu": lambda x: x if np.real(x) > 0 else 0.01 * x,
    "Phi": lambda x: 0.5 * scipy.special.erfc(-x / np.sqrt(2)),
    "phi": lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
    "pi": math.pi,
    "e": math.e,
}


def run(text, values):
    """Every name of the formula, by Python itself."""
    space = {"__builtins__": {}, **NAMES, **values}
    exec(text, space)
    return space


def slope(text, values, wrt, of):
    """d of / d wrt by the complex step."""
    return run(text, {**values, wrt: values[wrt] + 1e-30j})[of].imag / 1e-30


def number_of(symbols, space):
    """A factor's symbols as a number, by Python itself; [x > 0] is 1 or 0."""
    python = re.sub(r"\[([^\[\]]*)\]", r"(1.0*(\1))", symbols)
    return eval(python, space)


def check(text, values, wrt=None, k=100, tol=1e-12):
    p = paths(text, {name: float(v) for name, v in values.items()}, wrt=wrt, k=k)
    values = {name: np.float64(v) for name, v in values.items()}
    wrt, of = str(p.wrt[0]), str(p.of[0])
    space = run(text, values)
    assert_close(np.array(p.value), np.array(space[of]), tol=tol)
    scale = max(p.mass, abs(p.total), 1e-300)
    assert abs(p.total - slope(text, values, wrt, of)) <= tol * scale
    assert abs(p.listed + p.remainder - p.total) <= 1e-13 * scale
    if not p.others:
        assert abs(p.remainder) <= 1e-13 * scale
    for path in p.paths:
        assert path.units[0] == (wrt,)
        assert path.units[-1] == (of,)
        assert len(path.formulas) == len(path.factors) == len(path.units) - 1
        for symbols, factor in zip(path.formulas, path.factors, strict=True):
            assert abs(number_of(symbols, space) - factor) <= tol * max(abs(factor), 1e-9), symbols
        assert_close(np.array(math.prod(path.factors)), np.array(path.product))
    assert len({(path.units, path.note) for path in p.paths}) == len(p.paths)
    json.dumps(p.to_dict(), allow_nan=False)
    return p


def test_the_example():
    p = check("y1 = x**2; y2 = x**3; z = log(y1*y2)", {"x": 2.0})
    assert p.total == 2.5
    assert [path.units for path in p.paths] == [(("x",), ("y1",), ("z",)), (("x",), ("y2",), ("z",))]
    assert [path.product for path in p.paths] == [1.0, 1.5]
    assert [path.formulas for path in p.paths] == [("2*x", "1/y1"), ("3*x**2", "1/y2")]
    assert [path.factors for path in p.paths] == [(4.0, 0.25), (12.0, 0.125)]
    assert str(p).splitlines() == [
        "y1 = x**2; y2 = x**3; z = log(y1*y2)",
        "at x = 2: z = 3.46574",
        "dz/dx = 2.5 = 1 + 1.5",
        "",
        "  x → y1 → z",
        "    ∂y1/∂x   = 2*x   = 4",
        "    ∂z/∂y1   = 1/y1  = 0.25",
        "    product          = 1 (40.0 %)",
        "",
        "  x → y2 → z",
        "    ∂y2/∂x   = 3*x**2  = 12",
        "    ∂z/∂y2   = 1/y2    = 0.125",
        "    product            = 1.5 (60.0 %)",
    ]


def test_a_third_path_just_adds():
    p = check("y1 = x**2; y2 = x**3; y3 = sin(x); z = log(y1*y2*y3)", {"x": 2.0})
    assert p.count == 3
    assert [path.product for path in p.paths][:2] == [1.0, 1.5]
    assert p.paths[2].formulas == ("cos(x)", "1/y3")
    assert_close(np.array(p.total), np.array(2.5 + math.cos(2) / math.sin(2)))
    assert "dz/dx = 2.04234 = 1 + 1.5 - 0.457658" in str(p)


@pytest.mark.parametrize(
    ("text", "units", "notes"),
    [
        ("z = log(x**2 * x**3)", [["x", "x**2", "z"], ["x", "x**3", "z"]], ["", ""]),
        ("z = x*x", [["x", "z"], ["x", "z"]], ["operand 1 of z", "operand 2 of z"]),
        ("z = x", [["x", "z"]], [""]),
        ("y = x; z = y + x", [["x", "y", "z"], ["x", "z"]], ["", ""]),
        ("z = x**x", [["x", "log(x)", "z"], ["x", "z"]], ["", ""]),
        ("z = sin(exp(x)) - 3", [["x", "z"]], [""]),
        ("z = sin(x) + sin(x)", [["x", "sin(x)", "z"], ["x", "sin(x) (2)", "z"]], ["", ""]),
        ("z = 2*(x + 1)*tanh(  x\n)", None, None),
    ],
)
def test_what_is_shown(text, units, notes):
    if units is None:
        text = "z = (2*(x + 1) * # a comment\n tanh( x))"
        units, notes = [["x", "2*(x + 1)", "z"], ["x", "tanh( x)", "z"]], ["", ""]
    p = check(text, {"x": 2.0})
    assert [list(path.labels) for path in p.paths] == units
    assert [path.note for path in p.paths] == notes


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("z = log(x)", "1/x"),
        ("z = sqrt(x)", "1/(2*sqrt(x))"),
        ("z = 1/x", "-1/x**2"),
        ("z = 3/x**2", "-6/x**3"),
        ("z = x**0.5", "0.5*x**-0.5"),
        ("z = 0.1*x", "0.1"),
        ("z = x/3", "1/3"),
        ("z = -x", "-1"),
        ("z = +x", "1"),
        ("z = x**-1", "-1/x**2"),
        ("z = cos(x)", "-sin(x)"),
        ("z = tanh(x)", "1 - tanh(x)**2"),
        ("z = sigmoid(x)", "sigmoid(x)*(1 - sigmoid(x))"),
        ("z = exp(2*x)", "2*exp(2*x)"),
        ("z = exp(x)**2", "2*exp(x)**2"),
        ("z = log(1 + x)", "1/(1 + x)"),
        ("z = (1 + x)**3", "3*(1 + x)**2"),
        ("z = relu(x)", "[x > 0]"),
        ("z = pi*x", "pi"),
        ("z = 2*e*x", "2*e"),
        ("z = x**1", "1"),
        ("z = x**0", "0"),
        ("z = log(2*x)", "1/x"),
        ("z = (x**2)**0.5", "x*(x**2)**-0.5"),
        ("z = square(3*x)", "18*x"),
        ("z = (1 + 1)*x", "2"),
        ("z = 2**3*x - 2**-1", "8"),
        ("c = 3; z = c*x", "c"),
    ],
)
def test_the_symbols_read_well(text, symbols):
    shown = check(text, {"x": 1.7}).paths[0].formulas[0]
    same = {"0.5*x**-0.5": "1/(2*sqrt(x))", "x*(x**2)**-0.5": "x/sqrt(x**2)"}
    assert shown == same.get(symbols, symbols)


FUNCTIONS = sorted(set(NAMES) - {"Phi", "phi", "pi", "e"})


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("x", [1.3, -0.7])
def test_every_function(function, x):
    text = f"u = {function}(x*x)/2; z = u*{function}(x + 2) + {function}(3 + x*2)**2"
    check(text, {"x": x})
    check(f"z = {function}(3 + {function}(x*x))", {"x": x})


@st.composite
def formulas(draw):
    """Statements that use the names before them; arguments of log, sqrt and powers are kept positive."""
    names, lines = ["x", "y"], []

    def expression(depth):
        kind = draw(st.integers(0, 8)) if depth else 0
        if kind == 0:
            return draw(st.sampled_from([*names, *names, "2", "0.5", "pi"]))
        inner = expression(depth - 1)
        if kind <= 4:
            operator = draw(st.sampled_from(["+", "-", "*", " * "]))
            return f"({inner}{operator}{expression(depth - 1)})"
        if kind == 5:
            return f"{inner}/(1 + square({expression(depth - 1)}))"
        if kind == 6:
            return f"(1+square({inner}))**{draw(st.sampled_from(['3', '-2', '0.5', 'sin(x)', '(1/3)']))}"
        if kind == 7:
            return f"{draw(st.sampled_from(['log', 'sqrt']))}(1 + square({inner}))"
        return f"{draw(st.sampled_from(['-', 'sin', 'cos', 'tanh', 'sigmoid', 'softplus', 'silu', 'gelu']))}({inner})"

    for i in range(draw(st.integers(1, 3))):
        lines.append(f"v{i} = {expression(3)}")
        names.append(f"v{i}")
    lines.append(f"z = x*y*{' + '.join(names)} + {expression(2)}")
    return draw(st.sampled_from(["; ", "\n"])).join(lines)


HUNDREDTHS = st.integers(-150, 150).map(lambda n: n / 100)
"""No 1e-301: the oracle's step of 1e-30 would underflow."""


@settings(max_examples=100)
@given(text=formulas(), x=HUNDREDTHS, y=HUNDREDTHS, k=st.sampled_from([2, 10, 500]))
def test_any_formula(text, x, y, k):
    assume(
        all(abs(v) < 1e6 for name, v in run(text, {"x": np.float64(x), "y": np.float64(y)}).items() if name[0] in "vz")
    )
    p = check(text, {"x": x, "y": y}, wrt="x", k=k, tol=1e-10)
    assert isinstance(str(p), str)


def test_an_intermediate_quantity_and_another_end():
    text = "y1 = x**2; y2 = y1*a; z = exp(-y2) + y1"
    p = paths(text, x=1.5, a=0.3, wrt="y1")
    assert [path.formulas for path in p.paths] == [("a", "-exp(-y2)"), ("1",)]
    assert p.total == pytest.approx(1 - 0.3 * math.exp(-0.3 * 2.25), rel=1e-14)
    assert paths(text, x=1.5, a=0.3, of="y1").total == 3.0  # depends on x alone
    p = paths(text, x=1.5, a=0.3, wrt="a", of="y1")
    assert (p.count, p.total) == (0, 0.0)
    assert "no path leads from a to y1" in str(p)
    assert "∂z/∂y1" in str(paths(text, x=1.5, a=0.3, wrt="y1"))
    # a name for a number is a quantity too, also as an exponent
    p = paths("c = 3; z = x**c", x=2.0, wrt="c")
    assert_close(np.array(p.total), np.array(8 * math.log(2)))
    with pytest.raises(InputError, match=r"depends on 2 variables \(x, a\): say which one, wrt='x'"):
        paths(text, x=1.5, a=0.3)


def test_more_paths_than_asked_for():
    text = "a = x + sin(x); b = a + sin(a); c = b + sin(b); z = c + sin(c)"
    p = check(text, {"x": 0.4}, k=3)
    assert p.count == 16
    assert p.others == 13
    assert p.paths[0].product == 1.0
    assert "13 other paths: " in str(p)
    whole = paths(text, x=0.4, k=16)
    assert_close(np.array(whole.listed), np.array(p.total))
    assert sorted(whole.paths, key=lambda path: -abs(path.product))[:3] == list(p.paths)


def test_a_long_chain_is_shortened():
    text = "h0 = x\n" + "\n".join(f"h{i + 1} = sin(h{i})" for i in range(50))
    shown = str(check(text, {"x": 0.4}))
    assert "more steps" in shown
    assert len(shown.splitlines()) < 80


def test_a_long_sum():
    p = check("z = " + " + ".join(["x"] * 200), {"x": 1.5}, k=10)
    assert p.count == 200
    assert p.total == 200.0


def test_variables_whose_names_are_arguments():
    p = paths("z = k*of + params", {"k": 2.0, "of": 3.0, "params": 1.0}, wrt="k")
    assert p.total == 3.0
    with pytest.raises(InputError, match=r"in a dict, paths\(text, \{'k': 1.0\}\)"):
        paths("z = k*x", x=1.0, k=3)


def test_constants_may_be_given_other_values():
    assert paths("z = e*x", x=2.0).total == math.e
    assert paths("z = e*x", {"e": 3.0, "x": 2.0}, wrt="x").total == 3.0
    assert paths("pi = 3; z = pi*x", x=2.0).total == 3.0


def test_values_of_many_kinds():
    for x in (2, 2.0, np.float32(2), np.int64(2), np.array(2.0), np.array([2.0])):
        assert paths("z = x**2", x=x).total == 4.0
    with pytest.raises(InputError, match=r"(?s)2 problems.*'x' must be one real number.*shape \(2,\).*'y'"):
        paths("z = x*y", x=np.ones(2), y="a")
    with pytest.raises(InputError, match="real number, got True"):
        paths("z = x", x=True)
    with pytest.raises(InputError, match="real number"):
        paths("z = x", x=1j)
    with pytest.raises(NonFiniteError, match="'x'"):
        paths("z = x", x=math.nan)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("z = log(x)", "'z'"),
        ("y = sqrt(x); z = y*2", "'y'"),
        ("y = x + 1; z = y*log(x)", r"'log\(x\)'"),
        ("z = exp(exp(-2000*x))", "'exp"),
        ("w = x + 1; z = 1/w", "'z'"),
        ("y = x + 1; z = sqrt(y)", "the gradient of"),
    ],
)
def test_outside_the_domain(text, says):
    with pytest.raises(NonFiniteError, match=says):
        paths(text, x=-1.0)


def test_a_unused_line_is_not_computed():
    assert paths("a = log(-x); z = x**2", x=3.0).total == 6.0


def test_html_is_escaped_and_adds_up():
    p = paths("z = x*relu(x)", x=3.0)
    page = p._repr_html_()
    assert "[x &gt; 0]" in page
    assert "<script" not in page
    assert page.count("<tr>") == 2 + len(p.paths)
    assert "<td>6</td>" in page


def test_the_public_name_is_the_function():
    assert everygrad.paths("z = x**2", x=3.0).total == 6.0
