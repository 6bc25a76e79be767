"""Passes over graphs with scans: the message for what is not finite, contributions, and the direct gradients."""

import numpy as np
import pytest
import torch

import everygrad as eg
from everygrad.checks.tolerance import FRAMEWORK, assert_close
from everygrad.errors import InputError, NonFiniteError, UnknownNameError
from everygrad.graph import Builder, Graph

RNG = np.random.default_rng(0)
X, Y, LENGTHS = RNG.normal(size=(4, 20, 2)), np.array([0, 1, 0, 1]), np.array([20, 7, 5, 1])


def ragged() -> eg.Recurrent:
    return eg.Recurrent(eg.Elman(2, 3, activation="relu"), outputs=2, lengths=True)


def test_the_first_time_step_that_is_not_finite_is_named() -> None:
    net = ragged()
    params = net.init(0)
    params["W"] = params["W"] * 1e30
    x = X.copy()
    x[1, 7:] = np.nan  # padding is nobody's fault
    values = np.zeros((20, 3))
    h = np.zeros(3)
    with np.errstate(all="ignore"):
        for t in range(20):
            values[t] = params["U"] @ x[0, t] + params["b"] + params["W"] @ h
            h = np.maximum(values[t], 0)
    first = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
    with pytest.raises(
        NonFiniteError, match=rf"the quantity 'a' is not finite: a\[0, {first}, .*first at time step {first}"
    ):
        eg.gradients(net, params, x, Y, LENGTHS)


def test_a_step_of_the_input_that_is_not_finite_is_named() -> None:
    x = X.copy()
    x[2, 3, 1], x[0, 9, 0] = np.nan, np.inf
    with pytest.raises(
        NonFiniteError, match=r"the array 'x' is not finite: x\[2, 3, 1\] = nan \(sample 2, first at time step 3"
    ):
        eg.gradients(ragged(), ragged().init(0), x, Y, LENGTHS)


def test_contributions_of_what_goes_into_scans_and_out_of_them_add_up() -> None:
    net = eg.Recurrent(eg.GRU(2, 3), outputs=2, layers=2, bidirectional=True, read="mean")
    g = eg.gradients(net, net.init(1), X, Y)
    for name in ("x", "h_l0_both", "U_r_l0", "V"):
        terms = eg.contributions(g, name)
        assert_close(sum(terms.values()), g[name], name=name)
    assert set(eg.contributions(g, "x")) == {"scan l0", "scan l0_reverse"}


def test_a_label_belongs_to_one_scan() -> None:
    cell = eg.Elman(2, 3).cell

    def two(x, *, U, b, W):
        shared = {"U": U, "b": b, "W": W}
        first = eg.ops.scan(cell, x, shared, {"h": 3}, suffix="_1")
        second = eg.ops.scan(cell, x, shared, {"h": 3}, reverse=True, suffix="_2")
        return eg.ops.reduce(eg.ops.sum(first.end["h"] * second.end["h"]))

    graph = eg.graph(two, sequences=("x",))
    params = {name: RNG.normal(size=shape) for name, shape in eg.Elman(2, 3).shapes.items()}
    with pytest.raises(InputError, match="two different scans have the label 'l0'"):
        eg.gradients(graph, params, X)


def test_what_no_scan_is_made_of_has_no_direct_gradient() -> None:
    net = ragged()
    g = eg.gradients(net, net.init(0), X, Y, LENGTHS)
    assert "V" not in g.direct
    with pytest.raises(UnknownNameError, match="'V' has no direct gradient apart from its total one"):
        g.direct["V"]
    assert set(g.direct) == {"x", "x_kept", "U", "b", "W", "a", "h", "h_end"}
    assert g.direct is g.direct


def test_a_state_that_only_the_next_step_reads_has_no_direct_gradient() -> None:
    """Not its total one, which is not zero."""

    def step(x, states, p):
        h, slow = states
        a = p.U @ x + p.W @ slow
        h = eg.ops.tanh(a)
        return h, 0.5 * slow + 0.5 * h

    net = eg.Recurrent(eg.Cell(step, 2, {"h": 3, "slow": 3}, {"U": (3, 2), "W": (3, 3)}), outputs=2)
    g = eg.gradients(net, net.init(0), X, Y)
    assert np.abs(g["slow"][:, :-1]).max() > 0
    assert g.direct["slow"].shape == g["slow"].shape
    assert not g.direct["slow"].any()
    np.testing.assert_array_equal(g.direct["h_end"], g["h_end"])


def encoder_decoder() -> Graph:
    cell = eg.Elman(2, 3)
    builder = Builder()
    x, d, y = (builder.given(name, "data", lead=2) for name in ("x", "d", "y"))
    lengths = builder.given("lengths", "data")
    encoder, decoder = ({n: builder.given(f"{n}_{part}", "parameter") for n in cell.shapes} for part in "ed")
    read = eg.ops.scan(cell.cell, x, encoder, {"h": 3}, lengths, label="encoder", suffix="_e")
    said = eg.ops.scan(cell.cell, d, decoder, {"h": read.end["h"]}, label="decoder", suffix="_d")
    return builder.graph(eg.ops.squared_error(said["h"], y, reduction="sum").named("loss"))


def test_an_encoder_and_a_decoder_may_have_different_numbers_of_steps() -> None:
    graph = encoder_decoder()
    rng = np.random.default_rng(3)
    params = {f"{n}_{part}": rng.normal(size=shape) for part in "ed" for n, shape in eg.Elman(2, 3).shapes.items()}
    x, d, y, lengths = rng.normal(size=(2, 6, 2)), rng.normal(size=(2, 4, 2)), rng.normal(size=(2, 4, 3)), [6, 2]
    g = eg.gradients(graph, params, x, d, y, np.array(lengths))
    leaf = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()}
    total = torch.zeros(())
    for b in range(2):
        h = torch.zeros(3, dtype=torch.float64)
        for t in range(lengths[b]):
            h = torch.tanh(leaf["U_e"] @ torch.tensor(x[b, t]) + leaf["b_e"] + leaf["W_e"] @ h)
        for t in range(4):
            h = torch.tanh(leaf["U_d"] @ torch.tensor(d[b, t]) + leaf["b_d"] + leaf["W_d"] @ h)
            total = total + ((h - torch.tensor(y[b, t])) ** 2).sum()
    total.backward()
    for name, p in leaf.items():
        assert_close(g[name], p.grad.numpy(), FRAMEWORK, name)
    with pytest.raises(InputError, match="different numbers of time steps: 'd' has 4, 'y' has 3"):
        eg.gradients(graph, params, x, d, y[:, :3], np.array(lengths))
    with pytest.raises(InputError, match="from 1 to 6, the number of steps, got 7"):
        eg.gradients(graph, params, x, d, y, np.array([7, 2]))


def test_what_is_not_kept_says_how_to_keep_it() -> None:
    net = eg.Recurrent(eg.LSTM(2, 3), outputs=2, remember="sqrt")
    g = eg.gradients(net, net.init(0), X, Y)
    for look in (lambda: g["c"], lambda: g.trace["c"], lambda: g.direct["c"]):
        with pytest.raises(UnknownNameError, match=r"remember='sqrt'.* use remember='all'"):
            look()


def test_a_scan_takes_the_graph_of_a_cell() -> None:
    with pytest.raises(InputError, match=r"scan takes a Cell, the graph of one step, got Elman.*: give its .cell"):
        eg.graph(lambda x, *, U: eg.ops.scan(eg.Elman(2, 3), x, {"U": U}, {"h": 3}).end["h"], sequences="x")
