"""Networks of the library: what is read from them, healthy ones left in peace, ill ones named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import everygrad as eg
from everygrad.checks.tolerance import assert_close
from everygrad.diagnose import THRESHOLDS, Keeper, over_time, unrolled, verdict
from everygrad.graph.time import cell

CELLS = {
    "elman": eg.Elman(3, 12),
    "relu": eg.Elman(3, 12, activation="relu"),
    "lstm": eg.LSTM(3, 12),
    "projected": eg.LSTM(3, 12, projection=8),
    "gru": eg.GRU(3, 12),
    "before": eg.GRU(3, 12, reset="before"),
}


def batch(net: eg.Recurrent, steps: int, samples: int = 16, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, steps, net.cell.inputs))
    y = rng.integers(0, net.outputs, (samples, steps) if net.read == "each" else samples)
    return (x, y, *([rng.integers(1, steps + 1, samples)] if net.lengths else []))


def judged(net: eg.Recurrent, steps: int, params=None, **options):
    return verdict(eg.gradients(net, params or net.init(0), *batch(net, steps, **options)))


@settings(max_examples=40)
@given(
    kind=st.sampled_from(sorted(CELLS)),
    read=st.sampled_from(["last", "each", "mean"]),
    depth=st.integers(1, 3),
    both=st.booleans(),
    lengths=st.booleans(),
    steps=st.integers(1, 16),
    samples=st.sampled_from([1, 5, 16]),
    seed=st.integers(0, 1000),
)
def test_quiet_on_fresh_networks(kind, read, depth, both, lengths, steps, samples, seed):
    net = eg.Recurrent(CELLS[kind], 4, read=read, layers=depth, bidirectional=both, lengths=lengths)
    found = judged(net, steps, net.init(seed), samples=samples, seed=seed)
    if samples > 1:  # of one sequence a single unit that is off may be all there is
        assert found.level == "ok", str(found)
        assert {f.kind for f in found.findings} <= {"dead"}  # a few rectifiers may be off, which is noted
    assert "vanishing" not in {f.kind for f in found.findings}


@pytest.mark.parametrize("kind", ["elman", "lstm", "gru"])
def test_quiet_on_networks_that_have_learned(kind: str):
    """The sign of the first number, asked for six steps later."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 7, 3))
    y = (x[:, 0, 0] > 0).astype(int)
    net = eg.Recurrent(CELLS[kind], 2)
    found = eg.train(net, net.init(0), x, y, epochs=12, learning_rate=0.02, progress=False)
    assert found.history[-1].accuracy > 0.9
    assert verdict(eg.gradients(net, found.params, x[:32], y[:32])).level == "ok"


def test_an_lstm_whose_forget_gate_is_shut():
    net = eg.Recurrent(eg.LSTM(3, 12), 4)
    params = net.init(0)
    params["b_f"] = np.full(12, -3.0)
    found = judged(net, 12, params)
    finding = found.findings[0]
    assert (found.level, finding.kind, finding.layer) == ("error", "vanishing", "l0")
    assert finding.where == f"f at step {finding.step}"
    assert "higher bias of f" in finding.advice


def test_an_elman_network_whose_matrix_is_too_large():
    net = eg.Recurrent(eg.Elman(3, 12, activation="relu"), 4, layers=2)
    params = net.init(0)
    params["W_l1"] = 4.0 * np.eye(12)
    found = judged(net, 12, params)
    finding = next(f for f in found.findings if f.kind == "exploding")
    assert finding.layer == "l1"
    assert finding.where.startswith("h_l1 at step ")
    assert "eigenvalue of W_l1 has magnitude 4, above 1" in finding.text


def test_gates_of_a_gru_that_are_stuck():
    net = eg.Recurrent(eg.GRU(3, 12), 4, layers=2)
    params = net.init(0)
    params["b_z_l0"] = np.full(12, 40.0)  # h never changes
    finding = judged(net, 6, params).findings[0]
    assert (finding.kind, finding.where) == ("saturated", "z_l0")
    assert finding.level == "warning"  # z = 1 lets all of the gradient through


def test_values_that_overflow_are_placed_in_layer_and_step():
    net = eg.Recurrent(eg.Elman(2, 3, activation="square"), 2)
    params = net.init(0)
    x = np.full((2, 14, 2), 3.0)
    g = eg.gradients(net, params, x, np.array([0, 1]), check_finite=False)
    first = next(
        t for t in range(14) if not np.isfinite(g.trace["a"][:, t]).all() or np.isinf(g.trace["h"][:, t]).any()
    )
    (finding,) = verdict(g).findings
    assert (finding.kind, finding.step, finding.layer) == ("not finite", first, "l0")
    assert finding.where in (f"a at step {first}", f"h at step {first}")


