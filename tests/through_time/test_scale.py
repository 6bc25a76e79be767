"""Products over 5,000 steps: no under- or overflow, against exact integers and 60 digits."""

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import torch

from everygrad.checks.tolerance import assert_close
from everygrad.errors import NonFiniteError
from everygrad.graph import ops
from everygrad.graph.time import cell, run
from everygrad.through_time import Scaled, decay, pull_back, push_forward, state_product
from tests.through_time.cells import case

T = 5000


def linear_run(W, steps=T, batch=1, dtype=np.float64):
    """s = W s, from s = 0, so that only the Jacobians grow."""
    W = np.asarray(W, dtype)
    made = cell(lambda x, s, p: p.W @ s.h + p.U @ x)
    zeros = np.zeros((steps, batch, 1), dtype)
    start = {"h": np.zeros((batch, len(W)), dtype)}
    return run(made, zeros, start, {"W": W, "U": np.ones((len(W), 1), dtype)})


def power(W, n):
    """W^n in exact integers."""
    found, square = [[int(i == j) for j in range(len(W))] for i in range(len(W))], W
    while n:
        if n % 2:
            found = times(found, square)
        square, n = times(square, square), n // 2
    return found


def times(A, B):
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*B, strict=True)] for row in A]


def exact(A):
    """(A/‖A‖, log ‖A‖) of an integer matrix or vector, in 60 digits."""
    with mpmath.workdps(60):
        norm = mpmath.sqrt(sum(mpmath.mpf(x) ** 2 for row in A for x in row))
        return np.array([[float(mpmath.mpf(x) / norm) for x in row] for row in A]), float(mpmath.log(norm))


WHOLE = [[2, 1, 0], [1, 3, -1], [0, 1, 1]]


@pytest.mark.parametrize(("scale", "over", "under"), [(1, True, False), (2.0**-6, False, True)])
def test_powers_of_a_matrix_of_whole_numbers(scale, over, under):
    ran = linear_run(np.array(WHOLE) * scale)
    direction, log = exact(power(WHOLE, T))
    found = state_product(ran)
    assert_close(found.mantissa[0], direction)
    assert_close(found.log_scale[0], log + T * math.log(scale))
    assert_close(found.log10[0], (log + T * math.log(scale)) / math.log(10))
    assert (found.overflowed[0], found.underflowed[0], found.vanished[0]) == (over, under, False)
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isinf(found.value()).all() if over else not found.value().any()


def test_vectors_both_ways():
    ran = linear_run(WHOLE)
    v = np.array([[1.0, -2.0, 3.0]])
    columns, log = exact(times(power(WHOLE, T), [[1], [-2], [3]]))
    ahead = push_forward(ran, v=v)
    assert_close(ahead.mantissa[0], columns[:, 0])
    assert_close(ahead.log_scale[0], log)
    rows, log = exact(times([[1, -2, 3]], power(WHOLE, T)))
    back = pull_back(ran, g=v)
    assert_close(back.mantissa[0], rows[0])
    assert_close(back.log_scale[0], log)


def test_singular_values_and_spectral_radius_of_a_product():
    W = [[4, 1], [0, 3]]
    found = state_product(linear_run(W, steps=40))
    P = mpmath.matrix(power(W, 40))
    with mpmath.workdps(60):
        sigma = sorted((float(mpmath.log(s)) for s in mpmath.svd_r(P, compute_uv=False)), reverse=True)
    assert_close(found.log_singular_values()[0], sigma)
    assert_close(found.log_spectral_radius()[0], 40 * math.log(4))
    long = state_product(linear_run(W))
    assert_close(long.log_singular_values()[0, 0], exact(power(W, T))[1])  # of rank one by then
    assert_close(long.log_spectral_radius()[0], T * math.log(4))


