"""Graphs that are put together in unusual ways: who is shared by the samples, who is of one sample."""

import numpy as np
import pytest

import everygrad as eg
from everygrad import ops
from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError, NonFiniteError
from everygrad.jacobians import Diagonal

RNG = np.random.default_rng(0)
Y = RNG.uniform(0.1, 0.9, (4, 3))
Y = Y / Y.sum(1, keepdims=True)


def complex_step(loss, v):
    g = np.zeros_like(v)
    for at in np.ndindex(v.shape):
        moved = v.astype(complex)
        moved[at] += 1e-30j
        g[at] = loss(moved).imag / 1e-30
    return g


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "binary_cross_entropy", "squared_error"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_prediction_that_all_samples_share(name, reduction):
    net = eg.graph(lambda y, *, b: getattr(ops, name)(b, y, reduction=reduction))
    b = RNG.normal(size=3)
    g = eg.gradients(net, {"b": b}, Y)

    def loss(b, y):
        if name == "squared_error":
            each = ((b - y) ** 2).sum(-1)
        elif name == "softmax_cross_entropy":
            each = (y * (np.log(np.exp(b).sum()) - b)).sum(-1)
        else:
            each = (np.log(1 + np.exp(b)) - y * b).sum(-1)
        return each.mean() if reduction == "mean" else each.sum()

    assert_close(g["b"], complex_step(lambda v: loss(v, Y), b))
    assert_close(g["y"], complex_step(lambda v: loss(b, v), Y))


def test_a_target_that_all_samples_share():
    net = eg.graph(lambda x, *, t: ops.squared_error(x, t))
    x, t = RNG.normal(size=(4, 3)), RNG.normal(size=3)
    g = eg.gradients(net, {"t": t}, x)
    assert_close(g["x"], 2 * (x - t) / 4)
    assert_close(g["t"], 2 * (t - x).mean(0))


@pytest.mark.parametrize(
    ("f", "params", "data"),
    [
        (lambda x, y, *, s: ops.squared_error(x, y, s), {"s": np.array(2.0)}, (Y, Y)),
        (lambda w, *, a: ops.reduce(ops.sum(a), w, reduction="sum"), {"a": Y[0]}, (Y[:, 0].copy(),)),
        (lambda w, *, a, b: ops.squared_error(a, b, w), {"a": Y[0], "b": Y[1]}, (Y[:, 0].copy(),)),
    ],
    ids=["weight is a parameter", "loss is shared", "both sides are shared"],
)
def test_weights_must_be_of_the_same_samples_as_the_losses(f, params, data):
    with pytest.raises(InputError, match="the sample weights and the losses must be of the same samples"):
        eg.gradients(eg.graph(f), params, *data)


class Halved(eg.Operation):
    """A user's operation; ``wrong`` breaks its promise."""

    name = "halved"

    def __init__(self, wrong=""):
        self.wrong = wrong

    def shape(self, shapes, leads):
        return shapes[0]

    def value(self, xs, leads):
        return xs[0][:1] / 2 if self.wrong == "value" else xs[0] / 2

    def local(self, slot, xs, y, leads):
        d = np.full(xs[0].shape[-1], 0.5)
        return d if self.wrong == "local" else Diagonal(d)

    def formula(self, *operands):
        return f"{operands[0]}/2"

    def local_formula(self, slot, *operands):
        return "1/2"


def own(wrong=""):
    return eg.graph(lambda x, y: ops.squared_error(ops.apply(Halved(wrong), x).named("h"), y))


def test_an_operation_of_ones_own():
    x = RNG.normal(size=(4, 3))
    assert_close(eg.gradients(own(), {}, x, Y)["x"], (x / 2 - Y) / 4)


def test_an_own_operation_that_breaks_its_promise_is_named():
    x = RNG.normal(size=(4, 3))
    with pytest.raises(
        InputError, match=r"^'h': the value of 'halved' has shape \(1, 3\), but its shape\(\) declares \(4, 3\)"
    ):
        eg.gradients(own("value"), {}, x, Y)
    with pytest.raises(InputError, match=r"^halved.local must return a Jacobian, got ndarray"):
        eg.gradients(own("local"), {}, x, Y)
    with pytest.raises(InputError, match="apply takes an Operation with a name, got <ufunc 'tanh'>"):
        eg.graph(lambda x: ops.apply(np.tanh, x))


