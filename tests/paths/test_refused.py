"""What a formula may not contain: refused with the place, and nothing is run."""

import builtins
import importlib

import pytest

from everygrad.errors import InputError, UnknownNameError
from everygrad.paths import paths


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("z = __import__('os')", 1, 5, "unknown function '__import__'"),
        ("__import__('os').system('true')", 1, 1, "a value without a name"),
        ("z = x.__class__", 1, 5, r"an attribute \(.__class__\)"),
        ("z = x.real.imag", 1, 5, "an attribute"),
        ("z = (1).__class__.__mro__", 1, 5, "an attribute"),
        ("z = [v for v in y]", 1, 5, "a comprehension"),
        ("z = {v: 1 for v in y}", 1, 5, "a comprehension"),
        ("z = (v for v in y)", 1, 5, "a comprehension"),
        ("z = x if x else 1", 1, 5, "'if ... else'"),
        ("z = lambda: 0", 1, 5, "'lambda'"),
        ("z = f'{x}'", 1, 5, "an f-string"),
        ("z = (y := x)", 1, 6, "':='"),
        ("z = 9**9**9", 1, 5, "too large a number"),
        ("z = x**9**9**9", 1, 8, "too large a number"),
        ("z = 2.0**9999*x", 1, 5, "too large a number"),
        ("z = 1e999*x", 1, 5, "the number is too large"),
        (f"z = {'9' * 400}*x", 1, 5, "the number is too large"),
        ("z = x*1/0", None, None, "'z' is not finite"),
        ("z = x*(1/0)", 1, 8, "division by zero"),
        ("z = 0**-1*x", 1, 5, "division by zero"),
        ("z = (-1)**0.5*x", 1, 5, "not a real number"),
        ("y = x\nz = y < 3", 2, 5, "a comparison"),
        ("z = x and x", 1, 5, "'and' or 'or'"),
        ("z = not x", 1, 5, "'not' or '~'"),
        ("z = ~x", 1, 5, "'not' or '~'"),
        ("z = x % 2", 1, 5, "got %"),
        ("z = x ^ 2", 1, 5, r"a power is written \*\*"),
        ("z = x @ x", 1, 5, "got @"),
        ("z = x[0]", 1, 5, "an index in brackets"),
        ("z = 'text'", 1, 5, "only numbers are allowed, got 'text'"),
        ("z = 1j*x", 1, 5, "only numbers are allowed"),
        ("z = True*x", 1, 5, "only numbers are allowed"),
        ("z = None", 1, 5, "only numbers are allowed"),
        ("z = ...", 1, 5, "only numbers are allowed"),
        ("z = (x, x)", 1, 5, "a tuple"),
        ("z = await x", 1, 5, "'await'"),
        ("z = eval('1')", 1, 5, "unknown function 'eval'"),
        ("z = exp(x)(x)", 1, 5, "the result of another call"),
        ("z = log(x, 2)", 1, 5, "log takes one argument"),
        ("z = log(x=2)", 1, 5, "log takes one argument"),
        ("z = log(*x)", 1, 5, "log takes one argument"),
        ("z = log()", 1, 5, "log takes one argument"),
        ("z = lgo(x)", 1, 5, "Did you mean 'log'"),
        ("z = x + xx", 1, 9, "unknown name 'xx'.*Did you mean 'x'.*xx=1.0"),
        ("z, y = x", 1, 1, "a tuple"),
        ("z.a = x", 1, 1, "an attribute"),
        ("z[0] = x", 1, 1, "an index"),
        ("z = y = x", 1, 1, "one name for each '='"),
        ("z += x", 1, 1, "a name is given one value"),
        ("z: float = x", 1, 1, "an annotation"),
        ("import os", 1, 1, "'import'"),
        ("from os import path", 1, 1, "an import"),
        ("def f(): pass", 1, 1, "a function definition"),
        ("class A: pass", 1, 1, "a class definition"),
        ("del x", 1, 1, "'delete'"),
        ("global x", 1, 1, "'global'"),
        ("while 1: pass", 1, 1, "'while'"),
        ("with x: pass", 1, 1, "'with'"),
        ("x**2", 1, 1, "write z = ... in front of it"),
        ("z = x; z = x**2", 1, 8, "given a value in line 1 already"),
        ("z = v*x; v = x", 1, 5, "'v' is used before it gets its value in line 1"),
        ("x = 3", 1, 1, "'x' is computed here, and was given a value as well"),
        ("pi = pi*x; z = pi", 1, 6, "'pi' is used before it gets its value"),
        ("exp = x", 1, 1, "'exp' is a function"),
        ("z = exp*x", 1, 5, "'exp' is a function"),
        ("z = 2x", 1, 5, "not Python syntax"),
        ("z = x²", 1, 6, "not Python syntax"),
        ("y = x\n z = y", 2, 1, "not Python syntax"),
        ("α = x\n\nz = α*b", 3, 7, "unknown name 'b'"),
        ("z = (x +", 1, 5, "not Python syntax"),
        (f"z = {'(' * 5000}x", None, None, "not Python syntax|nested too deeply"),
        (f"z = {'-' * 9990}x", None, None, "nested too deeply"),
        (f"z = {'x**' * 3000}x", None, None, "nested too deeply"),
        (f"z = {'+'.join('x' * 5000)}", None, None, "characters, the limit is 10,000|nested too deeply"),
        (f"z = {'9' * 5000}*x", None, None, "digits"),
        ("z = x\0", None, None, "null"),
        ("z = \ud800", None, None, "cannot be read"),
        ("", None, None, "the formula is empty"),
        ("  # only a comment", None, None, "the formula is empty"),
        ("x" * 10_001, None, None, "10,001 characters, the limit is 10,000"),
    ],
)
def test_refused_with_its_place(text, line, column, says, monkeypatch):
    importlib.import_module("everygrad.paths.formula")  # loading a module is an exec too, and not the one meant

    def forbidden(*args, **kwargs):
        raise AssertionError("evaluated")

    monkeypatch.setattr(builtins, "eval", forbidden)
    monkeypatch.setattr(builtins, "exec", forbidden)
    error = ArithmeticError if "finite" in says else InputError
    with pytest.raises(error, match=f"(?s){says}") as caught:
        paths(text, x=2.0)
    message = str(caught.value)
    assert len(message) < 1000
    if line is not None:
        assert f"line {line}, column {column}:" in message
        shown, caret = message.splitlines()[-2:]
        at = caret.index("^")
        assert shown[4:] == text.splitlines()[line - 1][: len(shown) - 4]
        assert at == 4 + column - 1


