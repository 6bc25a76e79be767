"""Jacobians where steps are joined, entry by entry against the complex step of a plain loop."""

import numpy as np
import pytest

import everygrad as eg
from everygrad.checks.tolerance import assert_close
from everygrad.errors import UnsupportedError
from everygrad.graph import Builder
from everygrad.jacobians import Dense, Mixture, Row

B, T, IN, N, OUT = 2, 4, 2, 3, 2
LENGTHS = np.array([4, 2])
STEP = 1e-30


def loop(net, params, data, name=None, place=()):
    """Every quantity of an Elman network by plain loops; one number, also of a quantity inside, may be perturbed."""
    found = {}

    def seen(key, at, value):
        if name == key and place[: len(at)] == at:
            value = np.array(value, dtype=complex)
            value[place[len(at) :]] += 1j * STEP
        found.setdefault(key, {})[at] = value
        return value

    p = {key: seen(key, (), value) for key, value in params.items()}
    total = 0.0
    for b in range(B):
        length = LENGTHS[b] if net.lengths else T
        h, hs = seen("h0", (b,), data["h0"][b]), []
        for t in range(length):
            a = seen("a", (b, t), p["U"] @ seen("x", (b, t), data["x"][b, t]) + p["b"] + p["W"] @ h)
            h = seen("h", (b, t), np.tanh(a))
            hs.append(h)
        read = h if net.read == "last" else sum(hs) / length
        out = seen("out", (b,), p["V"] @ read + p["b_V"])
        total = total + ((out - data["y"][b]) ** 2).sum() / B
    return {**found, "loss": {(): np.asarray(total)}}


def by_steps(net, params, data, of, wrt, of_shape, wrt_shape):
    """∂of/∂wrt for every pair of entries of one sample: (B, *of without samples, *wrt without samples)."""
    J = np.zeros((B, *of_shape, *wrt_shape))
    for b in range(B):
        for place in np.ndindex(wrt_shape):
            for at, value in loop(net, params, data, wrt, (b, *place))[of].items():
                if not at or at[0] == b:
                    J[(b, *at[1:], ..., *place)] = np.imag(value) / STEP
    return J


@pytest.fixture(params=[("last", False), ("mean", True), ("last", True)], ids=str)
def case(request):
    read, lengths = request.param
    rng = np.random.default_rng(4)
    net = eg.Recurrent(eg.Elman(IN, N), OUT, read=read, lengths=lengths, initial=True, loss="squared_error")
    params = {name: rng.normal(size=shape) for name, shape in net.shapes.items()}
    data = {"x": rng.normal(size=(B, T, IN)), "y": rng.normal(size=(B, OUT)), "h0": rng.normal(size=(B, N))}
    return net, params, data | ({"lengths": LENGTHS} if lengths else {})


SHAPES = {"x": (T, IN), "a": (T, N), "h": (T, N), "h0": (N,), "out": (OUT,), "loss": ()}


@pytest.mark.parametrize("wrt", ["x", "a", "h", "h0"])
@pytest.mark.parametrize("of", ["out", "h", "a", "loss"])
def test_through_a_recurrence(case, of, wrt):
    net, params, data = case
    J = eg.jacobian(net, params, of=of, wrt=wrt, **data)
    assert type(J) is (Row if of == "loss" else Dense)
    assert (J.batch, J.out_shape, J.in_shape) == ((B,), SHAPES[of], SHAPES[wrt])
    assert_close(J.dense(), by_steps(net, params, data, of, wrt, SHAPES[of], SHAPES[wrt]))


def test_a_loss_by_a_parameter_is_the_gradient(case):
    net, params, data = case
    g = eg.gradients(net, params, **data)
    for name in params:
        assert_close(eg.jacobian(net, params, of="loss", wrt=name, **data).dense(), g[name])


def test_the_read_out_stays_structured(case):
    net, params, data = case
    J = eg.jacobian(net, params, of="out", wrt="V", **data)
    assert type(J).__name__ == "Weight"
    if net.read == "mean":
        assert type(eg.jacobian(net, params, of="h_mean", wrt="h_mean", **data)).__name__ == "Identity"


def test_parameters_of_a_recurrence_are_referred_to_the_derivative_of_each_step(case):
    net, params, data = case
    for of in ("out", "h"):
        with pytest.raises(UnsupportedError, match=r"^the steps between the parameter 'W' and '\w+' are joined: its"):
            eg.jacobian(net, params, of=of, wrt="W", **data)


def test_a_mean_without_a_recurrence_is_a_mixture():

    b = Builder()
    x = b.given("x", "data", lead=2)
    W = b.given("W", "parameter")
    h = eg.ops.tanh(eg.ops.affine(x, W)).named("h")
    m = eg.ops.mean_over_time(h).named("m")
    graph = b.graph(m)
    rng = np.random.default_rng(0)
    params, data = {"W": rng.normal(size=(N, IN))}, rng.normal(size=(B, T, IN))
    J = eg.jacobian(graph, params, data, of="m", wrt="h")
    assert type(J) is Mixture
    assert_close(eg.jacobian(graph, params, data, of="m", wrt="x").dense(), _mean_by_hand(params["W"], data))
    with pytest.raises(UnsupportedError):
        eg.jacobian(graph, params, data, of="m", wrt="W")


def _mean_by_hand(W, x):
    J = np.zeros((B, N, T, IN))
    for b in range(B):
        for t in range(T):
            J[b, :, t] = (1 - np.tanh(W @ x[b, t]) ** 2)[:, None] * W / T
    return J
