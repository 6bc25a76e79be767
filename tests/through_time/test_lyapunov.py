"""Lyapunov exponents of maps whose exponents are known, and against Gram–Schmidt by plain loops."""

import math

import numpy as np
import pytest
import torch

from everygrad.checks.tolerance import assert_close
from everygrad.errors import InputError, NonFiniteError
from everygrad.graph import ops
from everygrad.graph.time import cell, run
from everygrad.through_time import Lyapunov, lyapunov
from tests.through_time.cells import EXAMPLES, case, step_jacobian
from tests.through_time.test_scale import linear_run

EVERY = pytest.mark.parametrize(("name", "masked"), [(n, m) for n in EXAMPLES for m in (False, True)])


def autonomous(step, states, start, T):
    """A map that is run on from ``start``; its input, which a cell must have, is zero."""
    made = cell(step, states)
    zeros = np.zeros((T, 1, 1))
    return run(made, zeros, {s: np.array([[x]]) for s, x in zip(states, start, strict=True)}, {})


def gram_schmidt(jacobians, m):
    """Σ log of the lengths that the columns of Q_0 = I get, one after the other, step by step."""
    Q = [list(column) for column in np.eye(jacobians.shape[-1])[:m]]
    growth = []
    for J in jacobians:
        columns = [[sum(J[p, q] * v[q] for q in range(len(v))) for p in range(len(v))] for v in Q]
        done, lengths = [], []
        for v in columns:
            for _ in range(2):  # twice is enough
                for u in done:
                    along = sum(a * b for a, b in zip(u, v, strict=True))
                    v = [b - along * a for a, b in zip(u, v, strict=True)]
            length = math.sqrt(sum(x * x for x in v))
            done.append([x / length for x in v])
            lengths.append(math.log(length))
        Q, growth = done, [*growth, lengths]
    return np.array(growth)


@EVERY
def test_against_gram_schmidt(name, masked):
    c = case(name, T=8, masked=masked)
    rank = 3 if name in ("projected", "twice") else None  # of their step Jacobians
    found = lyapunov(c.run, count=rank, warmup=2)
    m = rank or found.size
    for b in range(c.x.shape[1]):
        growth = gram_schmidt(np.stack([step_jacobian(c, t)[b] for t in range(8)]), m)[2:]
        assert_close(found.growth[:, b], growth, 1e-12)
        steps = c.present[2:, b].sum()
        assert_close(found.exponents[b], np.sort(growth.sum(0) / steps)[::-1], 1e-12)
        assert found.counted[b] == steps


def test_the_whole_spectrum_adds_up_to_the_determinants():
    c = case("lstm", T=60, units=4)
    found = lyapunov(c.run)
    for b in range(2):
        logs = [np.linalg.slogdet(step_jacobian(c, t)[b])[1] for t in range(60)]
        assert_close(found.sums[b], math.fsum(logs) / 60, 1e-12)


def test_a_linear_map_has_the_logarithms_of_its_eigenvalues():
    V = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0], [1.0, 0.0, 1.0]])
    W = V @ np.diag([1.5, -0.6, 0.1]) @ np.linalg.inv(V)
    found = lyapunov(linear_run(W, steps=400), warmup=100)
    assert_close(found.exponents[0], np.log([1.5, 0.6, 0.1]))
    turned = 0.9 * np.array([[math.cos(1.0), -math.sin(1.0)], [math.sin(1.0), math.cos(1.0)]])
    assert_close(lyapunov(linear_run(turned, steps=50)).exponents[0], [math.log(0.9)] * 2)


def test_exponents_are_sorted_also_from_an_unlucky_start():
    found = lyapunov(linear_run(np.diag([0.2, 3.0, 0.7]), steps=5))
    assert_close(found.exponents[0], np.log([3.0, 0.7, 0.2]))
    assert_close(found.growth[0, 0], np.log([0.2, 3.0, 0.7]))
    assert_close(found.running()[3, 0], np.log([0.2, 3.0, 0.7]))


def test_a_start_of_ones_own():
    ran = linear_run(np.diag([0.2, 3.0, 0.7]), steps=5)
    assert_close(lyapunov(ran, count=1).exponents[0], [math.log(0.2)])  # e_1 is left alone
    assert_close(lyapunov(ran, start=np.array([[0.0], [1.0], [0.0]])).exponents[0], [math.log(3.0)])
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 2)))[0]
    found = lyapunov(linear_run(np.diag([0.2, 3.0, 0.7]), steps=300), start=Q, warmup=100)
    assert_close(found.exponents[0], np.log([3.0, 0.7]))


