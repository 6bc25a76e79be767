import numpy as np
import pytest

from everygrad.backprop import forward, gradients
from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError, UnknownNameError
from everygrad.graph import graph, ops
from everygrad.graph.elementwise import Elementwise
from everygrad.graph.losses import Reduce, SquaredError
from everygrad.networks import FeedForward, GraphNetwork
from everygrad.networks.initialise import scheme_for, weight_matrix


def test_names_shapes_and_text():
    net = FeedForward([64, 32, 16, 10])
    assert dict(net.shapes) == {"W1": (32, 64), "b1": (32,), "W2": (16, 32), "b2": (16,), "W3": (10, 16), "b3": (10,)}
    assert [n.name for n in net.graph.nodes if n.role == "quantity"] == ["a1", "h1", "a2", "h2", "a3", "loss"]
    assert net.graph.data == ("h0", "y")
    assert net.graph.resolve("x") == "h0"
    assert net.prediction == "a3"
    assert net.depth == 3
    assert str(net) == "FeedForward 64-32-16-10, tanh, softmax_cross_entropy, 2,778 parameters"
    assert net.graph is net.graph


def test_options():
    net = FeedForward((3, 4, 4, 2), ["relu", Elementwise("elu", alpha=0.5)], "squared_error", "sigmoid", bias=False)
    assert [a.name for a in net.activations] == ["relu", "elu"]
    assert list(net.shapes) == ["W1", "W2", "W3"]
    assert net.prediction == "h3"
    assert str(net) == "FeedForward 3-4-4-2, relu, elu, squared_error, 36 parameters"
    assert str(FeedForward([3, 2])).startswith("FeedForward 3-2, no hidden layer,")
    half = SquaredError(half=True)
    assert FeedForward([3, 2], loss=half).loss is half
    x, y = np.ones((5, 3)), np.zeros((5, 2))
    params = net.init(0)
    h = np.maximum(x @ params["W1"].T, 0) @ params["W2"].T
    h = np.where(h > 0, h, 0.5 * np.expm1(h)) @ params["W3"].T
    out = 1 / (1 + np.exp(-h))
    assert_close(gradients(net, params, x, y).loss, np.asarray((out**2).sum(1).mean()))


def test_no_hidden_layer_is_softmax_regression():
    net = FeedForward([3, 2])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.integers(0, 2, 5)
    params = net.init(1)
    g = gradients(net, params, x, y)
    z = x @ params["W1"].T
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    assert_close(g["W1"], (p - np.eye(2)[y]).T @ x / 5)


def test_sample_weights_are_a_third_data_array():
    net = FeedForward([3, 4, 2], weighted=True)
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(5, 3)), rng.integers(0, 2, 5), np.array([1.0, 0.0, 2.0, 1.0, 0.0])
    params = net.init(0)
    g = gradients(net, params, x, y, w)
    repeated = np.array([0, 2, 2, 3])
    plain = gradients(FeedForward([3, 4, 2]), params, x[repeated], y[repeated])
    for name in net.shapes:
        assert_close(g[name], plain[name])
    np.testing.assert_array_equal(gradients(net, params, x, y, weight=w)["W1"], g["W1"])
    np.testing.assert_array_equal(g["h0"][[1, 4]], np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([3],), InputError, "sizes must list inputs, hidden layers and outputs, like [64, 32, 10], got [3]"),
        (("64,10",), InputError, "sizes must list inputs, hidden layers and outputs, like [64, 32, 10], got '64,10'"),
        ((5,), InputError, "sizes must list inputs, hidden layers and outputs, like [64, 32, 10], got 5"),
        (
            ([0, 3, -1, 2.5],),
            InputError,
            "sizes: 3 problems\n  - inputs: 0 units, expected a whole number of at least 1\n"
            "  - hidden layer 2: -1 units, expected a whole number of at least 1\n"
            "  - outputs: 2.5 units, expected a whole number of at least 1",
        ),
        (([3, True],), InputError, "sizes: 1 problem\n  - outputs: True units, expected a whole number of at least 1"),
        (
            ([3, 4, 2], ["tanh", "relu"]),
            InputError,
            "2 activations for 1 hidden layers: give one for all, or one for each",
        ),
        (
            ([3, 2], "tanh", Reduce()),
            InputError,
            "loss must be one of softmax_cross_entropy, binary_cross_entropy, squared_error, got 'reduce'",
        ),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error) as caught:
        FeedForward(*arguments)
    assert str(caught.value) == message


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown activation 'rellu'\. Did you mean 'relu'"):
        FeedForward([3, 4, 2], "rellu")
    with pytest.raises(UnknownNameError, match=r"unknown loss 'cross_entropy'\. Did you mean"):
        FeedForward([3, 4, 2], loss="cross_entropy")
    with pytest.raises(UnknownNameError, match=r"unknown initialiser 'xavier'\. Known: glorot, he, lecun"):
        FeedForward([3, 2]).init(0, scheme="xavier")


