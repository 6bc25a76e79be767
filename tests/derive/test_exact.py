"""Fractions: every number from the formulas alone, against plain loops with `Fraction`."""

from fractions import Fraction

import numpy as np
import pytest

import everygrad as eg
from everygrad.checks.tolerance import assert_close
from everygrad.derive import Derivation
from everygrad.derive.text import inline
from everygrad.errors import UnsupportedError
from tests.derive.graphs import rational

NET = rational()
RNG = np.random.default_rng(2)
PARAMS = {name: RNG.integers(-3, 4, shape) / 2 for name, shape in NET.shapes.items()}
X, Y = RNG.integers(-3, 4, (3, 3)) / 1.0, RNG.integers(-3, 4, (3, 2)) / 3


def F(x: float) -> Fraction:
    return Fraction(x).limit_denominator(1000)


def loops() -> dict[str, dict[tuple[int, ...], Fraction]]:
    """Forward and backward with fractions, one number at a time."""
    found: dict[str, dict[tuple[int, ...], Fraction]] = {n: {} for n in ("W1", "b1", "W2", "b2", "h1", "a1")}
    W1, W2 = PARAMS["W1"], PARAMS["W2"]
    for n in range(3):
        x = [F(v) for v in X[n]]
        a1 = [sum(F(W1[q, r]) * x[r] for r in range(3)) + F(PARAMS["b1"][q]) for q in range(2)]
        h1 = [max(a, Fraction(0)) for a in a1]
        a2 = [sum(F(W2[q, r]) * h1[r] for r in range(2)) + F(PARAMS["b2"][q]) for q in range(2)]
        g2 = [Fraction(2, 3) * (a2[q] - F(Y[n, q])) for q in range(2)]
        g1 = [sum(g2[m] * F(W2[m, j]) for m in range(2)) for j in range(2)]
        d1 = [g1[j] if a1[j] > 0 else Fraction(0) for j in range(2)]
        for q in range(2):
            found["h1"][n, q], found["a1"][n, q] = g1[q], d1[q]
            found["b1"][(q,)] = found["b1"].get((q,), Fraction(0)) + d1[q]
            found["b2"][(q,)] = found["b2"].get((q,), Fraction(0)) + g2[q]
            for r in range(3):
                found["W1"][q, r] = found["W1"].get((q, r), Fraction(0)) + d1[q] * x[r]
            for r in range(2):
                found["W2"][q, r] = found["W2"].get((q, r), Fraction(0)) + g2[q] * h1[r]
    return found


@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2", "h1", "a1"])
def test_fractions_by_loops(name: str):
    d = eg.derive(NET, name, PARAMS, X, Y, exact=True, sample=1)
    expected = loops()[name]
    for index in np.ndindex(*d.value.shape):
        key = (1, *index) if name in ("h1", "a1") else index
        assert isinstance(d.value[index], Fraction)
        assert d.value[index] == expected[key]
    assert d.ok
    g = eg.gradients(NET, PARAMS, X, Y)[name]
    assert_close(d.value.astype(float), g[1] if name in ("h1", "a1") else g, tol=1e-13)


def floats(d: Derivation) -> list[float]:
    return [x for x in d.numbers() if isinstance(x, float)]


def test_no_decimal_is_printed():
    for wrt in ("W2[0,1]", "h1[1]", None):
        d = eg.derive(NET, wrt, PARAMS, X, Y, exact=True)
        assert floats(d) == [float(d.oracle)] if wrt else floats(d) == []
    d = eg.derive(NET, "W2[0,1]", PARAMS, X, Y, exact=True)
    assert f"= {loops()['W2'][0, 1]}" in d.to_text()


def test_fractions_through_time_and_for_formulas():
    net = eg.Recurrent(eg.Elman(2, 2, "relu"), 2, "each", loss="squared_error")
    d = eg.derive(net, "h[1]", exact=True)
    assert all(isinstance(x, Fraction) for x in d.value)
    assert d.ok
    d = eg.derive("u = x**2/(x + 1); z = u - 3*x", "x", x=2, exact=True)
    assert d.value == Fraction(-19, 9)
    assert "= -19/9" in d.to_text()
    assert inline(d.question) == "∂z/∂x"


def test_scalars_vectors_and_parts():
    """Broadcasting, selections and concatenations with fractions."""

    def f(x, y, *, W, c):
        h = W @ x
        u = eg.ops.concatenate(h[1:], h[0] * h[2], eg.ops.sum(h))
        v = c * u / 4
        return eg.ops.squared_error(v, y)

    rng = np.random.default_rng(0)
    params = {"W": rng.integers(-2, 3, (3, 2)) / 1.0, "c": np.array(0.5)}
    data = rng.integers(-2, 3, (2, 2)) / 1.0, rng.integers(-2, 3, (2, 4)) / 1.0
    for name in ("W", "c", "u", "h"):
        d = eg.derive(eg.graph(f), name, params, *data, exact=True)
        assert d.ok
        assert {type(x) for x in np.ravel(np.asarray(d.value, object))} == {Fraction}


@pytest.mark.parametrize(
    ("network", "names"),
    [
        (eg.FeedForward([2, 2, 2]), ["tanh", "softmax_cross_entropy"]),
        (eg.FeedForward([2, 2], loss="squared_error", output="sigmoid"), ["sigmoid"]),
        (eg.Recurrent(eg.LSTM(1, 1), 1, loss="squared_error"), ["sigmoid", "tanh"]),
    ],
    ids=["tanh", "sigmoid", "lstm"],
)
def test_what_leaves_the_fractions_is_refused_with_all_names(network, names):
    with pytest.raises(UnsupportedError) as error:
        eg.derive(network, exact=True)
    assert "leave exact out" in str(error.value)
    if isinstance(network, eg.FeedForward):
        assert names[0] in str(error.value)
    else:
        assert any(name in str(error.value) for name in names)


def test_floats_that_are_no_short_fractions_stay_what_they_are():
    d = eg.derive("z = x*x/3", "x", x=0.1234567890123, exact=True)
    assert d.value == Fraction(2, 3) * Fraction("0.1234567890123")
