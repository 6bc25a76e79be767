"""The dot test sees a pull that does not belong to its push, and nothing else."""

from typing import final

import numpy as np
import pytest

import everygrad as eg
from everygrad.checks import adjoint_check
from everygrad.errors import CheckFailed
from everygrad.graph import ELEMENTWISE
from everygrad.jacobians import Dense
from tests.checks.operations import Layer, Tanh, two_layers


@pytest.mark.parametrize("activation", sorted(ELEMENTWISE))
def test_every_activation(activation):
    net = eg.FeedForward([3, 4, 2], activation, weighted=True)
    params = {name: 1.0 + np.abs(w) for name, w in net.init(0).items()}
    rng = np.random.default_rng(0)
    trace = eg.forward(net, params, rng.uniform(1, 2, (5, 3)), np.array([0, 1, 1, 0, 1]), rng.uniform(1, 2, 5))
    result = adjoint_check(trace)
    result.raise_if_wrong()
    assert len(result.rows) == 9  # h, W, b of two layers, g, and the loss by its prediction and its weights


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_arrange_and_arithmetic(reduction):
    def f(x, y, *, W, c):
        h = W @ x
        k = eg.ops.concatenate(h[1:], c * h[0], W.T @ h)
        z = k / (2.0 + k * k) - eg.ops.flatten(k)
        return eg.ops.squared_error(z, y, reduction=reduction) * eg.ops.sum(c)

    rng = np.random.default_rng(0)
    params = {"W": rng.standard_normal((3, 4)), "c": np.array([2.0])}
    trace = eg.forward(eg.graph(f), params, rng.standard_normal((5, 4)), rng.standard_normal((5, 7)))
    result = adjoint_check(trace)
    assert result.ok, result
    assert max(row.error for row in result.rows) < 1e-15


def test_float32_has_its_own_tolerance():
    net = eg.FeedForward([3, 4, 2])
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    result = adjoint_check(eg.forward(net, net.init(0, dtype=np.float32), x, np.zeros(5, int)))
    assert result.ok
    assert max(row.error for row in result.rows) > 1e-13


@final
class Lopsided(Dense):
    """A dense Jacobian whose pull forgets the transpose."""

    def _pull(self, g):
        return g @ self._dense().T


class Broken(Layer):
    def local(self, slot, xs, y, leads):
        return Lopsided(xs[1]) if slot == 0 else super().local(slot, xs, y, leads)


def test_a_pull_without_transpose_is_seen():
    def f(x, y, *, W1):
        return eg.ops.squared_error(eg.ops.apply(Broken("right"), x, W1), y)

    rng = np.random.default_rng(0)
    data = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    result = adjoint_check(eg.forward(eg.graph(f), {"W1": rng.standard_normal((3, 3))}, *data))
    assert [(row.operand, row.kind) for row in result.rows if not row.ok] == [("x", "Lopsided")]
    with pytest.raises(CheckFailed, match="WRONG"):
        result.raise_if_wrong()


def test_a_wrong_derivative_is_not_its_business():
    """J and Jᵀ agree although J is not the derivative: that is what `check` is for."""
    graph, params, data = two_layers(Tanh("at_h"))
    assert adjoint_check(eg.forward(graph, params, *data)).ok