def test_weights_behind_the_layer_that_are_zero():
    net = eg.Recurrent(eg.LSTM(3, 12), 4)
    params = net.init(0)
    params["V"] = np.zeros((4, 12))
    found = judged(net, 5, params)
    assert [f.kind for f in found.findings] == ["zero gradient"]
    assert found.culprit == "h"


def test_nothing_is_said_of_what_a_single_step_cannot_have():
    for kind in CELLS:
        net = eg.Recurrent(CELLS[kind], 4)
        assert judged(net, 1).findings == (), (
            kind
        )  # W multiplies a state that is zero: its gradient is 0, and should be


def test_a_perfect_fit_is_no_illness():
    net = eg.Recurrent(eg.Elman(2, 3), 2, loss="squared_error")
    params = net.init(0)
    params["V"] = np.zeros((2, 3))
    x = np.random.default_rng(0).normal(size=(9, 4, 2))
    found = verdict(eg.gradients(net, params, x, np.zeros((9, 2))))
    assert (found.level, [f.kind for f in found.findings]) == ("ok", ["small loss"])


@pytest.mark.parametrize("options", [{}, {"layers": 2, "bidirectional": True}, {"lengths": True}])
def test_what_is_read_are_the_gradients_of_the_network(options):
    net = eg.Recurrent(eg.LSTM(3, 5), 4, read="each", **options)
    g = eg.gradients(net, net.init(0), *batch(net, 6))
    layers = unrolled(g)
    assert [layer.label for layer in layers] == [layer.label for layer in net.layers]
    assert [layer.reverse for layer in layers] == [layer.reverse for layer in net.layers]
    keep = np.ones((16, 6), bool) if not net.lengths else np.arange(6) < g.trace["lengths"][:, None]
    for layer in layers:
        assert layer.states == ("h", "c")
        assert layer.keepers == {"c": Keeper("f")}
        for name in ("a_i", "f", "g", "c", "h"):
            whole = name + layer.suffix
            for mine, theirs in ((layer.total, g), (layer.direct, g.direct), (layer.values, g.trace)):
                assert_close(np.where(keep[..., None], mine[name], 0), np.where(keep[..., None], theirs[whole], 0))
        assert set(layer.squashes) == {"i", "f", "g", "o", "tanh(c)"}
    assert (layers[0].mask is None) == (not net.lengths)


def test_a_network_that_keeps_too_little_is_left_out():
    net = eg.Recurrent(eg.Elman(3, 5), 4, remember="sqrt")
    g = eg.gradients(net, net.init(0), *batch(net, 9))
    assert unrolled(g) == ()
    assert verdict(g).level == "ok"


def unit(x, states, p):
    """Zhou et al. 2016: one gate; what it lets in replaces what it forgets."""
    f = eg.ops.sigmoid(p.U_f @ x + p.W_f @ states.h)
    n = eg.ops.tanh(p.U_n @ x + p.W_n @ (f * states.h))
    return (1 - f) * states.h + f * n


def plain(x, states, p):
    return eg.ops.sin(p.W @ states.h + p.U @ x)


def leaky(x, states, p):
    return 0.9 * states.h + 0.1 * eg.ops.tanh(p.U @ x + p.W @ states.h)


def two(x, states, p):
    keep = eg.ops.sigmoid(p.U @ x)
    slow = (keep * states.slow).named("kept") + x
    return states.fast * 0.5 + p.W @ states.slow, slow


@pytest.mark.parametrize(
    ("function", "states", "keepers", "recurrent"),
    [
        (unit, {"h": 4}, {"h": Keeper("f", inverted=True)}, []),
        (plain, {"h": 4}, {}, ["W"]),
        (leaky, {"h": 4}, {}, []),
        (two, {"fast": 4, "slow": 4}, {"slow": Keeper("keep")}, []),
    ],
)
def test_cells_of_ones_own_show_their_gates(function, states, keepers, recurrent):
    shapes = dict.fromkeys(cell(function, tuple(states)).parameters, (4, 4))
    net = eg.Recurrent(eg.Cell(function, 4, states, shapes), 2)
    g = eg.gradients(net, net.init(0), *batch(net, 5))
    (layer,) = unrolled(g)
    assert dict(layer.keepers) == keepers
    assert list(layer.recurrent) == recurrent
    over_time(layer)


def test_torch_arrays_are_judged_like_numpy_ones():
    import torch

    net = eg.Recurrent(eg.LSTM(3, 5), 4)
    x, y = batch(net, 40)
    params = net.init(0)
    params["b_f"] = np.zeros(5)
    here = verdict(eg.gradients(net, params, x, y))
    tensors = {name: torch.tensor(p) for name, p in params.items()}
    there = verdict(eg.gradients(net, tensors, torch.tensor(x), torch.tensor(y)))
    assert (here.level, there.level) == ("error", "error")
    assert here.culprit == there.culprit
    assert abs(here.findings[0].number / there.findings[0].number - 1) < 1e-9
    assert here.findings[0].number < THRESHOLDS.vanished