def test_every_missing_value_is_listed():
    with pytest.raises(UnknownNameError, match=r"(?s)'a'.*'b'"):
        paths("z = a*x + b", x=1.0)


def test_values_that_are_not_used():
    with pytest.raises(InputError, match="values were given for a, b, which the formula does not use; it uses x"):
        paths("z = x**2", x=1.0, a=2.0, b=3.0)
    with pytest.raises(InputError, match="it uses none"):
        paths("z = 3", x=1.0)
    with pytest.raises(InputError, match="no variable"):
        paths("z = 3*pi")
    with pytest.raises(InputError, match=r"depends on 0 variables \(none\)"):
        paths("a = x; z = 3*pi", x=1.0)


def test_bad_arguments():
    with pytest.raises(InputError, match="has no samples"):
        paths("z = x", x=1.0, sample=0)
    with pytest.raises(InputError, match="given twice for x"):
        paths("z = x", {"x": 1.0}, x=1.0)
    with pytest.raises(UnknownNameError, match="Did you mean 'y1'"):
        paths("y1 = x; z = y1", x=1.0, wrt="y11")
    with pytest.raises(InputError, match="one number, 1 indices"):
        paths("z = x", x=1.0, wrt=("x", 0))


def test_nothing_grows_without_bound():
    """Coefficients and powers are not multiplied out beyond a limit, whatever the nesting."""
    inner = "3*x"
    for _ in range(40):
        inner = f"({inner})**64"
    p = paths(f"z = {inner}", x=1 / 3)
    assert p.count == 1
    assert len(str(p)) < 20_000
    paths("z = (7*x)**1000000000", x=1 / 7)
    p = paths("z = 1e300*(x*1e300)/1e300/1e300", x=1e-300)
    assert p.paths[0].formulas == ("1",)
