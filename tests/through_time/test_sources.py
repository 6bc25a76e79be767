"""What the analyses can start from: networks, gradients, traces and runs; every layer of them."""

import numpy as np
import pytest

import everygrad as eg
from everygrad import through_time
from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError, UnknownNameError
from everygrad.through_time import Recurrence
from tests.networks.recurrent_cases import Case, made
from tests.through_time.cells import case

CELLS = {
    "elman": lambda c: eg.Elman(c.inputs, c.units, activation=c.activation),
    "lstm": lambda c: eg.LSTM(c.inputs, c.units),
    "gru": lambda c: eg.GRU(c.inputs, c.units, reset=c.reset),
}


def network(c: Case, **more):
    settings = {"layers": c.layers, "bidirectional": c.bidirectional, "lengths": c.lengths, **more}
    return eg.Recurrent(CELLS[c.cell](c), outputs=c.outputs, read=c.read, **settings)


def data(m):
    return (m.x, m.y) if not m.case.lengths else (m.x, m.y, m.mask.sum(1))


@pytest.mark.parametrize("read", ["last", "each", "mean"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("lengths", [False, True])
def test_every_layer_of_a_network(cell, read, lengths):
    c = Case(cell=cell, layers=2, bidirectional=True, read=read, lengths=lengths, T=4, B=3, units=3, inputs=2)
    m = made(c)
    g = eg.gradients(network(c), dict(m.params), *data(m))
    for layer in c.stack:
        names = tuple(c.cell_shapes(layer.inputs))
        found = through_time.credit_tables(g, wrt=names, layer=layer.label)
        for name in names:
            assert_close(found[name].total, g[name + layer.suffix], name=name + layer.suffix)
        full = through_time.truncated(g, windows=(4,), layer=layer.label)
        for name in names:
            assert_close(full.gradients[4][name], g[name + layer.suffix])
        states = through_time.adjoints(g, layer=layer.label)
        total = sum(
            through_time.tensor(g, wrt="b_i" if cell == "lstm" else names[2], of=s, layer=layer.label).total(a)
            for s, a in states.items()
        )
        assert_close(total, g[("b_i" if cell == "lstm" else names[2]) + layer.suffix])


def test_the_same_from_a_network_a_trace_and_gradients():
    c = Case(cell="lstm", T=5, B=2, read="each")
    m = made(c)
    net, given = network(c), (dict(m.params), m.x, m.y)
    g = eg.gradients(net, *given)
    run, swept = g.trace.runs["l0"], g.sweeps["l0"]
    reference = through_time.credit(g, wrt="W_f")
    for source in ((net, *given), (Recurrence(run, swept.direct, swept.final),)):
        assert_close(through_time.credit(*source, wrt="W_f").norms, reference.norms)
    product = through_time.state_product(g)
    for source in ((net, *given), (g.trace,), (run,), (eg.forward(net, *given),)):
        assert_close(through_time.state_product(*source).mantissa, product.mantissa)
    assert_close(through_time.tensor(net, *given, wrt="U_g").norm(), through_time.tensor(run, wrt="U_g").norm())
    assert eg.through_time is through_time


def test_a_run_in_segments():
    c = Case(cell="gru", T=7, B=2, read="each", lengths=True)
    m = made(c)
    given = (dict(m.params), *data(m))
    reference, found = (eg.gradients(network(c, remember=how), *given) for how in ("all", "sqrt"))
    assert_close(
        through_time.credit(found, wrt="W_n").norms,
        through_time.credit(reference, wrt="W_n").norms,
    )
    assert_close(through_time.lyapunov(found).exponents, through_time.lyapunov(reference).exponents)
    assert_close(through_time.state_product(found.trace).log_scale, through_time.state_product(reference).log_scale)


def test_where_the_gradient_of_the_last_step_dies():
    """The horizon of a network is that of its total gradients, step by step."""
    c = Case(cell="elman", T=30, B=2, read="last", units=4)
    m = made(c)
    g = eg.gradients(network(c), dict(m.params), m.x, m.y)
    norms = np.linalg.norm(g["h"], axis=-1)
    found = through_time.decay(g)
    assert_close(np.exp(found.log_norms[:-1][::-1].T), norms)
    for b in range(2):
        below = np.flatnonzero(norms[b, ::-1] <= 0.01 * norms[b, -1])
        steps = through_time.horizon(g).steps[b]
        assert below[0] - 1 <= steps <= below[0]


def test_what_arrives():
    c = case("lstm", T=6, B=3, masked=True)
    arriving = c.recurrence.arriving()
    for b in range(3):
        last = np.flatnonzero(c.present[:, b])[-1]
        for t in range(6):
            for name, g in arriving.items():
                expected = c.direct[name][t, b] if c.present[t, b] else 0 * g[t, b]
                if t == last and name in c.final:
                    expected = expected + c.final[name][b]
                assert np.array_equal(g[t, b], expected)


def test_what_is_refused():
    c = Case(cell="lstm", T=3, B=2)
    m = made(c)
    g = eg.gradients(network(c), dict(m.params), m.x, m.y)
    with pytest.raises(UnknownNameError, match=r"unknown recurrent layer 'l1'. Did you mean 'l0'"):
        through_time.lyapunov(g, layer="l1")
    net = eg.FeedForward([3, 4, 2])
    with pytest.raises(InputError, match="there is no recurrent layer in this network"):
        through_time.lyapunov(net, net.init(seed=0), np.ones((2, 3)), np.array([0, 1]))
    with pytest.raises(InputError, match=r"expected a network with parameters and data, .* got Recurrent alone"):
        through_time.lyapunov(network(c))
    with pytest.raises(InputError, match="itemised credit needs the gradient"):
        through_time.credit(g.trace, wrt="W_f")
    run = g.trace.runs["l0"]
    with pytest.raises(UnknownNameError, match=r"unknown quantity of the cell 'H'. Did you mean 'h'"):
        Recurrence(run, {"H": np.ones((3, 2, 4))})
    with pytest.raises(UnknownNameError, match="unknown quantity of the cell 'i'"):
        Recurrence(run, final={"i": np.ones((2, 4))})
    with pytest.raises(InputError, match=r"what arrives at 'h' has shape \(3, 4\), expected \(3, 2, 4\)"):
        Recurrence(run, {"h": np.ones((3, 4))})
    with pytest.raises(InputError, match=r"what arrives at 'c' has shape \(3, 2, 4\), expected \(2, 4\)"):
        Recurrence(run, final={"c": np.ones((3, 2, 4))})
