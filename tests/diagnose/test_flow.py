"""The root mean square of each layer's gradient, against loops."""

import math

import numpy as np
import pytest

import everygrad as eg
from everygrad.diagnose import flow
from tests.diagnose.cases import gradients_of


@pytest.mark.parametrize("sizes", [[4, 3], [4, 6, 3], [4, 1, 1, 9, 2]])
def test_against_loops(sizes: list[int]):
    g = gradients_of(sizes, "tanh", samples=11)
    names = [f"a{i}" for i in range(1, len(sizes))]
    expected = []
    for name in names:
        squares = [float(v) ** 2 for row in g[name] for v in row]
        expected.append(math.sqrt(math.fsum(squares) / len(squares)))
    found = flow(g)
    assert [row.name for row in found] == names
    for row, rms in zip(found, expected, strict=True):
        assert abs(row.rms - rms) <= 1e-13 * rms
        assert abs(row.ratio - rms / expected[-1]) <= 1e-13 * row.ratio


def test_a_bias_that_is_added_belongs_to_its_layer():
    def f(x, y, *, W1, b1, W2):
        a1 = W1 @ x + b1
        h1 = eg.ops.tanh(a1)
        a2 = W2 @ h1 + x  # no bias: two paths that add
        return eg.ops.squared_error(a2, y)

    rng = np.random.default_rng(0)
    params = {"W1": rng.normal(size=(3, 3)), "b1": rng.normal(size=3), "W2": rng.normal(size=(3, 3))}
    g = eg.gradients(eg.graph(f), params, rng.normal(size=(5, 3)), rng.normal(size=(5, 3)))
    assert [row.name for row in flow(g)] == ["a1", "affine_2"]


def test_nothing_underflows():
    g = gradients_of([6] + [6] * 14 + [3], "identity", scale=1e-14)
    first = flow(g)[0]
    assert 0 < first.ratio < 1e-180


def test_a_last_layer_without_gradient_has_no_ratio():
    net = eg.FeedForward([2, 2], loss="squared_error")
    params = {name: np.zeros(shape) for name, shape in net.shapes.items()}
    (row,) = flow(eg.gradients(net, params, np.ones((3, 2)), np.zeros((3, 2))))
    assert row.rms == 0
    assert math.isnan(row.ratio)
