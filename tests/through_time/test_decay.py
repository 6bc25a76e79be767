"""How norms fall on the way back, and the horizon, against products of complex steps and plain loops."""

import math
from dataclasses import replace

import numpy as np
import pytest

from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError, UnknownNameError
from everygrad.graph.time import sweep
from everygrad.through_time import Decay, Recurrence, decay, horizon, pull_back
from tests.through_time.cells import EXAMPLES, case, product, stacked
from tests.through_time.test_scale import linear_run

EVERY = pytest.mark.parametrize(("name", "masked"), [(n, m) for n in EXAMPLES for m in (False, True)])


@EVERY
def test_norms_of_the_product(name, masked):
    c = case(name, masked=masked)
    found = decay(c.run, of="state", t=3, matrices=True)
    assert found.steps.tolist() == [3, 2, 1, 0, -1]
    assert found.start.tolist() == [3, 3]
    for i, k in enumerate(found.steps):
        expected = product(c, 3, k)
        assert_close(np.exp(found.log_norms[i]), np.sqrt((expected**2).sum((1, 2))))
        assert_close(found.matrices[i].value(), expected)
        assert found.lags[i].tolist() == [c.present[k + 1 : 4, b].sum() for b in range(2)]
    assert decay(c.run, of="state", k=1).steps.tolist() == [4, 3, 2, 1]


@EVERY
def test_norms_of_the_gradient_of_one_loss(name, masked):
    c = case(name, masked=masked)
    for t in range(len(c.x)):
        found = decay(c.recurrence, t=t)
        for i, k in enumerate(found.steps):
            for b in range(c.x.shape[1]):
                g = gradient_of_one_loss(c, t, int(k))[b]
                assert_close(np.exp(found.log_norms[i, b]), np.linalg.norm(g))


def gradient_of_one_loss(c, t, k):
    """∂L_t/∂s_k (B, d) by the complex step: the equations are run on from a state after step k."""
    kept = c.quantities()
    before = c.initial if k < 0 else {s: kept[k][s] for s in c.example.states}
    rest = replace(
        c,
        x=c.x[k + 1 :],
        direct={name: g[k + 1 :] for name, g in c.direct.items()},
        mask=None if c.mask is None else c.mask[k + 1 :],
    )
    columns = []
    for s in c.example.states:
        for q in range(before[s].shape[1]):
            column = np.zeros(c.x.shape[1])
            for b in range(c.x.shape[1]):
                moved = {name: array.astype(complex) for name, array in before.items()}
                moved[s][b, q] += 1e-30j
                if k < t:
                    column[b] = rest.losses(initial=moved)[t - k - 1].imag / 1e-30
                elif c.present[t, b]:
                    column[b] = c.direct.get(s, np.zeros((t + 1, b + 1, q + 1)))[t, b, q]
                    column[b] += 0 if c.present[t + 1 :, b].any() else c.final[s][b, q]
            columns.append(column)
    return np.stack(columns, -1)


@EVERY
def test_by_default_each_sample_starts_from_its_last_arrival(name, masked):
    c = case(name, masked=masked)
    found = decay(c.recurrence)
    last = [int(np.flatnonzero(c.present[:, b])[-1]) for b in range(2)]
    assert found.start.tolist() == last
    for b, t in enumerate(last):
        alone = decay(c.recurrence, t=t)
        there = found.steps <= t
        assert_close(found.log_norms[there, b], alone.log_norms[:, b])
        assert np.isnan(found.log_norms[~there, b]).all()
        assert found.lags[:, b].tolist() == [c.present[k + 1 : t + 1, b].sum() if k <= t else 0 for k in found.steps]


def test_the_gradient_of_the_last_loss_is_that_of_a_sweep():
    c = replace(case("lstm", T=12), final={})
    last = {"h": np.where(np.arange(12)[:, None, None] == 11, c.direct["h"], 0)}
    swept, found = sweep(c.run, last), decay(Recurrence(c.run, last))
    initial = stacked(swept.initial, c.example)
    assert_close(np.exp(found.log_norms[-1]), np.linalg.norm(initial, axis=-1))
    g = np.concatenate([last["h"][-1], np.zeros((2, 3))], -1)
    assert_close(found.log_norms[-1], pull_back(c.run, g=g).log_scale)


def plain_decay(logs, lags=None):
    logs = np.array(logs)[:, None]
    K = len(logs)
    return Decay(
        "state", np.arange(K - 2, -2, -1), logs, np.arange(K)[:, None] if lags is None else lags, np.array([K - 2])
    )


