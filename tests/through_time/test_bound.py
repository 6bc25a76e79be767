"""The bound of Pascanu et al. for any cell: never below what is observed, and where it is known, known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everygrad.checks.tolerance import assert_close
from everygrad.engines import kind_of
from everygrad.graph import ops
from everygrad.graph.time import cell, run
from everygrad.jacobians import Dense, Diagonal, Identity, Product, Row, Selection, Sum, Weight, Zero
from everygrad.through_time import bound
from everygrad.through_time.bound import _norm
from tests.through_time.cells import EXAMPLES, case, product, step_jacobian
from tests.through_time.programs import program
from tests.through_time.test_scale import linear_run

EVERY = pytest.mark.parametrize(("name", "masked"), [(n, m) for n in EXAMPLES for m in (False, True)])


def spectral(A):
    """The largest singular value: the root of the largest eigenvalue of AᵀA."""
    return math.sqrt(max(0.0, np.linalg.eigvalsh(A.T @ A)[-1]))


@EVERY
def test_what_is_observed_and_that_it_is_bounded(name, masked):
    c = case(name, masked=masked)
    found = bound(c.run)
    T, B = c.x.shape[:2]
    for b in range(B):
        for t in range(T):
            J = step_jacobian(c, t)[b]
            assert_close(found.step_norm[t, b], spectral(J))
            assert found.step_norm[t, b] <= found.step_bound[t, b] * (1 + 1e-12)
        for i, k in enumerate(range(T - 1, -2, -1)):
            size = spectral(product(c, T - 1, k)[b])
            assert_close(np.exp(found.log_norm[i, b]), size)
            assert found.log_norm[i, b] <= found.log_bound[i, b] + 1e-12


def test_elman_by_plain_loops():
    c = case("elman", T=6)
    found = bound(c.run)
    W = spectral(c.params["W"])
    slopes = [[max(1 - math.tanh(a) ** 2 for a in now["a"][b]) for b in range(2)] for now in c.quantities()]
    assert_close(found.recurrent_norm, W)
    assert_close(found.slope, slopes)
    assert_close(found.step_bound, W * np.array(slopes))
    assert_close(found.always, W)
    back = np.log(W * np.array(slopes))[::-1]
    assert_close(found.log_bound, np.concatenate([np.zeros((1, 2)), np.cumsum(back, 0)]))


@pytest.mark.parametrize(("activation", "steepest"), [("sigmoid", 0.25), ("relu", 1.0), ("softplus", 1.0)])
def test_what_holds_for_any_input(activation, steepest):
    c = case("elman")
    made = cell(lambda x, s, p: ops.activation(activation, p.U @ x + p.W @ s.h))
    params = {name: c.params[name] for name in ("U", "W")}
    found = bound(run(made, c.x, c.initial, params))
    assert_close(found.always, steepest * spectral(c.params["W"]))
    assert (found.step_bound <= found.always * (1 + 1e-13)).all()
    small = bound(run(made, c.x, c.initial, {**params, "W": params["W"] * (0.99 / found.always)}))
    assert small.must_vanish
    assert not bound(run(made, c.x, c.initial, {**params, "W": params["W"] * (1.01 / found.always)})).must_vanish


def test_a_leaky_integrator():
    c = case("leaky")
    found = bound(c.run)
    W = spectral(c.params["W"])
    slopes = np.array([[max(1 - math.tanh(a) ** 2 for a in now["a"][b]) for b in range(2)] for now in c.quantities()])
    assert_close(found.step_bound, 0.9 + 0.1 * slopes * W)
    assert_close(found.always, 0.9 + 0.1 * W)
    assert found.recurrent_norm is None
    assert found.slope is None


def test_an_lstm_by_the_norms_of_its_blocks():
    c = case("lstm")
    found = bound(c.run)
    before = c.initial
    for t, now in enumerate(c.quantities()):
        for b in range(2):
            i, f, g, o, new = (now[name][b] for name in ("i", "f", "g", "o", "c"))
            W = {gate: spectral(c.params[f"W_{gate}"]) for gate in "ifgo"}
            old = before["c"][b]
            c_h = max(abs(g)) * max(i * (1 - i)) * W["i"] + max(abs(old)) * max(f * (1 - f)) * W["f"]
            c_h += max(i) * max(1 - g**2) * W["g"]
            slope, c_c = max(o) * max(1 - np.tanh(new) ** 2), max(f)
            h_h = slope * c_h + max(abs(np.tanh(new))) * max(o * (1 - o)) * W["o"]
            assert_close(found.step_bound[t, b], spectral(np.array([[h_h, slope * c_c], [c_h, c_c]])))
        before = now
    assert (found.always, found.recurrent_norm, found.slope, found.must_vanish) == (None, None, None, False)


def test_it_is_reached_by_a_normal_matrix():
    found = bound(linear_run([[0.0, -2.0], [2.0, 0.0]], steps=6, batch=2))
    assert_close(found.step_norm, found.step_bound)
    assert_close(found.log_norm, found.log_bound)
    assert_close(found.log_norm[-1], [6 * math.log(2)] * 2)
    dead = bound(linear_run([[0.0]], steps=3))
    assert np.isneginf(dead.log_norm[1:]).all()
    assert np.isneginf(dead.log_bound[1:]).all()


KIND = kind_of(np.zeros(1))
RNG = np.random.default_rng(0)
ONES = {
    "Identity": Identity(KIND, (3,)),
    "Zero": Zero(KIND, (3,), (2,)),
    "Diagonal": Diagonal(RNG.normal(size=(4, 3))),
    "Dense": Dense(RNG.normal(size=(4, 3, 2))),
    "Selection": Selection(KIND, np.array([0, 1, 1, 1, -1]), (3,)),
    "Row": Row(RNG.normal(size=(4, 3))),
    "Weight": Weight(Diagonal(RNG.normal(size=(4, 3))), RNG.normal(size=(4, 2))),
}
MANY = {
    "Sum": Sum((Diagonal(RNG.normal(size=(4, 3))), Selection(KIND, np.array([1, 1, -1]), (3,)))),
    "Product": Product((Selection(KIND, np.array([1, 1, -1]), (3,)), Diagonal(RNG.normal(size=(4, 3))))),
}


@pytest.mark.parametrize("name", [*ONES, *MANY])
def test_the_norm_of_each_structured_type(name):
    J = {**ONES, **MANY}[name]
    for b in range(4):
        A = J.dense()[b] if J.batch else J.dense()
        exact = spectral(A.reshape(J.out_size, J.in_size))
        found = np.broadcast_to(_norm(J), (4,))[b]
        if name in ONES:
            assert_close(found, exact)
        else:
            parts = [_norm(part) for part in J.parts]
            assert_close(found, (parts[0] + parts[1] if name == "Sum" else parts[0] * parts[1])[b])
            assert exact <= found * (1 + 1e-13)


@settings(max_examples=40)
@given(st.integers(0, 10**9))
def test_any_cell_is_bounded(seed):
    what = program(seed)
    rng = np.random.default_rng(seed)
    params = {k: rng.normal(size=shape) for k, shape in what.shapes.items()}
    x = rng.normal(size=(4, 2, what.shapes["W_in"][1]))
    ran = run(what.cell(), x, {s: rng.normal(size=(2, what.units)) for s in what.states}, params)
    found = bound(ran)
    assert (found.step_norm <= found.step_bound * (1 + 1e-9) + 1e-12).all()
    assert (found.log_norm <= found.log_bound + 1e-9).all()
    if found.always is not None:
        assert (found.step_bound <= found.always * (1 + 1e-9)).all()


def test_as_text_and_as_json():
    c = replace(case("elman", T=2), params={"W": 0.5 * np.eye(3), "U": np.zeros((3, 2)), "b": np.zeros(3)})
    c = replace(c, initial={"h": np.zeros((2, 3))})
    found = bound(c.run)
    assert str(found).splitlines() == [
        "‖W‖ = 0.5, largest g′ seen 1. Largest over the samples",
        "step  ‖∂s_t/∂s_t−1‖  at most  ‖∂s_T/∂s_t−1‖     at most",
        "-------------------------------------------------------",
        "0               0.5      0.5     10^-0.6021  10^-0.6021",
        "1               0.5      0.5      10^-0.301   10^-0.301",
        "For any input a step is at most 0.5: gradients must vanish",
    ]
    record = found.as_dict()
    assert record["step_norm"] == [[0.5, 0.5], [0.5, 0.5]]
    assert record["always"] == record["recurrent_norm"] == 0.5
    assert record["log_norm"][0] == [0.0, 0.0]
    assert bound(linear_run([[0.0]], steps=1)).as_dict()["log_bound"] == [[0.0], [None]]
    lstm = str(bound(case("lstm").run))
    assert lstm.endswith("No bound holds for any input: the slopes of this cell depend on its gates")
    assert "gradients may explode" in str(bound(linear_run([[2.0]], steps=1)))