def test_problems_of_all_kinds_are_listed_at_once():
    net = eg.FeedForward([4, 5, 3])
    params = net.init(0)
    params["W1"] = params["W1"].T
    with pytest.raises(InputError) as caught:
        eg.gradients(net, params, np.ones((6, 2)), np.array([0, 1, 2, 3, 0, 1]))
    assert str(caught.value).splitlines() == [
        "arguments: 3 problems",
        "  - 'W1' has shape (4, 5), the network needs (5, 4)",
        "  - 'a1' from (h0, W1, b1): affine W h + b: W has shape (5, 4), so h must have 4 features, has 2",
        "  - 'y': class labels must be in [0, 3) for 3 outputs, got 3 at index 3",
    ]
    params = net.init(0)
    del params["b1"]
    params["W2"] = params["W2"].astype(np.float32)
    with pytest.raises(InputError) as caught:
        eg.gradients(net, params, np.ones((6, 4)), np.zeros(5, int))
    assert str(caught.value).splitlines() == [
        "arguments: 3 problems",
        "  - parameter 'b1' is missing: add it to params",
        "  - 'W2' has dtype float32, 'W1' has float64: use one dtype for all",
        "  - data of different numbers of samples: 'h0' has 6, 'y' has 5",
    ]


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "squared_error", "softmax_cross_entropy"])
def test_nan_in_targets_and_weights_is_named_with_its_index(loss):
    net = eg.FeedForward([4, 3], loss=loss, weighted=True)
    x, y, w = RNG.normal(size=(4, 4)), Y.copy(), np.ones(4)
    bad = y.copy()
    bad[2, 1] = np.nan
    with pytest.raises(NonFiniteError, match=r"the array 'y' is not finite: y\[2, 1\] = nan"):
        eg.gradients(net, net.init(0), x, bad, w)
    w[3] = np.nan
    with pytest.raises(NonFiniteError, match=r"the array 'weight' is not finite: weight\[3\] = nan"):
        eg.gradients(net, net.init(0), x, y, w)


def test_masked_and_complex_arrays_are_refused():
    net = eg.FeedForward([4, 3])
    x, y = RNG.normal(size=(4, 4)), np.zeros(4, int)
    with pytest.raises(InputError, match="'h0' is a MaskedArray, expected an array"):
        eg.gradients(net, net.init(0), np.ma.masked_array(x), y)
    params = {k: v.astype(complex) for k, v in net.init(0).items()}
    with pytest.raises(InputError, match="'W1' has dtype complex128: gradients are taken of real numbers"):
        eg.gradients(net, params, x.astype(complex), y)


def test_asking_whether_a_gradient_is_there_does_not_raise():
    net = eg.FeedForward([4, 3])
    g = eg.gradients(net, net.init(0), RNG.normal(size=(4, 4)), np.zeros(4, int))
    assert "y" not in g
    assert g.get("y") is None
    assert "W1" in g
    assert "loss" not in eg.forward(net, net.init(0), RNG.normal(size=(4, 4)), of="a1")


def test_numpy_scalars_are_numbers_and_arguments_keep_their_names():
    f = eg.graph(lambda x: np.float32(3) * x[np.int64(1)] + ops.sum(x[np.array([0, 2])]) * np.int64(2))
    x = np.array([[1.0, 2.0, 4.0]])
    assert eg.forward(f, {}, x).loss == 3 * 2 + 2 * 5
    with pytest.raises(InputError, match="'W' is an argument of the function: its name cannot be changed"):
        eg.graph(lambda x, *, W: W.T.T.named("V") @ x)
    with pytest.raises(InputError, match="a symbol is indexed by"):
        eg.graph(lambda x: x[True])
    with pytest.raises(InputError, match="a symbol is indexed by"):
        eg.graph(lambda x: x[::0])


def test_networks_that_are_alike_are_equal():
    assert eg.FeedForward([4, 3, 2]) == eg.FeedForward([4, 3, 2])
    assert eg.FeedForward([4, 3, 2]) != eg.FeedForward([4, 3, 2], activation="relu")


def test_binary_cross_entropy_of_small_logits_is_exact_in_its_target():
    net = eg.FeedForward([4, 3], loss="binary_cross_entropy")
    params = {k: 1e-5 * v for k, v in net.init(0).items()}
    assert eg.check(net, params, RNG.normal(size=(4, 4)), Y).ok