def test_a_horizon_between_two_steps():
    halving = plain_decay([-math.log(2.0) * i for i in range(10)])
    assert_close(halving.horizon(), [math.log(100) / math.log(2)])
    assert halving.horizon(0.25).tolist() == [2.0]
    assert_close(halving.horizon(0.3), [math.log(0.3) / math.log(0.5)])
    assert halving.horizon(1e-4).tolist() == [math.inf]
    assert_close(halving.rates(), [-math.log(2.0)])


def test_a_horizon_is_the_first_fall_and_a_zero_is_reached_at_its_step():
    assert_close(plain_decay([0.0, 0.0, -8.0, 0.0, -9.0]).horizon(), [1 + math.log(100) / 8])
    assert plain_decay([0.0, -1.0, -math.inf, -math.inf]).horizon().tolist() == [2.0]
    assert plain_decay([3.0, 4.0, 5.0]).horizon().tolist() == [math.inf]
    assert np.isnan(plain_decay([-math.inf, -math.inf]).horizon()).all()
    assert plain_decay([-math.inf, 0.0, math.log(0.01)]).horizon().tolist() == [1.0]
    skipped = plain_decay([0.0, 0.0, math.log(0.01)], lags=np.array([[0], [0], [1]]))
    assert skipped.horizon().tolist() == [1.0]


def test_the_horizon_of_a_linear_network():
    ran = linear_run([[0.5]], steps=20, batch=2)
    found = horizon(ran, of="state")
    assert_close(found.steps, [math.log(100) / math.log(2)] * 2)
    assert found.median == found.steps[0]
    assert str(found) == "‖∂s_t/∂s_k‖ falls to 0.01 after 6.644 to 6.644 steps, median 6.644 (2 of 2 samples)"
    assert found.as_dict() == {"fraction": 0.01, "steps": found.steps.tolist(), "of": "state"}
    grows = horizon(linear_run([[1.5]], steps=20, batch=2), of="state", fraction=0.5)
    assert np.isinf(grows.steps).all()
    assert math.isinf(grows.median)
    assert str(grows) == "‖∂s_t/∂s_k‖ does not fall to 0.5 within the sequence"
    assert grows.as_dict()["steps"] == [None, None]
    direct = np.zeros((20, 2, 1))
    direct[15] = 3.0
    late = horizon(Recurrence(ran, {"h": direct}), fraction=0.125)
    assert_close(late.steps, [3.0, 3.0])
    assert late.decay.start.tolist() == [15, 15]


def test_nothing_arrives_at_a_sample():
    direct = np.zeros((4, 2, 1))
    direct[2, 0] = 1.0
    found = decay(Recurrence(linear_run([[0.5]], steps=4, batch=2), {"h": direct}))
    assert found.start.tolist() == [2, -1]
    assert np.isnan(found.horizon()[1])
    assert np.isinf(found.horizon()[0])
    assert_close(found.rates()[0], -math.log(2))


def test_as_text_and_as_json():
    ran = linear_run([[0.1]], steps=3, batch=3)
    found = decay(ran, of="state")
    assert str(found).splitlines() == [
        "‖∂s_t/∂s_k‖ over k, of 3 samples",
        "k   least  median   most",
        "------------------------",
        "2    10^0    10^0   10^0",
        "1   10^-1   10^-1  10^-1",
        "0   10^-2   10^-2  10^-2",
        "-1  10^-3   10^-3  10^-3",
        "horizon, to 1%: 2 steps (median of 3)",
    ]
    assert "horizon, to 1%: not reached" in str(decay(linear_run([[1.0]], steps=2), of="state"))
    record = found.as_dict()
    assert record["steps"] == [2, 1, 0, -1]
    assert record["lags"] == [[0] * 3, [1] * 3, [2] * 3, [3] * 3]
    assert record["horizon"] == [2.0] * 3
    assert record["log_norms"][0] == [0.0] * 3
    dead = decay(linear_run([[0.0]], steps=1), of="state")
    assert dead.as_dict()["log_norms"] == [[0.0], [None]]


def test_what_is_refused():
    c = case("elman")
    with pytest.raises(InputError, match="the decay of a gradient needs the gradient that arrives at each step"):
        decay(c.run)
    with pytest.raises(UnknownNameError, match=r"unknown kind of decay 'stat'. Did you mean 'state'"):
        decay(c.run, of="stat")
    with pytest.raises(InputError, match="expected −1 <= k <= t <= 4"):
        decay(c.recurrence, t=9)
    with pytest.raises(InputError, match="fraction=1: expected a number between 0 and 1"):
        horizon(c.recurrence, fraction=1)


def test_progress():
    c, seen = case("elman"), []
    decay(c.recurrence, t=3, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    seen.clear()
    horizon(c.run, of="state", progress=lambda done, of: seen.append((done, of)))
    assert seen == [(n, 5) for n in range(1, 6)]