def test_seeds_dtypes_and_generators():
    net = FeedForward([8, 16, 4])
    a, b, c = net.init(3), net.init(3), net.init(4)
    np.testing.assert_array_equal(a["W1"], b["W1"])
    assert not np.array_equal(a["W1"], c["W1"])
    np.testing.assert_array_equal(net.init(np.random.default_rng(3))["W2"], a["W2"])
    narrow = net.init(3, dtype="float32")
    assert narrow["W1"].dtype == np.float32
    np.testing.assert_array_equal(narrow["W1"], a["W1"].astype(np.float32))
    assert a["b1"].tolist() == [0.0] * 16
    rng = np.random.default_rng(3)
    assert not np.array_equal(net.init(rng)["W1"], net.init(rng)["W1"])
    for bad in (-1, 1.5, "0", True, None):
        with pytest.raises(InputError, match=r"seed must be a non-negative integer or a numpy\.random\.Generator, got"):
            net.init(bad)
    for bad in ("float16", int, "nonsense", np.complex128):
        with pytest.raises(InputError, match="dtype must be float32 or float64, got"):
            net.init(0, dtype=bad)


@pytest.mark.parametrize(
    ("scheme", "activation", "variance"),
    [
        ("glorot", Elementwise("tanh"), 2 / (300 + 200)),
        ("he", Elementwise("relu"), 2 / 300),
        ("he", Elementwise("leaky_relu", slope=0.5), 2 / (1.25 * 300)),
        ("lecun", Elementwise("identity"), 1 / 300),
    ],
)
def test_variances(scheme, activation, variance):
    W = weight_matrix(np.random.default_rng(0), 200, 300, scheme, activation)
    assert W.var() == pytest.approx(variance, rel=0.02)
    assert abs(W.mean()) < 0.001
    if scheme == "glorot":
        limit = np.sqrt(6 / 500)
        assert limit * 0.999 < np.abs(W).max() <= limit


def test_schemes_by_activation():
    schemes = {n: scheme_for(Elementwise(n)) for n in ("relu", "gelu", "silu", "elu", "tanh", "sigmoid", "identity")}
    assert schemes == {
        "relu": "he",
        "gelu": "he",
        "silu": "he",
        "elu": "he",
        "tanh": "glorot",
        "sigmoid": "glorot",
        "identity": "lecun",
    }
    net = FeedForward([300, 200, 100], "relu")
    assert net.init(0)["W1"].var() == pytest.approx(2 / 300, rel=0.02)
    assert net.init(0)["W2"].var() == pytest.approx(1 / 200, rel=0.05)
    assert net.init(0, scheme="lecun")["W1"].var() == pytest.approx(1 / 300, rel=0.02)


def test_a_graph_as_a_network():
    g = graph(lambda x, y, *, W: ops.squared_error((W @ x).named("a"), y))
    net = GraphNetwork(g, "a", {"W": (2, 3)})
    assert str(net) == "network of 5 nodes, 1 parameter arrays"
    x, y, W = np.ones((4, 3)), np.zeros((4, 2)), np.ones((2, 3))
    assert gradients(net, {"W": W}, x, y).loss == 18.0
    np.testing.assert_array_equal(forward(net, {"W": W}, x, of=net.prediction)["a"], np.full((4, 2), 3.0))
    with pytest.raises(InputError, match="'W' has shape \\(3, 2\\), the network needs \\(2, 3\\)"):
        gradients(net, {"W": W.T}, x, y)
    with pytest.raises(UnknownNameError, match="unknown prediction 'b'"):
        GraphNetwork(g, "b")
    with pytest.raises(InputError, match="'V' is not a parameter of the graph"):
        GraphNetwork(g, "a", {"V": (1,)})