def test_the_logistic_map():
    ran = autonomous(lambda x, s, p: {"h": 4.0 * s.h * (1.0 - s.h)}, ("h",), [0.3], 5000)
    found = lyapunov(ran)
    path = ran.values["h_prev"][:, 0, 0]
    assert_close(found.exponents[0, 0], math.fsum(math.log(abs(4 - 8 * x)) for x in path.tolist()) / 5000)
    assert abs(found.exponents[0, 0] - math.log(2)) < 0.005  # in the limit it is log 2


def test_the_henon_map():
    def henon(x, s, p):
        u = 1.0 - 1.4 * ops.square(s.u) + s.v
        v = 0.3 * s.u
        return u, v

    found = lyapunov(autonomous(henon, ("u", "v"), [0.1, 0.1], 5000), warmup=500)
    assert_close(found.sums[0], math.log(0.3), 1e-12)
    assert abs(found.exponents[0, 0] - 0.419) < 0.01  # Sprott 2003, table A.5
    assert abs(found.dimension[0] - 1.258) < 0.01


def test_the_kaplan_yorke_dimension():
    def dimension(*exponents):
        e = np.array([exponents])
        return Lyapunov(e, e[None], np.array([1]), 0, len(exponents)).dimension[0]

    assert dimension(0.5, 0.0, -0.25, -1.0) == 3 + 0.25 / 1.0
    assert dimension(-0.5, -1.0) == 0.0
    assert dimension(0.5, -math.inf) == 1.0
    assert dimension(0.5, 0.1) == 2.0


def test_a_lost_direction():
    found = lyapunov(linear_run([[0.5, 0.0], [0.0, 0.0]], steps=4))
    assert_close(found.exponents[0, 0], math.log(0.5))
    assert np.isneginf(found.exponents[0, 1])
    assert found.as_dict()["exponents"] == [[found.exponents[0, 0], None]]


def test_torch_and_float32():
    c = case("lstm", T=20, units=4)
    reference = lyapunov(c.run)
    made, number = c.run.cell, lambda a: torch.tensor(a)
    moved = run(
        made, number(c.x), {k: number(v) for k, v in c.initial.items()}, {k: number(v) for k, v in c.params.items()}
    )
    assert_close(lyapunov(moved).exponents, reference.exponents, 1e-12)
    narrow = lyapunov(linear_run(np.diag([0.2, 3.0, 0.7]), steps=50, dtype=np.float32))
    assert_close(narrow.exponents[0], np.log([3.0, 0.7, 0.2]), 1e-5)


def test_what_is_refused():
    run_of = linear_run(np.eye(3), steps=4)
    with pytest.raises(InputError, match="count=4: expected 1 to 3, the size of the state"):
        lyapunov(run_of, count=4)
    with pytest.raises(InputError, match="warmup=4: expected at least one step beyond it, of 4"):
        lyapunov(run_of, warmup=4)
    with pytest.raises(InputError, match=r"start has shape \(2, 1\), expected \(3, m\)"):
        lyapunov(run_of, start=np.ones((2, 1)))
    with pytest.raises(InputError, match=r"start has shape \(3, 2\), expected \(3, m\) with m = count"):
        lyapunov(run_of, start=np.eye(3)[:, :2], count=1)
    with pytest.raises(InputError, match="orthonormal columns: take Q of a QR"):
        lyapunov(run_of, start=np.ones((3, 1)))
    with pytest.raises(NonFiniteError, match="the state Jacobian at step 0 is not finite"):
        lyapunov(linear_run([[math.nan]], steps=2))


def test_as_text_and_progress():
    seen = []
    found = lyapunov(linear_run(np.diag([0.5, 2.0]), steps=3, batch=2), progress=lambda *now: seen.append(now))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert str(found).splitlines() == [
        "Lyapunov exponents per step, 2 of 2, 2 samples, 3 steps",
        "       least   median     most",
        "------------------------------",
        "λ_1   0.6931   0.6931   0.6931",
        "λ_2  -0.6931  -0.6931  -0.6931",
    ]
    record = found.as_dict()
    assert (record["counted"], record["warmup"], record["size"]) == ([3, 3], 0, 2)
    assert record["dimension"] == [2.0, 2.0]
    many = str(lyapunov(linear_run(np.diag(np.arange(1.0, 13.0)), steps=1))).splitlines()
    assert [line.split()[0] for line in many[3:]] == [*(f"λ_{i}" for i in range(1, 9)), "λ_12"]