def test_vanished_is_told_from_underflowed():
    nilpotent = state_product(linear_run([[0.0, 1.0], [0.0, 0.0]], steps=3))
    assert (nilpotent.vanished.all(), nilpotent.underflowed.any(), nilpotent.mantissa.any()) == (True, False, False)
    assert np.isneginf(nilpotent.log_scale).all()
    assert np.isneginf(nilpotent.log_singular_values()).all()
    assert np.isneginf(nilpotent.log_spectral_radius()).all()
    assert not nilpotent.value().any()

    made = cell(lambda x, s, p: ops.relu(p.W @ s.h + p.U @ x))
    x = np.ones((T, 2, 1))
    x[T // 2, 1] = -9.0  # kills the second sample's unit at one step
    dead = state_product(run(made, x, {"h": np.ones((2, 1))}, {"W": np.array([[0.25]]), "U": np.array([[1.0]])}))
    assert dead.vanished.tolist() == [False, True]
    assert dead.underflowed.tolist() == [True, False]
    assert_close(dead.log_scale[0], T * math.log(0.25))
    assert dead.mantissa.ravel().tolist() == [1.0, 0.0]


def test_a_chain_of_tanh_slopes():
    made = cell(lambda x, s, p: ops.tanh(p.W @ s.h + p.U @ x))
    rng = np.random.default_rng(0)
    ran = run(
        made,
        rng.normal(size=(T, 3, 2)),
        {"h": rng.normal(size=(3, 1))},
        {"W": [[1.3]] * np.ones((1, 1)), "U": np.ones((1, 2))},
    )
    logs = [math.fsum(math.log(1.3 * (1 - h * h)) for h in ran.values["h"][:, b, 0].tolist()) for b in range(3)]
    found = decay(ran, of="state")
    assert_close(found.log_norms[-1], logs)
    half = [math.fsum(math.log(1.3 * (1 - h * h)) for h in ran.values["h"][2500:, b, 0].tolist()) for b in range(3)]
    assert_close(found.log_norms[found.steps == 2499][0], half)


@pytest.mark.slow
def test_an_lstm_over_5000_steps_in_60_digits():
    c = case("lstm", T=T, B=1, units=1, seed=1)
    ran = c.run
    q = [ran.values[name][:, 0, 0].tolist() for name in ("i", "f", "g", "o", "c", "c_prev")]
    W = {g: mpmath.mpf(c.params[f"W_{g}"][0, 0]) for g in "ifgo"}
    with mpmath.workdps(60):
        P = mpmath.eye(2)
        for numbers in zip(*q, strict=True):
            i, f, g, o, new, old = map(mpmath.mpf, numbers)
            tanh = mpmath.tanh(new)
            by_h = i * (1 - i) * g * W["i"] + f * (1 - f) * old * W["f"] + i * (1 - g**2) * W["g"]
            slope = o * (1 - tanh**2)
            P = mpmath.matrix([[slope * by_h + o * (1 - o) * tanh * W["o"], slope * f], [by_h, f]]) * P
        norm = mpmath.sqrt(sum(x**2 for x in P))
        log, direction = float(mpmath.log(norm)), np.array((P / norm).tolist(), dtype=float)
    found = state_product(ran)
    assert log < -800
    assert_close(found.log_scale[0], log)
    assert_close(found.mantissa[0], direction, 1e-12)  # 5,000 roundings of the factors
    assert found.underflowed.all()


@pytest.mark.parametrize("scale", [1.0, 2.0**-6])
def test_float32(scale):
    ran = linear_run(np.array(WHOLE) * scale, dtype=np.float32)
    direction, log = exact(power(WHOLE, T))
    found = state_product(ran)
    assert found.mantissa.dtype == np.float32
    assert found.log_scale.dtype == np.float64
    assert_close(found.mantissa[0], direction.astype(np.float32))
    assert abs(found.log_scale[0] - (log + T * math.log(scale))) < 1e-7 * T  # one rounding per step
    assert found.underflowed[0] == (scale < 1)


def test_torch_tensors():
    reference = state_product(linear_run(WHOLE, steps=300))
    W, zeros = torch.tensor(WHOLE, dtype=torch.float64), torch.zeros(300, 1, 1, dtype=torch.float64)
    made = cell(lambda x, s, p: p.W @ s.h + p.U @ x)
    ran = run(
        made, zeros, {"h": torch.zeros(1, 3, dtype=torch.float64)}, {"W": W, "U": torch.ones(3, 1, dtype=torch.float64)}
    )
    found = state_product(ran)
    assert isinstance(found.mantissa, torch.Tensor)
    assert_close(found.mantissa, reference.mantissa)
    assert_close(found.log_scale, reference.log_scale)


def test_what_is_not_finite_is_named():
    c = case("elman")
    broken = {**c.params, "W": np.full((3, 3), np.nan)}
    with pytest.raises(NonFiniteError, match=r"product of state Jacobians at step 4 is not finite for sample 0"):
        state_product(replace(c, params=broken).run)


def test_as_text_and_as_json():
    found = Scaled(np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]), np.array([math.log(100), -math.inf, -2000.0]))
    assert str(found) == "3 of 2: norm 10^-868.6 to 10^2, 1 vanished, 1 underflowed"
    assert str(Scaled(np.zeros((1, 2, 3)), np.array([-math.inf]))) == "1 of 2 x 3: norm 0, 1 vanished"
    assert found.as_dict() == {"log_scale": [math.log(100), None, -2000.0], "mantissa": [[1, 0], [0, 0], [0, 1]]}
    assert_close(found.value()[0], [100.0, 0.0])
