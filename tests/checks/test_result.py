"""What is refused before any number is compared, and what is printed afterwards."""

import numpy as np
import pytest

import everygrad as eg
from everygrad.checks import check
from everygrad.errors import CheckFailed, InputError, NonFiniteError, UnknownNameError
from tests.checks.operations import numbers


def test_names_shapes_and_values_that_do_not_fit():
    net = eg.FeedForward([3, 4, 2])
    params, x, y = numbers(net, np.random.default_rng(0), 5)
    g = dict(eg.gradients(net, params, x, y))
    with pytest.raises(UnknownNameError, match=r"unknown oracle 'complx'\. Did you mean 'complex'"):
        check(net, params, x, y, oracle="complx")
    with pytest.raises(InputError, match="Did you mean 'W1'"):
        check(net, params, x, y, gradients={"W11": g["W1"]})
    with pytest.raises(InputError, match="2 problems"):
        check(net, params, x, y, gradients={"W11": g["W1"], "y": np.zeros(5)})
    with pytest.raises(InputError, match="was given too"):
        check(net, params, x, y, gradients={"x": g["h0"], "h0": g["h0"]})
    with pytest.raises(UnknownNameError, match="Did you mean 'b1'"):
        check(net, params, x, y, quantities=["b11"])
    with pytest.raises(InputError, match=r"\['W2'\] are to be checked, but"):
        check(net, params, x, y, gradients={"W1": g["W1"]}, quantities=["W2"])
    with pytest.raises(InputError, match="must have"):
        check(net, params, x, y, oracle={"W1": g["W1"].T})
    with pytest.raises(InputError, match="got list"):
        check(net, params, x, y, oracle=lambda trace: [1.0])
    with pytest.raises(InputError, match="nothing to check"):
        check(net, params, x, y, oracle={})
    with pytest.raises(NonFiniteError, match=r"h0\[1, 2\] = nan"):
        check(net, params, np.where(np.arange(15).reshape(5, 3) == 5, np.nan, x), y)
    of_a1 = eg.backward(eg.forward(net, params, x, y), of="a1", seed=np.ones((5, 4)))
    with pytest.raises(InputError, match="those of 'a1'"):
        check(net, params, x, y, gradients=of_a1)
    assert [row.name for row in check(net, params, x, y, quantities="x").rows] == ["h0"]


def test_the_table_and_the_error():
    net = eg.FeedForward([3, 4, 2])
    params, x, y = numbers(net, np.random.default_rng(0), 5)
    g = dict(eg.gradients(net, params, x, y))
    good = check(net, params, x, y)
    good.raise_if_wrong()
    lines = str(good).splitlines()
    assert lines[0].split() == ["quantity", "shape", "norm", "error", "checked"]
    assert lines[2].split()[:4] == ["h0", "5", "x", "3"]
    assert f"{np.linalg.norm(g['h0']):.4g}" in lines[2]
    assert lines[-1].startswith("right: 8 quantities against the complex step, largest error")
    bad = check(net, params, x, y, gradients={**g, "W1": -g["W1"]})
    assert str(bad).splitlines()[-1] == ("WRONG: 1 of 9 quantities. The first in the backward sweep is W1: wrong sign.")
    with pytest.raises(CheckFailed, match="wrong sign"):
        bad.raise_if_wrong()
    html = bad._repr_html_()
    assert html.count("<tr>") == 10
    assert "<td>WRONG</td>" in html
    assert "<caption>WRONG: 1 of 9" in html
