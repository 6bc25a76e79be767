"""Recurrent networks that are something simpler: an accumulator, a feed-forward network, their own mirror image."""

import dataclasses

import numpy as np
import pytest

import everygrad as eg
from everygrad.checks.tolerance import FRAMEWORK, assert_close, relative_error
from everygrad.networks import LSTM, Cell, Elman, FeedForward, Recurrent
from tests.networks.recurrent_cases import Case, made
from tests.networks.recurrent_library import data, found, network


def test_an_lstm_with_clamped_gates_is_an_accumulator():
    """Input and forget gate at 1: c_T = Σ_t g_t, so that ∂L/∂g_t = ∂L/∂c_T for all t, and nothing else is kept."""
    case = Case("lstm", T=12, B=2, units=3)
    numbers = made(case)
    params = dict(numbers.params)
    for gate in "ifo":
        params |= {f"{k}_{gate}": np.zeros_like(params[f"{k}_{gate}"]) for k in "UW"}
        params[f"b_{gate}"] = np.full(3, 60.0)  # σ(60) is 1 in float64
    params["W_g"] = np.zeros((3, 3))
    g = eg.gradients(network(case), params, *data(numbers))
    of_input = np.tanh(numbers.x @ params["U_g"].T + params["b_g"])
    assert_close(g.trace["c"], np.cumsum(of_input, axis=1), FRAMEWORK)
    at_end = g.direct["c"][:, -1]
    for t in range(12):
        assert_close(g["c"][:, t], at_end, FRAMEWORK)
        assert_close(g["g"][:, t], at_end, FRAMEWORK)
    assert_close(g["U_g"], np.einsum("bn,btn,bti->ni", at_end, 1 - of_input**2, numbers.x), FRAMEWORK)


def leaky(rate):
    def function(x, states, p):
        a = p.U @ x + p.b + p.W @ states.h
        return (1.0 - rate) * states.h + rate * eg.ops.tanh(a)

    return Cell(function, 3, {"h": 4}, lambda inputs: {"U": (4, inputs), "b": (4,), "W": (4, 4)})


@pytest.mark.parametrize("read", ["last", "each", "mean"])
def test_a_leaky_cell_at_rate_one_is_elman(read):
    case = Case("elman", layers=2, bidirectional=True, lengths=True, read=read)
    numbers = made(case)
    reference = found(numbers)
    for rate in (1.0, 0.9):
        net = Recurrent(leaky(rate), 3, read, layers=2, bidirectional=True, lengths=True)
        g = eg.gradients(net, dict(numbers.params), *data(numbers))
        for name in (*numbers.params, "h_l0", "h_l1_reverse", "a_l0", "x"):
            assert (relative_error(g[name], reference[name]) < FRAMEWORK) == (rate == 1.0), name


@pytest.mark.parametrize("read", ["last", "mean"])
def test_a_network_of_one_step_is_a_feed_forward_one(read):
    rng = np.random.default_rng(0)
    net = Recurrent(Elman(5, 4, "silu"), 3, read)
    plain = FeedForward([5, 4, 3], "silu")
    params = {name: rng.normal(size=shape) for name, shape in net.shapes.items()}
    as_plain = {"W1": params["U"], "b1": params["b"], "W2": params["V"], "b2": params["b_V"]}
    x, y = rng.normal(size=(6, 5)), rng.integers(0, 3, 6)
    g, reference = eg.gradients(net, params, x[:, None], y), eg.gradients(plain, as_plain, x, y)
    assert_close(g.loss, reference.loss, FRAMEWORK)
    for ours, theirs in (("U", "W1"), ("b", "b1"), ("V", "W2"), ("b_V", "b2"), ("out", "a2")):
        assert_close(g[ours], reference[theirs], FRAMEWORK, ours)
    for ours, theirs in (("x", "h0"), ("a", "a1"), ("h", "h1")):
        assert_close(g[ours][:, 0], reference[theirs], FRAMEWORK, ours)
        assert_close(g.direct[ours], g[ours], FRAMEWORK, ours)
    assert not g["W"].any()


@pytest.mark.parametrize("read", ["last", "each", "mean"])
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_time_reversal_swaps_the_halves(cell, read):
    """The sequence backwards through the network with its halves exchanged: the same loss, and gradients mirrored."""
    case = Case(cell, layers=2, bidirectional=True, initial=True, read=read, T=6)
    numbers = made(case)
    n = case.output

    def twin(name):
        return name.removesuffix("_reverse") if name.endswith("_reverse") else f"{name}_reverse"

    def exchanged(matrix):
        return np.concatenate([matrix[:, n:], matrix[:, :n]], axis=1)

    def mirrored(arrays):
        halves = {twin(k): v for k, v in arrays.items() if "_l" in k}
        halves |= {k: exchanged(v) for k, v in halves.items() if k.startswith("U") and "_l1" in k}
        return {**arrays, **halves, "V": exchanged(arrays["V"])}

    y = numbers.y[:, ::-1] if read == "each" else numbers.y
    initial = {k: numbers.initial[twin(k)] for k in numbers.initial}
    turned = numbers.replace(params=mirrored(numbers.params), x=numbers.x[:, ::-1], y=y, initial=initial)
    g, other = found(numbers), found(turned)
    assert_close(other.loss, g.loss, FRAMEWORK)
    weights = mirrored({name: other[name] for name in numbers.params})
    for name in numbers.params:
        assert_close(weights[name], g[name], FRAMEWORK, name)
    for layer in case.stack:
        for name in (k + layer.suffix for k in case.quantities):
            assert_close(other[twin(name)][:, ::-1], g[name], FRAMEWORK, name)
            assert_close(other.direct[twin(name)][:, ::-1], g.direct[name], FRAMEWORK, name)
    assert_close(other["x"][:, ::-1], g["x"], FRAMEWORK)


def test_a_forget_gate_at_zero_has_no_memory():
    """f = 0 and no recurrent weights: the total gradient is the direct one, and each step is a sample of its own."""
    case = Case("lstm", T=5, B=2, read="each")
    numbers = made(case)
    params = dict(numbers.params)
    params |= {f"W_{k}": np.zeros_like(params[f"W_{k}"]) for k in "ifgo"}
    params |= {"U_f": np.zeros_like(params["U_f"]), "b_f": np.full(4, -800.0)}
    g = eg.gradients(network(case), params, *data(numbers))
    for name in ("h", "c", "i", "a_g", "x"):
        assert_close(g.direct[name], g[name], FRAMEWORK, name)
    single = dataclasses.replace(case, T=1, B=10)
    alone = eg.gradients(network(single), params, numbers.x.reshape(10, 1, 3), numbers.y.reshape(10, 1))
    for name in params:
        if name[0] != "W":  # the state before a step is there, although nothing comes of it
            assert_close(g[name], alone[name], FRAMEWORK, name)


def test_layers_of_one_network_are_networks_on_top_of_each_other():
    """The gradient that the upper layer sends down is its input's, and the lower layer's direct gradient of h."""
    numbers = made(Case("lstm", layers=2, read="each", T=6))
    g = found(numbers)
    upper = Recurrent(LSTM(4, 4), 3, "each")
    params = {name: numbers.params[f"{name}_l1"] for name in upper.shapes if name not in ("V", "b_V")}
    params |= {name: numbers.params[name] for name in ("V", "b_V")}
    above = eg.gradients(upper, params, g.trace["h_l0"], numbers.y)
    assert_close(g.direct["h_l0"], above["x"], FRAMEWORK)
    assert_close(g["W_f_l1"], above["W_f"], FRAMEWORK)
