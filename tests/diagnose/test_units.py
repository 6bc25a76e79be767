"""The numbers of each unit, against loops over samples with the slope of each activation written out."""

import math

import numpy as np
import pytest
import torch

import everygrad as eg
from everygrad.checks.tolerance import assert_close
from everygrad.diagnose import units
from tests.diagnose.cases import gradients_of

SLOPES = {
    "tanh": (lambda a: 1.0 / math.cosh(a) ** 2, 1.0),
    "sigmoid": (lambda a: 1.0 / (2.0 + math.exp(a) + math.exp(-a)), 0.25),
    "relu": (lambda a: 1.0 if a > 0 else 0.0, 1.0),
    "leaky_relu": (lambda a: 1.0 if a > 0 else 0.01, 1.0),
    "softplus": (lambda a: 1.0 / (1.0 + math.exp(-a)), 1.0),
    "exp": (math.exp, math.inf),
    "square": (lambda a: 2.0 * a, math.inf),
}


@pytest.mark.parametrize("activation", SLOPES)
@pytest.mark.parametrize("samples", [1, 23])
def test_against_loops(activation: str, samples: int):
    g = gradients_of([5, 7, 4, 3], activation, samples=samples, scale=1.5)
    slope, steepest = SLOPES[activation]
    found = units(g)
    assert [(layer.name, layer.before) for layer in found] == [("h1", "a1"), ("h2", "a2")]
    for layer in found:
        a, total = g.trace[layer.before], 0.0
        for j in range(a.shape[1]):
            slopes = [abs(slope(float(v))) for v in a[:, j]]
            assert_close(layer.slope[j], np.array(math.fsum(slopes) / samples), name=f"slope {j}")
            assert layer.zero[j] == sum(s == 0 for s in slopes) / samples
            if math.isinf(steepest):
                assert layer.flat is None
            else:
                assert layer.flat[j] == sum(s < 0.01 * steepest for s in slopes) / samples
            assert_close(layer.grad_h[j], np.array(sum(abs(float(v)) for v in g[layer.name][:, j]) / samples))
            assert_close(layer.grad_a[j], np.array(sum(abs(float(v)) for v in g[layer.before][:, j]) / samples))
            part = sum(float(v) ** 2 for v in g[layer.before][:, j])
            whole = sum(float(v) ** 2 for v in g[layer.before].ravel())
            assert_close(layer.share[j], np.array(part / whole))
            total += layer.share[j]
            assert layer.dead[j] == all(s == 0 for s in slopes)
        assert abs(total - 1.0) < 1e-12


def test_a_unit_that_is_off_for_all_samples_is_dead_and_one_that_is_flat_is_saturated():
    net = eg.FeedForward([2, 3, 2], activation=["relu"])
    smooth = eg.FeedForward([2, 3, 2], activation=["tanh"])
    params = net.init(0)
    params["b1"] = np.array([-100.0, 0.0, 100.0])
    x, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    (relu,), (tanh,) = units(eg.gradients(net, params, x, y)), units(eg.gradients(smooth, params, x, y))
    assert relu.dead == (True, False, False)
    assert relu.saturated == (False, False, False)
    assert [relu.status(i) for i in range(3)] == ["dead", "", ""]
    assert tanh.dead == (False, False, False)
    assert [tanh.status(i) for i in range(3)] == ["saturated", "", "saturated"]
    assert relu.labels == ("h1[0]", "h1[1]", "h1[2]")
    assert str(relu) == "h1 = relu(a1): 3 units, 40 samples, 1 dead"
    assert str(tanh) == "h1 = tanh(a1): 3 units, 40 samples, 2 saturated"


def test_a_slope_that_underflows_is_dead():
    net = eg.FeedForward([1, 1, 1], activation="tanh", loss="squared_error")
    params = {"W1": np.ones((1, 1)), "b1": np.full(1, 1000.0), "W2": np.ones((1, 1)), "b2": np.zeros(1)}
    (layer,) = units(eg.gradients(net, params, np.zeros((3, 1)), np.zeros((3, 1))))
    assert layer.dead == (True,)
    np.testing.assert_array_equal(layer.share, [0.0])


def test_rare_activity_of_a_rectifier_is_not_saturation():
    net = eg.FeedForward([1, 1, 1], activation="relu", loss="squared_error")
    params = {name: np.ones(shape) for name, shape in net.shapes.items()}
    x = np.concatenate([np.full(99, -5.0), [5.0]])[:, None]
    (layer,) = units(eg.gradients(net, params, x, np.zeros((100, 1))))
    assert (layer.flat[0], layer.dead[0], layer.saturated[0]) == (0.99, False, False)


def test_no_layers_without_activations():
    assert units(gradients_of([4, 3], "tanh")) == ()
    assert units(gradients_of([4, 5, 3], "identity")) == ()


def test_what_acts_on_parameters_is_no_layer():
    def f(x, *, s):
        return eg.ops.reduce(eg.ops.sum(eg.ops.tanh(x * eg.ops.exp(s))))

    g = eg.gradients(eg.graph(f), {"s": np.zeros(3)}, np.ones((5, 3)))
    assert [layer.activation for layer in units(g)] == ["tanh"]


def test_single_precision_and_torch_give_the_same_numbers():
    net = eg.FeedForward([4, 6, 3])
    params, rng = net.init(0), np.random.default_rng(0)
    x, y = rng.normal(size=(9, 4)), rng.integers(0, 3, 9)
    (numpy,) = units(eg.gradients(net, params, x, y))
    (other,) = units(
        eg.gradients(net, {k: torch.tensor(v) for k, v in params.items()}, torch.tensor(x), torch.tensor(y))
    )
    single = {k: v.astype(np.float32) for k, v in params.items()}
    (half,) = units(eg.gradients(net, single, x.astype(np.float32), y))
    for field in ("slope", "grad_h", "grad_a", "share"):
        assert_close(getattr(other, field), getattr(numpy, field), 1e-12, field)
        assert_close(getattr(half, field), getattr(numpy, field), 1e-5, field)
