"""The oracles alone: derivatives of operations against formulas from a table, in every digit."""

import numpy as np
import pytest

import everygrad as eg
from everygrad.checks.rounding import in_double
from everygrad.checks.steps import central_difference, complex_step, forward_difference
from everygrad.checks.sweep import Sweep
from everygrad.checks.tolerance import assert_close
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.graph import Node

DERIVATIVES = {
    "tanh": lambda a: 1.0 / np.cosh(a) ** 2,
    "sigmoid": lambda a: 0.25 / np.cosh(a / 2) ** 2,
    "softplus": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "sin": np.cos,
    "exp": np.exp,
    "relu": lambda a: (a > 0).astype(float),
}
A = np.array([-30.0, -3.1, -0.4, 0.0, 1e-9, 0.2, 2.7, 30.0])


def slope(step, rule: str, a: np.ndarray, t: np.ndarray) -> np.ndarray:
    node = Node("h", "quantity", Elementwise(rule), ("a",), (0,))
    return step(node, [a], [t], node.operation.value([a], (0,)))


@pytest.mark.parametrize("rule", sorted(DERIVATIVES))
@pytest.mark.parametrize("size", [1.0, 1e-200, 1e-307, 1e200, -3.0])
def test_the_complex_step_is_exact_for_tangents_of_any_size(rule, size):
    for a in A:  # one at a time: each has all its digits
        expected = DERIVATIVES[rule](a) * size
        if abs(expected) > 1e-300 or not expected:
            assert_close(slope(complex_step, rule, np.array([a]), np.array([size])), np.array([expected]), 1e-14)


@pytest.mark.parametrize("step", [central_difference, forward_difference])
@pytest.mark.parametrize("rule", ["tanh", "sigmoid", "softplus", "sin"])
def test_differences_of_fourth_order(step, rule):
    a = np.linspace(-2.0, 2.0, 7)
    t = np.linspace(1.0, 3.0, 7)
    error = assert_close(slope(step, rule, a, t), DERIVATIVES[rule](a) * t, 1e-10)
    assert error > 0.0


def test_the_two_differences_disagree_at_a_kink():
    a, t = np.zeros(1), np.ones(1)
    assert_close(slope(central_difference, "relu", a, t), np.array([0.5]), 1e-12)
    assert_close(slope(forward_difference, "relu", a, t), np.array([1.0]), 1e-12)
    assert slope(complex_step, "relu", a, t) == 0.0


def plain_sweep(graph, values, name, end):
    """A derivative by a loop over all entries, each with a plain forward pass in complex numbers."""
    x = values[name]
    out = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        changed = {n: v for n, v in values.items() if graph.by_name[n].operation is None}
        changed[name] = x.astype(complex)
        changed[name][index] += 1e-30j
        for node in graph.nodes:
            if node.operation is not None and node.name not in changed:
                changed[node.name] = node.operation.value([changed[i] for i in node.inputs], node.leads)
        out[index] = np.sum(np.imag(changed[end])) / 1e-30
    return out


def mixing(x, y, *, W):
    h = eg.ops.tanh(W @ x)
    m = eg.ops.reduce(eg.ops.sum(h))  # the samples meet here, and go on apart
    k = h * m
    return eg.ops.squared_error(k, y, reduction="none") + 0.5 * m


def apart(x, y, *, W):
    h = eg.ops.tanh(W @ x)
    return eg.ops.squared_error(h * h, y)


@pytest.mark.parametrize(("function", "separate"), [(mixing, True), (apart, True)])
def test_all_samples_at_once_is_the_same_as_one_entry_at_a_time(function, separate):
    rng = np.random.default_rng(0)
    graph, W = eg.graph(function), rng.standard_normal((2, 3))
    trace = in_double(eg.forward(graph, {"W": W}, rng.standard_normal((4, 3)), rng.standard_normal((4, 2))))
    for name in ("x", "W", "h", "y"):
        sweep = Sweep(graph, trace.arrays, complex_step, (name,), (graph.output,))
        assert sweep.separate == (separate and name != "W")
        found = sweep.entries(np.arange(sweep.x.size)).reshape(sweep.x.shape)
        expected = plain_sweep(graph, dict(trace.arrays), name, graph.output)
        assert_close(found, expected, name=name)
        d = rng.standard_normal(sweep.x.shape)
        assert_close(np.array(sweep.direction(d)), np.array(np.sum(expected * d)), name=name)
        some = rng.permutation(sweep.x.size)[:3]
        assert_close(sweep.entries(some), expected.reshape(-1)[some], name=name)


@pytest.mark.parametrize("residual", [1.0, 1e-3, 1e-6, 1e-12, 0.0])
def test_a_loss_near_its_minimum_is_not_taken_for_a_kink(residual):
    """There the slope is small beside the curvature, which a one-sided difference sees."""
    net = eg.FeedForward([3, 2], loss="squared_error")
    rng = np.random.default_rng(0)
    params, x = net.init(0), rng.normal(size=(4, 3))
    y = x @ params["W1"].T + residual
    result = eg.check(net, params, x, y)
    assert result.ok
